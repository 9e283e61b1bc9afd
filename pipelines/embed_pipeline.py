"""ExampleGen and ModuleResolver -> EmbeddingGenerator."""

from dataclasses import dataclass, field
from typing import Literal

import tfx.v1 as tfx

from hub_tfx.components.embedding_generator.component import EmbeddingGenerator
from hub_tfx.components.latest_embeddings import latest_embeddings
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.embed.config import EmbedConfig
from hub_tfx_pipelines.common import make_example_gen, make_pipeline


@dataclass(frozen=True)
class EmbedPipelineConfig:
    """What the embedding pipeline works on.

    Attributes:
      pipeline_name: under which ML Metadata keeps its runs.
      pipeline_root: a folder for its artifacts.
      data_root: a folder with the input.
      module: handle of the module.
      module_digest: which it must have; None for any.
      preprocessor: handle of a module that takes the features and feeds the other one; None for
        none.
      preprocessor_digest: which it must have; None for any.
      embed: what to feed, keep and write.
      example_gen: ``import`` for TFRecord files of tf.Example, ``csv`` for CSV files.
      input_config, output_config: of ExampleGen: patterns with {SPAN} and {VERSION}, and splits. By
        default all files of data_root, split into train and eval 2:1.
      incremental: whether rows that feed the same are copied from the embeddings of the last run of
        this pipeline. Such a run is never skipped, since each makes the next one's input.
      state_dir: the same for runners that resolve no artifacts of earlier runs, such as Vertex AI
        Pipelines: a directory that names the last embeddings.
      metadata_path: of the SQLite file; None where the runner brings its own ML Metadata.
      enable_cache: whether steps whose inputs are those of an earlier run are skipped.
      beam_pipeline_args: options of every Beam step; its runner is the one in the step's own
        process if they name none.
    """

    pipeline_name: str
    pipeline_root: str
    data_root: str
    module: str
    module_digest: str | None = None
    preprocessor: str | None = None
    preprocessor_digest: str | None = None
    embed: EmbedConfig = field(default_factory=EmbedConfig)
    example_gen: Literal["import", "csv"] = "import"
    input_config: tfx.proto.Input | None = None
    output_config: tfx.proto.Output | None = None
    incremental: bool = False
    state_dir: str | None = None
    metadata_path: str | None = None
    enable_cache: bool = True
    beam_pipeline_args: tuple[str, ...] = ()


def create_pipeline(config: EmbedPipelineConfig) -> tfx.dsl.Pipeline:
    """The pipeline, for any runner of TFX."""
    example_gen = make_example_gen(config)
    resolver = ModuleResolver(handle=config.module, digest=config.module_digest)
    components = [example_gen, resolver]
    preprocessor = None
    if config.preprocessor is not None:
        first = ModuleResolver(handle=config.preprocessor, digest=config.preprocessor_digest)
        components.append(first.with_id("PreprocessorResolver"))
        preprocessor = first.outputs["module"]
    previous = None
    if config.incremental:
        components.append(latest_embeddings())
        previous = components[-1].outputs["previous"]
    generator = EmbeddingGenerator(
        examples=example_gen.outputs["examples"],
        module=resolver.outputs["module"],
        config=config.embed,
        preprocessor=preprocessor,
        previous=previous,
        state_dir=config.state_dir,
    )
    return make_pipeline(config, [*components, generator])
