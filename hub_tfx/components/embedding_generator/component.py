"""EmbeddingGenerator: from Examples and a module to Examples with embeddings."""

import tfx.v1 as tfx

from hub_tfx import __version__
from hub_tfx._tfx import (
    BaseBeamComponent,
    BaseChannel,
    BeamExecutorSpec,
    Channel,
    ChannelParameter,
    ComponentSpec,
    ExecutionParameter,
    RuntimeParameter,
)
from hub_tfx.artifacts import HubModule
from hub_tfx.components.embedding_generator.executor import Executor
from hub_tfx.components.remote_state import of_state_dir
from hub_tfx.embed.config import EmbedConfig

_Examples = tfx.types.standard_artifacts.Examples
_Schema = tfx.types.standard_artifacts.Schema


class EmbeddingGeneratorSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of EmbeddingGenerator."""

    PARAMETERS = {  # noqa: RUF012
        "config": ExecutionParameter(type=str),
        "hub_tfx_version": ExecutionParameter(type=str),
        "state_dir": ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {  # noqa: RUF012
        "examples": ChannelParameter(type=_Examples),
        "module": ChannelParameter(type=HubModule),
        "preprocessor": ChannelParameter(type=HubModule, optional=True),
        "schema": ChannelParameter(type=_Schema, optional=True),
        "previous": ChannelParameter(type=_Examples, optional=True),
        "published": ChannelParameter(type=HubModule, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        "embeddings": ChannelParameter(type=_Examples),
        "dead_letters": ChannelParameter(type=_Examples),
    }


class EmbeddingGenerator(BaseBeamComponent):  # type: ignore[misc]
    """Embeds all Examples of a channel with a module, on Beam.

    Every split of every input artifact goes into the split of that name of one output. Its `span`
    and `version` are those of the newest input; the custom property `spans` lists all of them.

    Component `outputs` contains:
     - `embeddings`: Channel of type `Examples`: kept features and embeddings (float lists). Custom
       properties: `rows`, `dead_letters`, `reused`, `embedding_dim`, `signature`, `module_digest`,
       `handle`, `preprocessor_digest`, `columns` (JSON: their dtypes and shapes), `spans`.
     - `dead_letters`: Channel of type `Examples`: rejected rows, with `key`, `reason` and the kept
       features. Custom property: `rows`.
    """

    SPEC_CLASS = EmbeddingGeneratorSpec
    EXECUTOR_SPEC = BeamExecutorSpec(Executor)
    READS_REMOTE_STATE = of_state_dir

    def __init__(
        self,
        examples: BaseChannel,
        module: BaseChannel,
        schema: BaseChannel | None = None,
        config: EmbedConfig | str | RuntimeParameter | None = None,
        preprocessor: BaseChannel | None = None,
        previous: BaseChannel | None = None,
        state_dir: str | RuntimeParameter | None = None,
        published: BaseChannel | None = None,
    ):
        """Constructs an EmbeddingGenerator.

        Args:
          examples: A channel of type `Examples` with tf.Example payloads.
          module: A channel of type `HubModule`.
          schema: A channel of type `Schema`. Without it the types of features come from the first
            1,000 examples.
          config: an EmbedConfig, or its JSON.
          preprocessor: A channel of type `HubModule`: a module that takes the features and feeds
            the other one.
          previous: A channel of type `Examples` with the `embeddings` of an earlier run, or with
            nothing: rows that feed the same are copied from it, unless module or config have
            changed. See hub_tfx.components.latest_embeddings.
          state_dir: a directory that names the embeddings of the last run with it, for runners
            that resolve no artifacts of earlier runs. `previous` takes precedence.
          published: A channel of type `HubModule`, or with nothing: what a ModulePublisher has just
            published embeds instead of `module`.

        Raises:
          ConfigError: the JSON is not an EmbedConfig.
        """
        if config is None or isinstance(config, str):
            config = EmbedConfig.from_json(config or "{}")
        super().__init__(
            spec=EmbeddingGeneratorSpec(
                examples=examples,
                module=module,
                preprocessor=preprocessor,
                schema=schema,
                previous=previous,
                published=published,
                state_dir=state_dir,
                config=config.to_json() if isinstance(config, EmbedConfig) else config,
                hub_tfx_version=__version__,
                embeddings=Channel(type=_Examples),
                dead_letters=Channel(type=_Examples),
            )
        )
