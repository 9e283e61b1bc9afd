"""Whether there is anything to learn from: what is there now, compared with what was learned."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hub_tfx._typed_json import from_plain, known_only, parse_object
from hub_tfx.errors import InputError
from hub_tfx.retrain.config import RetrainConfig

Start = Literal["in use", "base"]
_MAX_NAMED = 3


@dataclass(frozen=True)
class Span:
    """A span of examples.

    Attributes:
      number: its number; 0 where the input has none.
      fingerprint: what its content is known by.
      rows: the number of its rows; None where nobody counted.
    """

    number: int
    fingerprint: str
    rows: int | None = None


@dataclass(frozen=True)
class Decision:
    """Whether to learn, and why.

    Attributes:
      learn: whether there is anything to learn from.
      reasons: why, the first of them first.
      start: the module to start from: the one in use, or the base, where that is new.
      spans: number of each span -> fingerprint, of all that are learned if this one is heeded, and
        of those that were learned before.
      new_spans: the numbers of those that are new or rewritten.
      new_rows: the number of their rows; None where nobody counted.
      base: digest of the base module; None without one.
    """

    learn: bool
    reasons: tuple[str, ...]
    start: Start
    spans: Mapping[str, str] = field(default_factory=dict)
    new_spans: tuple[int, ...] = ()
    new_rows: int | None = None
    base: str | None = None

    def to_json(self) -> str:
        """The same as JSON; equal decisions give equal texts."""
        return json.dumps(known_only(self), sort_keys=True, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Decision":
        """What ``to_json`` wrote.

        Raises:
          InputError: it is not a decision.
        """
        try:
            decision: Decision = from_plain(cls, parse_object(text))
            if not decision.reasons:
                raise ValueError("it has no reason")
        except ValueError as error:
            raise InputError(
                f"the decision whether to train is damaged ({error}): run the pipeline again "
                "without its cache"
            ) from error
        return decision


def decide(
    spans: Sequence[Span],
    config: RetrainConfig,
    *,
    base: str | None = None,
    anomalies: Sequence[str] = (),
    learned: Decision | None = None,
) -> Decision:
    """Compares what is there with what was learned last.

    Args:
      spans: the spans that there are now.
      config: what it takes.
      base: digest of the base module.
      anomalies: what is wrong with the examples, in words.
      learned: the decision that the last complete training heeded; None before the first.
    """
    before = learned.spans if learned else {}
    changed = [span for span in spans if before.get(str(span.number)) != span.fingerprint]
    is_base_new = learned is not None and base != learned.base
    rows = _rows(changed)
    found = _news(changed, before, rows, first=learned is None)
    if is_base_new:
        found.append(
            f"the base module is new: {_short(base)} after {_short(learned and learned.base)}"
        )
    against = _objections(config, found, rows, is_base_new, anomalies, spans)
    return Decision(
        learn=not against,
        reasons=tuple(against or found),
        start="base" if is_base_new else "in use",
        spans={**before, **{str(span.number): span.fingerprint for span in spans}},
        new_spans=tuple(sorted({span.number for span in changed})),
        new_rows=rows,
        base=base,
    )


def _rows(spans: Sequence[Span]) -> int | None:
    counts = [span.rows for span in spans if span.rows is not None]
    return sum(counts) if len(counts) == len(spans) else None


def _news(
    changed: Sequence[Span], before: Mapping[str, str], rows: int | None, *, first: bool
) -> list[str]:
    """What there is to learn from, in words."""
    with_rows = "" if rows is None else f", {rows} rows"
    rewritten = [span.number for span in changed if str(span.number) in before]
    new = [span.number for span in changed if str(span.number) not in before]
    found = []
    if first:
        found.append(f"nothing has been learned yet: {_named(new)}{with_rows}")
    elif changed:
        told = [f"{_named(new)} new"] * bool(new) + [f"{_named(rewritten)} rewritten"] * bool(
            rewritten
        )
        found.append(f"{' and '.join(told)}{with_rows}")
    return found


def _objections(
    config: RetrainConfig,
    found: Sequence[str],
    rows: int | None,
    is_base_new: bool,
    anomalies: Sequence[str],
    spans: Sequence[Span],
) -> list[str]:
    """Why nothing is to be learned, in words; nothing where something is."""
    if not found:
        numbers = _named([span.number for span in spans])
        return [f"nothing is new: {numbers} and the base module were learned already"]
    against = []
    if anomalies and config.stop_on_anomalies:
        more = "" if len(anomalies) <= _MAX_NAMED else f"; and {len(anomalies) - _MAX_NAMED} more"
        against.append(f"the examples have anomalies: {'; '.join(anomalies[:_MAX_NAMED])}{more}")
    if not is_base_new and rows is not None and rows < config.min_new_rows:
        against.append(
            f"too few new rows: {rows}, and at least {config.min_new_rows} are asked for"
        )
    return against


def _named(numbers: Sequence[int]) -> str:
    listed = ", ".join(map(str, sorted(numbers)))
    return f"span{'s' * (len(numbers) > 1)} {listed}"


def _short(digest: Any) -> str:
    return str(digest)[:12] if digest else "none"
