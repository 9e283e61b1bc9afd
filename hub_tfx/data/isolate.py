"""Which row of a batch is at fault, and what its error says."""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from hub_tfx._text import shortened
from hub_tfx.errors import HubTfxError

# No bracket inside another one: what a row holds may come here, and must not take quadratic time.
_TENSORFLOW_PLACES = re.compile(r"\{\{[^{}]*\}\}|\[Op:[^\[\]]*\]|\[\[[^\[\]]*\]\]")
_TENSORFLOW_TRACE = (
    "<stack traces",
    "Detected at node",
    "File ",
    "Node:",
    "Traceback",
    "Original stack",
)

_MAX_READ_CHARS = 1 << 16
_MAX_REASON_CHARS = 500

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
    """What an error says, in a line for a person, cut where it quotes more than fits."""
    text = _TENSORFLOW_PLACES.sub("", str(error)[:_MAX_READ_CHARS])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].startswith("Graph execution error"):
        lines = [line for line in lines[1:] if not line.startswith(_TENSORFLOW_TRACE)] or lines
    return as_reason(lines[0] if lines else type(error).__name__)


def is_utf8_text(text: str) -> bool:
    """Whether a text can be written as UTF-8: one with half a character cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_reason(text: str) -> str:
    """A text that may quote any input, cut to a length and fit to be written as UTF-8."""
    return shortened(text, _MAX_REASON_CHARS).encode("utf-8", "backslashreplace").decode()
