"""Values as people read them on a page: texts of unknown origin, sizes, dates, figures."""

import unicodedata

_JOINERS = "\u200c\u200d"
"""Persian, Hindi and emoji are written with them."""
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Overrides and embeddings of the writing direction, which make a text look like another."""
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def shown(text: str) -> str:
    r"""A text of which every character can be seen; others are as Python escapes them (``\u202e``).

    Spaces of other scripts and line breaks are left as they are.
    """
    if text.isprintable():
        return text
    return "".join(c if _is_seen(c) else c.encode("unicode_escape").decode() for c in text)


def without_controls(text: str) -> str:
    """A text without control characters, and without those that turn what follows around."""
    kept = (c for c in text if c in "\n\t" or _is_harmless(c))
    return "".join(kept)


def size(size_bytes: int) -> str:
    """A size such as ``1.2 MiB``."""
    amount, unit = float(size_bytes), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{size_bytes:,} bytes" if unit == 0 else f"{amount:.3g} {_UNITS[unit]}"


def date(when: str) -> str:
    """The day of a time as ISO 8601 writes it."""
    return when.partition("T")[0]


def figure(value: float) -> str:
    """A number with four significant digits."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def signed(value: float) -> str:
    """A difference, with a sign that is as wide as a digit."""
    return ("+" if value > 0 else "−" if value < 0 else "±") + figure(abs(value))


def shape(sizes: tuple[int | None, ...] | None) -> str:
    """A shape, with ``?`` for what is not known."""
    if sizes is None:
        return "any"
    return "[" + ", ".join("?" if size is None else str(size) for size in sizes) + "]"


def plural(count: int, one: str) -> str:
    """A count with its noun, such as ``1 version`` or ``1,204 versions``."""
    return f"{count:,} {one}" + ("" if count == 1 else "s")


def _is_seen(character: str) -> bool:
    return (
        character.isprintable()
        or character in "\n\t"
        or character in _JOINERS
        or unicodedata.category(character) == "Zs"
    )


def _is_harmless(character: str) -> bool:
    return character not in _DIRECTIONS and unicodedata.category(character) not in ("Cc", "Cs")
