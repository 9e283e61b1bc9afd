"""A resolver node of TFX for the newest embeddings of earlier runs, to copy unchanged rows from.

latest = latest_embeddings()
generator = EmbeddingGenerator(…, previous=latest.outputs["previous"])
"""

from typing import Any

import tfx.v1 as tfx

from hub_tfx._tfx import Channel, ResolverStrategy


class LatestOrNoneStrategy(ResolverStrategy):  # type: ignore[misc]
    """Chooses the newest artifact of each input, or none where there is none.

    In the latter case, as in the first run of a pipeline, TFX's LatestArtifactStrategy fails.
    """

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[Any]]
    ) -> dict[str, list[Any]]:
        """The same keys, with at most one artifact each.

        Args:
          store: ML Metadata, which is not asked.
          input_dict: all live artifacts of each input.
        """
        return {
            key: sorted(artifacts, key=lambda artifact: artifact.id)[-1:]
            for key, artifacts in input_dict.items()
        }


def latest_or_none(node_id: str, key: str, artifacts: Channel) -> tfx.dsl.Resolver:
    """A node whose output ``key`` is the newest artifact of a channel of earlier runs, if any."""
    node = tfx.dsl.Resolver(strategy_class=LatestOrNoneStrategy, **{key: artifacts})
    return node.with_id(node_id)


def latest_embeddings(producer: str = "EmbeddingGenerator") -> tfx.dsl.Resolver:
    """A node whose output ``previous`` is the newest embeddings of earlier runs of the pipeline.

    There may be none, as in the first run. Runs belong to the pipeline that has their name.

    Args:
      producer: id of the component whose output ``embeddings`` they are.
    """
    embeddings = Channel(
        tfx.types.standard_artifacts.Examples,
        producer_component_id=producer,
        output_key="embeddings",
    )
    return latest_or_none("LatestEmbeddings", "previous", embeddings)
