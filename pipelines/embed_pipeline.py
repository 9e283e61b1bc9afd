"""ExampleGen and ModuleResolver -> EmbeddingGenerator."""

from dataclasses import dataclass, field

import tfx.v1 as tfx

from hub_tfx.components.embedding_generator.component import EmbeddingGenerator
from hub_tfx.components.latest_embeddings import latest_embeddings
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.embed.config import EmbedConfig
from hub_tfx_pipelines.common import (
    PipelineConfig,
    make_example_gen,
    make_pipeline,
    resolve_preprocessor,
)


@dataclass(frozen=True, kw_only=True)
class EmbedPipelineConfig(PipelineConfig):
    """What the embedding pipeline works on, besides what every pipeline does.

    Attributes:
      module: handle of the module that embeds.
      embed: what to feed, keep and write.
      incremental: whether rows that feed the same are copied from the embeddings of the last run of
        this pipeline. Such a run is never skipped, since each makes the next one's input.
      state_dir: directory that names the last embeddings, from which rows are copied: for runners
        that cannot resolve artifacts of earlier runs, such as Vertex AI Pipelines.
    """

    module: str
    embed: EmbedConfig = field(default_factory=EmbedConfig)
    incremental: bool = False
    state_dir: str | None = None

    @property
    def folders(self) -> tuple[str, ...]:
        return super().folders + (() if self.state_dir is None else (self.state_dir,))


def create_pipeline(config: EmbedPipelineConfig) -> tfx.dsl.Pipeline:
    """The pipeline, for any runner of TFX."""
    example_gen = make_example_gen(config)
    resolver = ModuleResolver(handle=config.module, digest=config.module_digest)
    preprocessing, preprocessor = resolve_preprocessor(config)
    components = [example_gen, resolver, *preprocessing]
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
