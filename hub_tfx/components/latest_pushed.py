"""A resolver node of TFX for what the last run pushed, so that TFX's cache knows of it.

latest = latest_pushed()
pusher = EmbeddingPusher(…, before=latest.outputs["before"].as_optional())
"""

import tfx.v1 as tfx

from hub_tfx._tfx import Channel
from hub_tfx.artifacts import PushedEmbeddings
from hub_tfx.components.latest_embeddings import latest_or_none


def latest_pushed(producer: str = "EmbeddingPusher") -> tfx.dsl.Resolver:
    """A node whose output ``before`` is what the last run of the pipeline pushed.

    There may be none, as in the first run. Runs belong to the pipeline that has their name.

    Args:
      producer: id of the component whose output ``pushed`` they are.
    """
    pushed = Channel(PushedEmbeddings, producer_component_id=producer, output_key="pushed")
    return latest_or_none("LatestPushed", "before", pushed)
