"""What components do where a RetrainGate found nothing to learn from: nothing."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tfx.v1 as tfx

from hub_tfx._tfx import artifact_utils
from hub_tfx.artifacts import HubModule, ModuleEvaluation, RetrainDecision, read_decision
from hub_tfx.retrain.decision import Decision

_log = logging.getLogger(__name__)
_STAMPED = {
    HubModule.TYPE_NAME: "digest",
    ModuleEvaluation.TYPE_NAME: "verdict",
    RetrainDecision.TYPE_NAME: "learn",
    tfx.types.standard_artifacts.ModelBlessing.TYPE_NAME: "blessed",
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
    decision: Decision | None,
    output_dict: Mapping[str, list[Any]],
    component: str,
    context: Any | None,
) -> bool:
    """Whether a component has nothing to do. Its outputs are left out then.

    Args:
      decision: the decision, if there is one.
      output_dict: the component's outputs.
      component: its name, for the log.
      context: the executor's.
    """
    if decision is None or decision.learn:
        return False
    _log.info("%s is skipped: %s", component, decision.reasons[0])
    leave_out(output_dict, output_dict, context)
    return True


def leave_out(
    output_dict: Mapping[str, list[Any]], keys: Iterable[str], context: Any | None
) -> None:
    """Makes no artifact of these outputs.

    KFP v2 fails where an output has no artifact. There it is left as it came, without properties,
    so that it counts as nothing: see ``given``.

    Args:
      output_dict: the component's outputs.
      keys: those that are left out.
      context: the executor's; None where nobody runs it.
    """
    if context is not None and context.executor_output_uri is None:  # As only KFP v2 makes them.
        return
    for key in keys:
        output_dict[key].clear()
