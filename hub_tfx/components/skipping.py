"""What components do where a RetrainGate found nothing to learn from: nothing."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from hub_tfx._tfx import artifact_utils, evaluator_constants
from hub_tfx.artifacts import HubModule, ModuleEvaluation, RetrainDecision, read_decision
from hub_tfx.retrain.decision import Decision

_log = logging.getLogger(__name__)
_STAMPED = {
    HubModule.TYPE_NAME: "digest",
    ModuleEvaluation.TYPE_NAME: "verdict",
    RetrainDecision.TYPE_NAME: "learn",
    ModelBlessing.TYPE_NAME: evaluator_constants.ARTIFACT_PROPERTY_BLESSED_KEY,
}
"""Type of an artifact -> the custom property that whoever makes one stamps it with."""


def given(input_dict: Mapping[str, Sequence[Any]], key: str) -> Any | None:
    """The artifact of an input that takes at most one; None where there is nothing in it.

    On KFP v2 an output is never absent: what an earlier step did not make comes as an artifact
    without the properties that it would have been stamped with.

    Raises:
      ValueError: there are several.
    """
    made = [artifact for artifact in input_dict.get(key) or () if _is_made(artifact)]
    return artifact_utils.get_single_instance(made) if made else None


def _is_made(artifact: Any) -> bool:
    stamped = _STAMPED.get(artifact.type_name)
    return stamped is None or bool(artifact.has_custom_property(stamped))


def decision_of(input_dict: Mapping[str, list[Any]]) -> Decision | None:
    """The decision of the input ``decision``, if there is one.

    Raises:
      InputError: it cannot be read.
    """
    decision = given(input_dict, "decision")
    return None if decision is None else read_decision(decision)


def is_skipped(
    decision: Decision | None, output_dict: Mapping[str, list[Any]], component: str
) -> bool:
    """Whether a component has nothing to do. Its outputs are taken out then: no artifact is made.

    Args:
      decision: the decision, if there is one.
      output_dict: the component's outputs.
      component: its name, for the log.
    """
    if decision is None or decision.learn:
        return False
    _log.info("%s is skipped: %s", component, decision.reasons[0])
    for artifacts in output_dict.values():
        artifacts.clear()
    return True
