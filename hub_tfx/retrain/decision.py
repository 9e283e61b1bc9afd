"""Whether there is anything to learn from: what is there now, compared with what was learned."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hub_tfx._text import printable
from hub_tfx._typed_json import from_plain, known_only, parse_object
from hub_tfx.errors import InputError
from hub_tfx.repository.facts import Learned
from hub_tfx.repository.learning import Learner
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
class Drift:
    """How far a feature is from what was learned last.

    Attributes:
      feature: name of the feature.
      distance: how far it is, from 0 to 1.
      threshold: the distance beyond which it is a reason to learn.
      measure: what was measured.
      split: the split in which it is farthest.
    """

    feature: str
    distance: float
    threshold: float
    measure: Literal["infinity norm", "Jensen-Shannon divergence"]
    split: str

    @property
    def is_beyond(self) -> bool:
        return self.distance > self.threshold

    def __str__(self) -> str:
        bound = "more than" if self.is_beyond else "at most"
        return (
            f"{printable(self.feature)} has drifted by {self.distance:.3g}, {bound} "
            f"{self.threshold:g} ({self.measure}, split {self.split})"
        )


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
      drift: how far features are from what was learned last, where somebody wanted to know.
      learned_by: the version that has learned some of the spans, or the base, by a run that nobody
        knows to have come to its end; None where there is no such thing.
    """

    learn: bool
    reasons: tuple[str, ...]
    start: Start
    spans: Mapping[str, str] = field(default_factory=dict)
    new_spans: tuple[int, ...] = ()
    new_rows: int | None = None
    base: str | None = None
    drift: tuple[Drift, ...] = ()
    learned_by: str | None = None

    @property
    def learned(self) -> Learned:
        """What is learned once this decision has been carried out."""
        return Learned(self.spans, self.base)

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
    drift: Sequence[Drift] = (),
    learned: Decision | None = None,
    in_use: Learner | None = None,
) -> Decision:
    """Compares what is there with what was learned.

    What a span held when the last decision was carried out counts as learned, and what it held for
    the version in use as well. Either may be ahead of the other: a decision that led to a module
    which is no better is not that of a version, and a run may be killed after it has published a
    version and before that is known as the end of its decision.

    Args:
      spans: the spans that there are now.
      config: what it takes.
      base: digest of the base module.
      anomalies: what is wrong with the examples, in words.
      drift: how far features are from what was learned last; those that nobody could compare are
        missing, which the reasons say.
      learned: the decision that the last complete training heeded; None before the first.
      in_use: the version in use; None where it does not say what it has learned.
    """
    before = _Before(learned.learned if learned else None, in_use)
    changed = [span for span in spans if not before.has(span)]
    is_base_new = not before.is_nothing and not before.has_base(base)
    rows = _rows(changed)
    drifted = [str(of) for of in drift if of.is_beyond]
    found = _news(changed, before, rows, drifted)
    if is_base_new:
        found.append(f"the base module is new: {_short(base)} after {_short(before.base)}")
    if found:
        against = _objections(config, anomalies)
        if not is_base_new and not drifted and rows is not None and rows < config.min_new_rows:
            against.append(_too_few(rows, config, drift))
    else:
        against = [before.in_words(spans, base)]
    unknown = config.drift.keys() - {of.feature for of in drift}
    if found and unknown and not before.is_nothing:
        named = ", ".join(printable(feature) for feature in sorted(unknown))
        (against or found).append(
            f"the drift of {named} is not known: what was learned last has no statistics of it"
        )
    return Decision(
        learn=not against,
        reasons=tuple(against or found),
        start="base" if is_base_new else "in use",
        spans={**before.spans, **{str(span.number): span.fingerprint for span in spans}},
        new_spans=tuple(sorted({span.number for span in changed})),
        new_rows=rows,
        base=base,
        drift=tuple(drift),
        learned_by=None if found else before.ahead(spans, base),
    )


class _Before:
    """What was learned, by the last complete training and by the version in use."""

    def __init__(self, last: Learned | None, in_use: Learner | None):
        self._last = last
        self._in_use = in_use
        known = [in_use.learned] if in_use else []
        known += [last] if last else []
        self._known = known
        self.is_nothing = not known
        self.base = known[-1].base if known else None
        self.spans = {number: of for learned in known for number, of in learned.spans.items()}

    def has(self, span: Span) -> bool:
        return any(_knows(learned, span) for learned in self._known)

    def has_base(self, base: str | None) -> bool:
        return any(learned.base == base for learned in self._known)

    def ahead(self, spans: Sequence[Span], base: str | None) -> str | None:
        """The version, where only that has learned one of the spans or the base."""
        last = self._last
        if last and last.base == base and all(_knows(last, span) for span in spans):
            return None
        return self._in_use.version if self._in_use else None

    def in_words(self, spans: Sequence[Span], base: str | None) -> str:
        """That all of it was learned, and by which version where nothing else says so."""
        by_last = [span.number for span in spans if _knows(self._last, span)]
        by_version = [span.number for span in spans if not _knows(self._last, span)]
        has_base = self._last is not None and self._last.base == base
        version = self._in_use.version if self._in_use else ""
        told = [_already(by_version, not has_base, f" ({version})")]
        told.append(_already(by_last, has_base, ""))
        return f"nothing is new: {'; '.join(filter(None, told))}"


def _knows(learned: Learned | None, span: Span) -> bool:
    return learned is not None and learned.spans.get(str(span.number)) == span.fingerprint


def _already(numbers: Sequence[int], with_base: bool, by: str) -> str:
    named = [_named(numbers)] * bool(numbers) + ["the base module"] * with_base
    was = "were" if len(numbers) + with_base > 1 else "was"
    return f"{' and '.join(named)} {was} learned already{by}" if named else ""


def _rows(spans: Sequence[Span]) -> int | None:
    counts = [span.rows for span in spans if span.rows is not None]
    return sum(counts) if len(counts) == len(spans) else None


def _news(
    changed: Sequence[Span], before: _Before, rows: int | None, drifted: Sequence[str]
) -> list[str]:
    """What there is to learn from, in words."""
    with_rows = "" if rows is None else f", {rows} rows"
    rewritten = [span.number for span in changed if str(span.number) in before.spans]
    new = [span.number for span in changed if str(span.number) not in before.spans]
    if before.is_nothing:
        return [f"nothing has been learned yet: {_named(new)}{with_rows}"]
    if not changed:
        return []
    told = [f"{_named(new)} new"] * bool(new) + [f"{_named(rewritten)} rewritten"] * bool(rewritten)
    return ["; ".join([f"{' and '.join(told)}{with_rows}", *drifted])]


def _objections(config: RetrainConfig, anomalies: Sequence[str]) -> list[str]:
    """Why nothing is to be learned though something is new, in words; nothing where it is."""
    if not config.stop_on_anomalies or len(anomalies) <= config.max_anomalies:
        return []
    more = "" if len(anomalies) <= _MAX_NAMED else f"; and {len(anomalies) - _MAX_NAMED} more"
    bound = f", more than {config.max_anomalies}" if config.max_anomalies else ""
    return [f"the examples have anomalies{bound}: {'; '.join(anomalies[:_MAX_NAMED])}{more}"]


def _too_few(rows: int, config: RetrainConfig, drift: Sequence[Drift]) -> str:
    told = f"too few new rows: {rows}, and at least {config.min_new_rows} are asked for"
    return "; ".join([told, *map(str, drift)])


def _named(numbers: Sequence[int]) -> str:
    listed = ", ".join(map(str, sorted(numbers)))
    return f"span{'s' * (len(numbers) > 1)} {listed}"


def _short(digest: Any) -> str:
    return str(digest)[:12] if digest else "none"
