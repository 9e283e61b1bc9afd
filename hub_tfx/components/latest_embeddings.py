"""The newest embeddings of earlier runs, to copy what is unchanged from: a resolver node of TFX's.

latest = latest_embeddings()
generator = EmbeddingGenerator(…, previous=latest.outputs["previous"])
"""

from typing import Any

import tfx.v1 as tfx

from hub_tfx._tfx import Channel, ResolverStrategy

_PREVIOUS = "previous"


class LatestOrNoneStrategy(ResolverStrategy):  # type: ignore[misc]
    """The newest artifact of each input; none where there is none.

    TFX's LatestArtifactStrategy fails then, as in the first run of a pipeline.
    """

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[Any]]
    ) -> dict[str, list[Any]]:
        """The same keys, with at most one artifact each. Asks ML Metadata nothing.

        Args:
          store: of ML Metadata.
          input_dict: all live artifacts of each input.
        """
        return {
            key: sorted(artifacts, key=lambda artifact: artifact.id)[-1:]
            for key, artifacts in input_dict.items()
        }


def latest_embeddings(producer: str = "EmbeddingGenerator") -> tfx.dsl.Resolver:
    """A node whose output ``previous`` is the newest embeddings of earlier runs of the pipeline.

    There may be none, as in the first run. The pipeline is told from others by its name.

    Args:
      producer: id of the component that gave them, as ``embeddings``.
    """
    embeddings = Channel(
        tfx.types.standard_artifacts.Examples,
        producer_component_id=producer,
        output_key="embeddings",
    )
    node = tfx.dsl.Resolver(strategy_class=LatestOrNoneStrategy, **{_PREVIOUS: embeddings})
    return node.with_id("LatestEmbeddings")
