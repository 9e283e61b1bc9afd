"""ExampleGen -> statistics, schema, validation -> Transform -> ModuleResolver -> ModuleTrainer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import tfx.v1 as tfx

from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.components.module_trainer.component import ModuleTrainer
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx_pipelines.common import make_example_gen, make_pipeline

_PREPROCESSING_FN = "hub_tfx_pipelines.preprocessing.preprocessing_fn"


@dataclass(frozen=True)
class FineTunePipelineConfig:
    """What the fine-tuning pipeline works on.

    Attributes:
      pipeline_name: under which ML Metadata keeps its runs.
      pipeline_root: a folder for its artifacts.
      data_root: a folder with the input.
      module: handle of the base module.
      fine_tune: what to learn, and how.
      texts: features that hold text, cleaned by Transform.
      kept: other features that the module takes, such as encoded images.
      module_digest: which the base module must have; None for any.
      example_gen: ``import`` for TFRecord files of tf.Example, ``csv`` for CSV files.
      input_config, output_config: of ExampleGen; see EmbedPipelineConfig.
      run_fn: import path of a training function of your own.
      metadata_path: of the SQLite file; None where the runner brings its own ML Metadata.
      enable_cache: whether steps whose inputs are those of an earlier run are skipped.
      beam_pipeline_args: options of every Beam step; see EmbedPipelineConfig.
    """

    pipeline_name: str
    pipeline_root: str
    data_root: str
    module: str
    fine_tune: FineTuneConfig
    texts: Sequence[str] = ("text",)
    kept: Sequence[str] = ()
    module_digest: str | None = None
    example_gen: Literal["import", "csv"] = "import"
    input_config: tfx.proto.Input | None = None
    output_config: tfx.proto.Output | None = None
    run_fn: str | None = None
    metadata_path: str | None = None
    enable_cache: bool = True
    beam_pipeline_args: tuple[str, ...] = ()


def create_pipeline(config: FineTunePipelineConfig) -> tfx.dsl.Pipeline:
    """The pipeline, for any runner of TFX."""
    example_gen = make_example_gen(config)
    examples = example_gen.outputs["examples"]
    statistics_gen = tfx.components.StatisticsGen(examples=examples)
    statistics = statistics_gen.outputs["statistics"]
    schema_gen = tfx.components.SchemaGen(statistics=statistics, infer_feature_shape=False)
    schema = schema_gen.outputs["schema"]
    validator = tfx.components.ExampleValidator(statistics=statistics, schema=schema)
    transform = tfx.components.Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn=_PREPROCESSING_FN,
        custom_config={
            "label": config.fine_tune.label,
            "task": config.fine_tune.task,
            "texts": list(config.texts),
            "kept": list(config.kept),
        },
    )
    resolver = ModuleResolver(handle=config.module, digest=config.module_digest)
    trainer = ModuleTrainer(
        examples=transform.outputs["transformed_examples"],
        base_module=resolver.outputs["module"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        raw_examples=examples,
        config=config.fine_tune,
        run_fn=config.run_fn,
    )
    components = [example_gen, statistics_gen, schema_gen, validator, transform, resolver, trainer]
    return make_pipeline(config, components)
