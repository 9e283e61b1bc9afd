"""Which spans are read, chosen before the run or in it, and whether these are what was read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hub_tfx._typed_json import from_plain, known_only, parse_object
from hub_tfx.data.span_patterns import SpanPattern
from hub_tfx.data.spans import FoundSpan, SpanFile, files_of, find_spans, fingerprints_of
from hub_tfx.errors import ConfigError, InputError
from hub_tfx.repository.facts import Learned
from hub_tfx.repository.learning import learner_of
from hub_tfx.retrain.config import Window, check_window


@dataclass(frozen=True)
class PlannedSpan:
    """A span that is to be read.

    Attributes:
      number: its number.
      fingerprint: what its content must be known by; None for whatever is there.
      version: its version; None where versions are not told apart.
    """

    number: int
    fingerprint: str | None = None
    version: int | None = None


@dataclass(frozen=True)
class WindowPlan:
    """The spans of a window, by number. ``from_json(p.to_json()) == p``.

    Attributes:
      spans: the spans, at least one.
    """

    spans: tuple[PlannedSpan, ...]

    def to_json(self) -> str:
        """Equal plans give equal texts, by which TFX's cache knows them."""
        return json.dumps(known_only(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "WindowPlan":
        """What ``to_json`` wrote.

        Raises:
          ConfigError: it is not a plan.
        """
        try:
            plan: WindowPlan = from_plain(cls, parse_object(text))
            if not plan.spans:
                raise ValueError("it has no spans")
        except ValueError as error:
            raise ConfigError(f"the plan of a window is damaged: {error}") from error
        return plan

    def check(self, read: Mapping[int, str]) -> None:
        """Raises InputError where a span that was read is not the one that was planned.

        Args:
          read: number -> fingerprint of what was read.
        """
        for span in self.spans:
            if span.fingerprint not in (None, read[span.number]):
                raise InputError(
                    f"span {span.number} has changed since the run was planned: run the pipeline "
                    "again"
                )


def plan_window(
    base: str,
    patterns: Sequence[SpanPattern],
    window: Window,
    learned: Learned | None = None,
    *,
    pinned: bool = False,
) -> WindowPlan:
    """The spans of a window as they are now.

    Args:
      base: folder of the input, on any filesystem that Beam knows.
      patterns: that of each split.
      window: which spans.
      learned: what the version in use has learned; None where that is unknown.
      pinned: whether their content is read now and has to stay what it is.

    Raises:
      ConfigError: the patterns do not tell the spans of a window apart.
      InputError: there is no span, or one of them is not whole.
    """
    check_window(window, patterns)
    spans = find_spans(base, patterns)
    chosen = [spans[number] for number in _chosen(window, spans, learned)]
    files = [files_of(span, span.newest, patterns) for span in chosen]
    plan = [PlannedSpan(span.number, version=span.newest) for span in chosen]
    if pinned:
        known_by = zip(plan, fingerprints_of(files), strict=True)
        plan = [replace(span, fingerprint=fingerprint) for span, fingerprint in known_by]
    return WindowPlan(tuple(plan))


def planned_files(
    base: str, patterns: Sequence[SpanPattern], plan: WindowPlan
) -> tuple[SpanFile, ...]:
    """The files of all spans of a plan.

    Raises:
      InputError: a span is not there any more, or not whole.
    """
    spans = find_spans(base, patterns)
    found = [(spans.get(span.number, FoundSpan(span.number, {})), span) for span in plan.spans]
    return tuple(file for there, span in found for file in files_of(there, span.version, patterns))


def learned_by(handle: str, digest: str, base: str | None) -> Learned | None:
    """What counts as learned where training starts from the module in use.

    None where that is unknown, and where the module in use is the base, or began with another one:
    training then starts from the base.

    Args:
      handle, digest: of the module in use.
      base: digest of the base module; None where there is none.

    Raises:
      InputError: the repository cannot be read.
    """
    learner = None if digest == base else learner_of(handle, digest)
    if learner is None or base not in (None, learner.learned.base):
        return None
    return learner.learned


def _chosen(
    window: Window, spans: Mapping[int, FoundSpan], learned: Learned | None
) -> Sequence[int]:
    numbers = sorted(spans)
    if window.since is None:
        return numbers[-(window.last or 1) :]
    if window.since == "published" and learned is not None:
        return _not_learned(spans, learned) or numbers[-1:]
    return numbers


def _not_learned(spans: Mapping[int, FoundSpan], learned: Learned) -> list[int]:
    """The spans that are new, late or rewritten."""
    known = [number for number in spans if str(number) in learned.spans]
    now = fingerprints_of(spans[number].versions[spans[number].newest] for number in known)
    kept = {
        number
        for number, fingerprint in zip(known, now, strict=True)
        if learned.spans[str(number)] == fingerprint
    }
    return [number for number in sorted(spans) if number not in kept]
