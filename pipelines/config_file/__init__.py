"""Files of YAML that hold the config of a pipeline.

    pipeline: embed
    data_root: records
    module: https://tfhub.dev/google/nnlm-en-dim128/2
    embed:
      keep: [id]

The keys are the attributes of a dataclass of ``hub_tfx_pipelines.configs``, and what a key takes is
its annotation: a new attribute, or a new pipeline in ``registry``, needs nothing here.

    document    the file, and what `--set` and options put over it, with the origin of each value
    build       from a document to the dataclass, with all that is wrong
    plain       from the dataclass to plain values and to YAML
    schema      the JSON Schema of a pipeline
"""
