"""Text from modules, files and servers, made safe to print on a terminal."""

import difflib
from collections.abc import Callable, Iterable

_MAX_QUOTED_CHARS = 60
_MAX_COMPARED_CHARS = 300


def quoted(value: object) -> str:
    """A value of an input for a message, cut to a length."""
    return shortened(repr(value))


def shortened(text: str, max_chars: int = _MAX_QUOTED_CHARS) -> str:
    """A text, cut where it is longer."""
    return text if len(text) <= max_chars else f"{text[:max_chars]}…"


def printable(text: str) -> str:
    r"""One line without control characters: each is shown as Python escapes it (``\x1b``).

    Names may hold any character, and a terminal would obey an escape sequence in one.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration(seconds: float) -> str:
    """A time as ``minutes:seconds`` or ``hours:minutes:seconds``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def nearest(
    text: str, choices: Iterable[str], then: Callable[[str], str] = lambda choice: choice
) -> str:
    """The choice that is most like a text, or nothing; ``then`` is applied to it."""
    found = difflib.get_close_matches(text[:_MAX_COMPARED_CHARS].lower(), [*choices], 1)
    return then(found[0]) if found else ""


def hint(near: str) -> str:
    """The end of an error that names the nearest choice, if there is one."""
    return f"; nearest: {near}" if near else ""
