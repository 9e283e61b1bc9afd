"""How a pipeline that embeds ends: its embeddings become the latest generation of a root."""

from typing import Any

from hub_tfx.components.embedding_pusher.component import EmbeddingPusher
from hub_tfx.components.latest_pushed import latest_pushed
from hub_tfx_pipelines.configs import EmbeddingsRoot


def push_embeddings(
    place: EmbeddingsRoot | None, embeddings: Any, *, may_be_earlier: bool = False
) -> list[Any]:
    """The nodes that follow an EmbeddingGenerator.

    Args:
      place: where generations are kept; None where they are not.
      embeddings: A channel of type `Examples`.
      may_be_earlier: whether they may be those of a run before the last one, from TFX's cache, so
        that they have to be pushed again.
    """
    if place is None:
        return []
    finding = [latest_pushed()] if may_be_earlier else []
    before = finding[0].outputs["before"].as_optional() if finding else None
    pusher = EmbeddingPusher(embeddings, root=place.root, keep=place.keep, before=before)
    return [*finding, pusher]
