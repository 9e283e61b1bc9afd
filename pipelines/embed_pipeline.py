"""ExampleGen and ModuleResolver -> EmbeddingGenerator -> EmbeddingPusher."""

import tfx.v1 as tfx

from hub_tfx.components.embedding_generator.component import EmbeddingGenerator
from hub_tfx.components.latest_embeddings import latest_embeddings
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx_pipelines.common import make_example_gen, make_pipeline, resolve_preprocessor
from hub_tfx_pipelines.configs import EmbedPipelineConfig
from hub_tfx_pipelines.pushing import push_embeddings


def create_pipeline(config: EmbedPipelineConfig) -> tfx.dsl.Pipeline:
    """The pipeline, for any runner of TFX."""
    config = config.pinned()
    example_gen = make_example_gen(config)
    resolver = ModuleResolver(
        handle=config.module, digest=config.module_digest, policy=config.safety
    )
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
    pushing = push_embeddings(
        config.embeddings,
        generator.outputs["embeddings"],
        may_be_earlier=not config.incremental and config.state_dir is None,
    )
    return make_pipeline(config, [*components, generator, *pushing])
