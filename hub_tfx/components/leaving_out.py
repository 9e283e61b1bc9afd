"""How a component makes no artifact of an output, on every runner of TFX."""

from collections.abc import MutableMapping, Sequence
from typing import Any


def leave_out(output_dict: MutableMapping[str, list[Any]], key: str, context: Any) -> None:
    """Takes an output out, so that a step makes no artifact of it.

    TFX's launcher keeps what it has prepared for a key that is missing. The entry point of KFP v2,
    which has no launcher, fails for a key without an artifact; there the platform has prepared an
    artifact, which stays as it is, without properties.

    Args:
      output_dict: the component's outputs.
      key: the output.
      context: that of its executor; None outside of a pipeline.
    """
    if context is not None and context.pipeline_node is None:  # KFP v2 has none.
        del output_dict[key]
    else:
        output_dict[key].clear()


def made(artifacts: Sequence[Any] | None) -> list[Any]:
    """The artifacts that a step has made: not those that it left out, on any platform."""
    return [
        artifact
        for artifact in artifacts or ()
        if artifact.mlmd_artifact.properties or artifact.mlmd_artifact.custom_properties
    ]
