"""Which row of a batch is at fault, and what its error says."""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from hub_tfx.errors import HubTfxError

_TENSORFLOW_PLACES = re.compile(r"\{\{[^}]*\}\}|\[Op:[^\]]*\]|\[\[[^\]]*\]\]")
_TENSORFLOW_TRACE = (
    "<stack traces",
    "Detected at node",
    "File ",
    "Node:",
    "Traceback",
    "Original stack",
)

Result = TypeVar("Result")


def isolate(
    start: int, stop: int, attempt: Callable[[int, int], Result]
) -> Iterator[tuple[int, int, Result | Exception]]:
    """Runs ``attempt(start, stop)``, halving the range where it fails, down to single rows.

    Yields:
      (start, stop, result) for what worked, (row, row + 1, error) for a row that fails by itself;
      together they cover the range, in order.
    """
    if start >= stop:
        return
    try:
        result = attempt(start, stop)
    except HubTfxError:  # Not a row's fault.
        raise
    except Exception as error:  # noqa: BLE001  (what a row makes a model raise is its reason)
        if stop - start == 1:
            yield start, stop, error
            return
        middle = (start + stop) // 2
        yield from isolate(start, middle, attempt)
        yield from isolate(middle, stop, attempt)
    else:
        yield start, stop, result


def describe(error: Exception) -> str:
    """What an error says, in a line for a person."""
    text = _TENSORFLOW_PLACES.sub("", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].startswith("Graph execution error"):
        lines = [line for line in lines[1:] if not line.startswith(_TENSORFLOW_TRACE)] or lines
    return lines[0] if lines else type(error).__name__
