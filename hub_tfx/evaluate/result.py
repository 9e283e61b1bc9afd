"""Evaluation: the verdict on a module, why, and the numbers that it rests on."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from hub_tfx._typed_json import from_plain, parse_object
from hub_tfx.embed.manifest import MADE_BY, ModuleRef

Verdict = Literal["blessed", "not blessed"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Measure:
    """One number about the candidate, beside the same of the baseline.

    Attributes:
      name: what is measured; see names.known_measures.
      slice: ``FEATURE=VALUE`` of the rows that it is about; None for all.
      n: number of rows that have a value; 0 for what is not of rows, such as cost.
      units: number of rows, or groups of rows, that the bootstrap draws.
      value, baseline: means over these rows; baseline is None where there is no such number.
      interval, baseline_interval: of each; None where there are too few rows, or none.
      difference, difference_interval: value minus baseline, paired by row.
      chance: the value of a module that knows nothing, where that is known.
      higher_is_better: None where neither is.
    """

    name: str
    slice: str | None
    n: int
    value: float
    higher_is_better: bool | None
    units: int = 0
    baseline: float | None = None
    interval: Interval | None = None
    baseline_interval: Interval | None = None
    difference: float | None = None
    difference_interval: Interval | None = None
    chance: float | None = None


@dataclass(frozen=True)
class NotMeasured:
    """Something that was asked for, and why there is no number."""

    what: str
    why: str


@dataclass(frozen=True)
class SanityCheck:
    """Whether vectors are fit for use at all.

    Attributes:
      name: what is looked at.
      candidate, baseline: what was found, in words; baseline is None where there is none.
      passed: of the candidate; None where it is for information only.
      why: what is wrong; empty where nothing is.
    """

    name: str
    candidate: str
    baseline: str | None
    passed: bool | None
    why: str = ""


@dataclass(frozen=True)
class Cost:
    """What it takes to embed with a module.

    Attributes:
      rows_per_s: rows a second.
      load_s: seconds until it can be called.
      size_bytes: size of its files.
    """

    rows_per_s: float | None = None
    load_s: float | None = None
    size_bytes: float | None = None


@dataclass(frozen=True)
class Costs:
    """The cost of both modules, measured in one run."""

    candidate: Cost
    baseline: Cost | None = None


@dataclass(frozen=True)
class ThresholdResult:
    """A threshold and whether it is met.

    Attributes:
      threshold: as in the config.
      value: what was measured; None where nothing was.
      bound: the number that it was compared with; None without the baseline that it needs.
      met: whether it is met; what is not measured is not.
      why: in words.
    """

    threshold: str
    value: float | None
    bound: float | None
    met: bool
    why: str


@dataclass(frozen=True)
class WorseRow:
    """A row that the candidate does worse on than the baseline, by the primary measure.

    Attributes:
      position: number of the row in the input.
      shown: what the row is, for a person.
      expected: its label, or its group.
      before, after: what the baseline and the candidate make of it: the predicted class, or the
        nearest rows.
      baseline, candidate: value of the primary measure for this row.
    """

    position: int
    shown: str
    expected: str
    before: str
    after: str
    baseline: float
    candidate: float


@dataclass(frozen=True)
class RowCounts:
    """How many rows there are, and how many of them are measured.

    Attributes:
      total: rows of the input.
      sampled: rows that were measured at all.
      with_label, with_group: of these, rows whose label or group could be used.
      left_out: reason -> rows of the input that were not measured.
    """

    total: int
    sampled: int
    with_label: int | None = None
    with_group: int | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """The verdict on a module. ``from_json(e.to_json()) == e``; unknown keys are refused.

    Attributes:
      verdict: ``blessed`` or ``not blessed``.
      reasons: why, in words, the most important first.
      primary: name of the measure that decided; None if nothing could.
      rule: the rule that was applied, in words.
      measures: all that was measured, whole before slices.
      not_measured: what was asked for, and could not be measured.
      thresholds, sanity, cost, worse: see there; worse is empty without a baseline.
      rows: how many there were.
      uncertainty: what the intervals cover, and what they do not.
      config: the EvaluateConfig, as JSON.
      module, baseline: what was compared; None where vectors were given without their module.
      provenance: what else is to be known of where it came from, such as the paths of the input.
      version: version of hub_tfx that wrote it.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    primary: str | None
    rule: str
    measures: tuple[Measure, ...]
    not_measured: tuple[NotMeasured, ...]
    thresholds: tuple[ThresholdResult, ...]
    sanity: tuple[SanityCheck, ...]
    cost: Costs | None
    worse: tuple[WorseRow, ...]
    rows: RowCounts
    uncertainty: str
    config: Mapping[str, Any]
    version: str
    module: ModuleRef | None = None
    baseline: ModuleRef | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_blessed(self) -> bool:
        return self.verdict == "blessed"

    def measure(self, name: str, of: str | None = None) -> Measure | None:
        """The measure with this name, of all rows or of the slice ``FEATURE=VALUE``."""
        found = (m for m in self.measures if m.name == name and m.slice == of)
        return next(found, None)

    @property
    def primary_measure(self) -> Measure | None:
        """The measure that decided, of all rows."""
        return None if self.primary is None else self.measure(self.primary)

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as plain JSON."""
        return {"made_by": MADE_BY, **asdict(self)}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Evaluation":
        """Raises ValueError for anything but what ``to_json`` writes."""
        document = parse_object(text)
        if document.pop("made_by", None) != MADE_BY:
            raise ValueError("it was not made by hub_tfx")
        evaluation: Evaluation = from_plain(cls, document, "the evaluation")
        return evaluation
