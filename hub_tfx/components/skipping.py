"""What components do where a RetrainGate found nothing to learn from: nothing."""

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

from hub_tfx._tfx import artifact_utils
from hub_tfx.artifacts import read_decision
from hub_tfx.components.leaving_out import leave_out
from hub_tfx.retrain.decision import Decision

_log = logging.getLogger(__name__)


def decision_of(input_dict: Mapping[str, list[Any]]) -> Decision | None:
    """The decision of the input ``decision``, if there is one.

    Raises:
      InputError: it cannot be read.
    """
    given = input_dict.get("decision")
    return read_decision(artifact_utils.get_single_instance(given)) if given else None


def is_skipped(
    decision: Decision | None,
    output_dict: MutableMapping[str, list[Any]],
    component: str,
    context: Any,
) -> bool:
    """Whether a component has nothing to do. Its outputs are left out then: no artifact is made.

    Args:
      decision: the decision, if there is one.
      output_dict: the component's outputs.
      component: its name, for the log.
      context: that of its executor.
    """
    if decision is None or decision.learn:
        return False
    _log.info("%s is skipped: %s", component, decision.reasons[0])
    for key in list(output_dict):
        leave_out(output_dict, key, context)
    return True
