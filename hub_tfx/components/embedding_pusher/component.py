"""EmbeddingPusher: from the embeddings of a run to the latest generation of a root."""

import tfx.v1 as tfx

from hub_tfx import __version__
from hub_tfx._tfx import (
    BaseChannel,
    BaseComponent,
    Channel,
    ChannelParameter,
    ComponentSpec,
    ExecutionParameter,
    ExecutorClassSpec,
    RuntimeParameter,
)
from hub_tfx.artifacts import PushedEmbeddings
from hub_tfx.components.embedding_pusher.executor import Executor
from hub_tfx.embed.generations import DEFAULT_KEEP, check_keep, check_root_name

_Examples = tfx.types.standard_artifacts.Examples


class EmbeddingPusherSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of EmbeddingPusher."""

    PARAMETERS = {  # noqa: RUF012
        "root": ExecutionParameter(type=str),
        "keep": ExecutionParameter(type=int),
        "hub_tfx_version": ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "embeddings": ChannelParameter(type=_Examples),
        "before": ChannelParameter(type=PushedEmbeddings, optional=True),
    }
    OUTPUTS = {"pushed": ChannelParameter(type=PushedEmbeddings)}  # noqa: RUF012


class EmbeddingPusher(BaseComponent):  # type: ignore[misc]
    """Makes embeddings the latest generation of a root, from which others read.

    A generation is whole before it is the latest, and the one before stays until `keep` generations
    are over. Embeddings that equal the latest generation are not pushed again.

    Component `outputs` contains:
     - `pushed`: Channel of type `PushedEmbeddings`: the latest generation, and whether this run
       made it.
    """

    SPEC_CLASS = EmbeddingPusherSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        embeddings: BaseChannel,
        *,
        root: str | RuntimeParameter,
        keep: int = DEFAULT_KEEP,
        before: BaseChannel | None = None,
    ):
        """Constructs an EmbeddingPusher.

        Args:
          embeddings: A channel of type `Examples` with the `embeddings` of EmbeddingGenerator.
          root: directory, `s3://…` or `gs://…`, that the step reaches. It is made where it is
            missing; one that holds other things is refused.
          keep: how many generations stay, the latest among them.
          before: A channel of type `PushedEmbeddings`, or with nothing: what the last run pushed.
            With it, TFX's cache does not take a push for done that a later one has replaced; see
            hub_tfx.components.latest_pushed. Needed only where `embeddings` may be those of a run
            before the last one, which they are not where they are made incrementally.

        Raises:
          ConfigError: no root can be there, or keep is below 1.
        """
        if isinstance(root, str):
            check_root_name(root)
        check_keep(keep)
        super().__init__(
            spec=EmbeddingPusherSpec(
                embeddings=embeddings,
                before=before,
                root=root,
                keep=keep,
                hub_tfx_version=__version__,
                pushed=Channel(type=PushedEmbeddings),
            )
        )
