"""ExampleGen and ModuleResolver -> EmbeddingGenerator."""

from dataclasses import dataclass, field

import tfx.v1 as tfx

from hub_tfx.components.embedding_generator.component import EmbeddingGenerator
from hub_tfx.components.latest_embeddings import latest_embeddings
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.embed.config import EmbedConfig
from hub_tfx_pipelines.common import PipelineConfig, make_example_gen, make_pipeline


@dataclass(frozen=True, kw_only=True)
class EmbedPipelineConfig(PipelineConfig):
    """What the embedding pipeline works on, besides what every pipeline does.

    Attributes:
      module: handle of the module that embeds.
      preprocessor: handle of a module that takes the features and feeds the other one; None for
        none.
      preprocessor_digest: the digest that the preprocessor must have; None for any.
      embed: what to feed, keep and write.
      incremental: whether rows that feed the same are copied from the embeddings of the last run of
        this pipeline. Such a run is never skipped, since each makes the next one's input.
      state_dir: directory that names the last embeddings, from which rows are copied: for runners
        that cannot resolve artifacts of earlier runs, such as Vertex AI Pipelines.
    """

    module: str
    preprocessor: str | None = None
    preprocessor_digest: str | None = None
    embed: EmbedConfig = field(default_factory=EmbedConfig)
    incremental: bool = False
    state_dir: str | None = None

    @property
    def folders(self) -> tuple[str, ...]:
        return super().folders + (() if self.state_dir is None else (self.state_dir,))

    @property
    def handles(self) -> tuple[str, ...]:
        return super().handles + (() if self.preprocessor is None else (self.preprocessor,))


def create_pipeline(config: EmbedPipelineConfig) -> tfx.dsl.Pipeline:
    """The pipeline, for any runner of TFX."""
    example_gen = make_example_gen(config)
    resolver = ModuleResolver(handle=config.module, digest=config.module_digest)
    components = [example_gen, resolver]
    preprocessor = None
    if config.preprocessor is not None:
        resolver = ModuleResolver(handle=config.preprocessor, digest=config.preprocessor_digest)
        components.append(resolver.with_id("PreprocessorResolver"))
        preprocessor = resolver.outputs["module"]
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
