"""Patterns that tell the spans of an input apart, as TFX's ExampleGen has them.

A pattern names files below a folder: ``day-{SPAN}/*``, ``{SPAN:3}/v{VERSION}/train-*`` or
``{YYYY}-{MM}-{DD}.csv``, where a date stands for the days since 1970-01-01. Without any of these
all files are span 0. See tfx/components/example_gen/utils.py, which TFX would take long to import.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from hub_tfx.errors import ConfigError, InputError

_SPEC = re.compile(r"\{(SPAN|VERSION)(?::([^{}]*))?\}|\{(YYYY|MM|DD)\}")
_DATE = {"YYYY": 4, "MM": 2, "DD": 2}
_EPOCH = date(1970, 1, 1).toordinal()
_MAX_WIDTH, _MAX_NUMBER = 19, (1 << 63) - 1  # ML Metadata has whole numbers of 64 bits.
_WILDCARD = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]")
_WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True)
class SpanPattern:
    """The pattern of a split's files; raises ConfigError for one that makes no sense.

    Attributes:
      split: name of the split.
      text: the pattern.
    """

    split: str
    text: str

    def __post_init__(self) -> None:
        names = [name for name, _ in self._specs]
        is_date = any(name in _DATE for name in names)
        if self.text.startswith("/") or ".." in self.text.split("/") or "\0" in self.text:
            raise self._wrong("leads out of the folder of the input: name files below that")
        if is_date and (sorted(n for n in names if n in _DATE) != sorted(_DATE)):
            raise self._wrong("has a date in part: give each of {YYYY}, {MM} and {DD} once")
        if is_date and "SPAN" in names:
            raise self._wrong("has {SPAN} and a date: leave one of them out")
        if len(names) != len(set(names)):
            raise self._wrong("has {SPAN} or {VERSION} twice: leave one of them out")
        if "VERSION" in names and not self.has_spans:
            raise self._wrong("has {VERSION} and no span: give {SPAN}, or a date, as well")
        if re.search(r"\{(SPAN|VERSION)\}\{", self.text):
            raise self._wrong(
                "has a number with another one right after it: tell their widths, as {SPAN:3} does"
            )
        _ = self._regex

    @property
    def has_spans(self) -> bool:
        """Whether it tells the spans apart."""
        return any(name == "SPAN" or name in _DATE for name, _ in self._specs)

    @property
    def kind(self) -> frozenset[str]:
        """What it has, which is the same for all splits of an input."""
        return frozenset(name for name, _ in self._specs)

    @property
    def glob(self) -> str:
        """The glob for the files of all spans and versions."""
        return _SPEC.sub("*", self.text)

    def numbers_of(self, name: str) -> tuple[int, int | None, tuple[str, ...]] | None:
        """Span, version and how they are written in a name; None where the name has another form.

        Raises:
          InputError: what is written there is not a date, or too large.
        """
        found = self._regex.fullmatch(name)
        if found is None:
            return None
        written = found.groupdict()
        for text in (written.get("SPAN"), written.get("VERSION")):
            if int(text or 0) > _MAX_NUMBER:
                raise InputError(f"{name} has too large a number for a span: rename it")
        version = written.get("VERSION")
        span = _day(written, name) if "YYYY" in written else int(written.get("SPAN") or 0)
        return span, None if version is None else int(version), tuple(written.values())

    @property
    def _specs(self) -> list[tuple[str, int | None]]:
        try:
            return [_spec(found) for found in _SPEC.finditer(self.text)]
        except ValueError:
            raise self._wrong(
                f"has a width that is not a number from 1 to {_MAX_WIDTH}: write {{SPAN:3}} for "
                "three digits"
            ) from None

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        parts, at = [], 0
        for found in _SPEC.finditer(self.text):
            name, width = _spec(found)
            before, after = self.text[at : found.start()], self.text[found.end() :]
            if width is not None:
                digits = f"(?P<{name}>[0-9]{{{width}}})"
            else:  # The whole of a number, whatever a wildcard beside it could take.
                is_next = before[-1:].isdigit() or (at > 0 and not before)
                begin = "" if is_next else "(?<![0-9])"
                digits = f"{begin}(?P<{name}>[0-9]+)" + "(?![0-9])" * (not after[:1].isdigit())
            parts += [_of_glob(before), digits]
            at = found.end()
        try:
            return re.compile("".join([*parts, _of_glob(self.text[at:])]), re.DOTALL)
        except re.error as error:
            raise self._wrong(f"is not a glob: {error}") from error

    def _wrong(self, what: str) -> ConfigError:
        return ConfigError(f"the pattern {self.text!r} of the split {self.split!r} {what}")


def check_patterns(patterns: Sequence[SpanPattern]) -> bool:
    """Whether patterns tell spans apart; raises ConfigError where only some of them do."""
    if len({pattern.kind for pattern in patterns}) > 1:
        told = ", ".join(repr(pattern.text) for pattern in patterns)
        raise ConfigError(
            f"the patterns {told} tell spans and versions in different ways: give each split the "
            "same of {SPAN}, {VERSION} and dates"
        )
    return patterns[0].has_spans


def _spec(found: re.Match[str]) -> tuple[str, int | None]:
    """Name and width of what is written in braces; raises ValueError for another width."""
    number, width, of_date = found.groups()
    if of_date is not None:
        return of_date, _DATE[of_date]
    if width is None:
        return number, None
    if not re.fullmatch("[0-9]{1,2}", width) or not 0 < int(width) <= _MAX_WIDTH:
        raise ValueError(width)
    return number, int(width)


def _of_glob(text: str) -> str:
    """The regular expression of a glob."""
    parts, at = [], 0
    for found in _WILDCARD.finditer(text):
        wildcard = found.group()
        parts += [re.escape(text[at : found.start()]), _WILDCARDS.get(wildcard) or _set(wildcard)]
        at = found.end()
    return "".join([*parts, re.escape(text[at:])])


def _set(wildcard: str) -> str:
    """The regular expression of ``[…]``."""
    inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", wildcard[1:-1].removeprefix("!"))
    return f"[^{inner}]" if wildcard.startswith("[!") else f"[{inner}]"


def _day(written: Mapping[str, str], name: str) -> int:
    year, month, day = (int(written[spec]) for spec in _DATE)
    try:
        return date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        raise InputError(
            f"{name} has {year}-{month}-{day}, which is not a date: rename it"
        ) from None
