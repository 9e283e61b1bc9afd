"""A resolver node of TFX for what was learned last, to compare with.

latest = latest_decision()
gate = RetrainGate(…, learned=latest.outputs["learned"].as_optional())
"""

import tfx.v1 as tfx

from hub_tfx._tfx import Channel
from hub_tfx.artifacts import RetrainDecision
from hub_tfx.components.latest_embeddings import latest_or_none

_LEARNED = "learned"


def latest_decision(producer: str = "ModulePublisher") -> tfx.dsl.Resolver:
    """A node whose output ``learned`` is the last decision to train that was carried out.

    There may be none, as in the first run. Runs belong to the pipeline that has their name.

    Args:
      producer: id of the component whose output ``learned`` they are.
    """
    decisions = Channel(RetrainDecision, producer_component_id=producer, output_key=_LEARNED)
    return latest_or_none("LatestDecision", _LEARNED, decisions)
