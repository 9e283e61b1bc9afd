"""Threshold: what a measure must reach, alone or beside the baseline."""

import json
import math
import re
from dataclasses import dataclass
from typing import Literal

from hub_tfx._text import quoted
from hub_tfx.errors import ConfigError

_WHOLE = re.compile(r"(?s)(?P<what>.*)(?P<sign>>=|<=)(?P<bound>.*)")
_WHAT = re.compile(r"(?s)(?P<measure>[a-z_]+(?:@[0-9]+)?)\s*(?:@(?P<feature>[^=]+)=(?P<value>.*))?")
_OF_BASELINE = re.compile(r"(?:(?P<factor>[^*]+)\*)?\s*baseline\s*(?P<offset>[+-].+)?")
_FORMS = (
    "write MEASURE>=NUMBER, MEASURE@FEATURE=VALUE>=NUMBER or MEASURE>=0.9*baseline, with >= or <="
)


@dataclass(frozen=True)
class Slice:
    """The rows with one value of one feature."""

    feature: str
    value: str

    def __str__(self) -> str:
        """``FEATURE=VALUE``; a value with spaces at an end, or quotes, is written as JSON."""
        needs_quotes = self.value != self.value.strip() or self.value.startswith('"')
        return f"{self.feature}={json.dumps(self.value) if needs_quotes else self.value}"


@dataclass(frozen=True)
class Threshold:
    """A bound on a measure. ``Threshold.parse(str(t)) == t``.

    The bound is ``factor * baseline + number``, or ``number`` alone. It is compared with the
    measure's value, not with its interval.

    Attributes:
      measure: name of the measure.
      sign: ``>=`` for the least that is allowed, ``<=`` for the most.
      number: the bound, or what is added to the baseline's part of it.
      factor: how much of the baseline's value counts; None for an absolute bound.
      slice: rows that it is about; None for all.
    """

    measure: str
    sign: Literal[">=", "<="]
    number: float
    factor: float | None = None
    slice: Slice | None = None

    @classmethod
    def parse(cls, text: str) -> "Threshold":
        """A threshold as a person writes it.

        ``probe_accuracy>=0.8``, ``knn_accuracy@lang=de>=0.7``, ``cost_rows_per_s>=0.5*baseline``,
        ``recall@10@lang=de>=baseline-0.02``.

        Raises:
          ConfigError: it is written in another way.
        """
        whole = _WHOLE.fullmatch(text)
        what = whole and _WHAT.fullmatch(whole["what"].strip())
        if not whole or not what:
            raise ConfigError(f"threshold {quoted(text)} cannot be read: {_FORMS}")
        factor, number = _bound(whole["bound"].strip(), text)
        rows = None
        if what["feature"] is not None:
            rows = Slice(what["feature"].strip(), _value(what["value"].strip(), text))
        sign: Literal[">=", "<="] = ">=" if whole["sign"] == ">=" else "<="
        return cls(what["measure"], sign, number, factor, rows)

    def __str__(self) -> str:
        of = f"@{self.slice}" if self.slice else ""
        return f"{self.measure}{of}{self.sign}{self._bound_in_words()}"

    def _bound_in_words(self) -> str:
        if self.factor is None:
            return repr(self.number)
        offset = f"{self.number:+}" if self.number else ""
        return ("" if self.factor == 1 else f"{self.factor!r}*") + f"baseline{offset}"

    def bound(self, baseline: float | None) -> float | None:
        """The number that the measure is compared with; None without the baseline it needs."""
        if self.factor is None:
            return self.number
        return None if baseline is None else self.factor * baseline + self.number

    def is_met(self, value: float, bound: float) -> bool:
        return value >= bound if self.sign == ">=" else value <= bound


def _bound(text: str, threshold: str) -> tuple[float | None, float]:
    if not (relative := _OF_BASELINE.fullmatch(text)):
        return None, _number(text, threshold)
    factor = 1.0 if relative["factor"] is None else _number(relative["factor"], threshold)
    offset = relative["offset"]
    if offset is None:
        return factor, 0.0
    sign = -1.0 if offset[0] == "-" else 1.0
    return factor, sign * _number(offset[1:], threshold)


def _number(text: str, threshold: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(
            f"threshold {quoted(threshold)}: {quoted(text)} is not a number; {_FORMS}"
        )
    return number


def _value(text: str, threshold: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, str):
        raise ConfigError(
            f"threshold {quoted(threshold)}: {quoted(text)} begins with a quote and is not a JSON "
            "text; close the quote, or write the value without quotes"
        )
    return value
