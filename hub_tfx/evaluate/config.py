"""EvaluateConfig: what is measured of a module, and what it takes to be blessed."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from hub_tfx._config import JobConfig, Range
from hub_tfx.errors import ConfigError
from hub_tfx.evaluate.names import PROBE, MeasureKind, known_measures, recall
from hub_tfx.evaluate.threshold import Threshold

_Count = Annotated[int, Range(least=1)]


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(JobConfig):
    """How a module is judged; see JobConfig for the JSON and for what is refused.

    Attributes:
      label: feature that holds the class of a row; None for no measures of labels.
      pairs: feature whose equal values make a group of rows that should find each other; None for
        no measures of retrieval.
      slices: features by whose values the measures are shown apart.
      primary: the one measure that decides. None for probe_accuracy where there is a label,
        otherwise recall@k where there are pairs; without both no module is blessed.
      margin: how much worse than the baseline the module may be and still be blessed, in units of
        the primary measure (0.01 is one point of accuracy). With 0 it must be better.
      thresholds: bounds such as ``probe_accuracy>=0.8``, ``knn_accuracy@lang=de>=0.7`` and
        ``cost_rows_per_s>=0.5*baseline``; see Threshold. All of them must be met.
      sample_rows: number of rows that are measured at most; of more rows, a random sample is.
      folds: parts of cross-validation.
      neighbours: number of nearest rows that vote, and among which pairs are looked for: the k of
        recall@k, mrr@k, ndcg@k and overlap@k.
      probe: ``logistic`` regression, or ``ridge``, which takes less time where vectors are long and
        classes many.
      slice_values: number of values of a feature that are shown apart, the most frequent first.
      replicates: bootstrap replicates.
      confidence: share of the intervals that hold what they estimate.
      seed: seed of the sample, the folds and the bootstrap.
      worse_shown: number of rows that got worse to show.
    """

    NAME = "evaluate config"

    label: str | None = None
    pairs: str | None = None
    slices: tuple[str, ...] = ()
    primary: str | None = None
    margin: Annotated[float, Range(least=0, below=math.inf)] = 0.0
    thresholds: tuple[str, ...] = ()
    sample_rows: _Count = 20_000
    folds: Annotated[int, Range(least=2, most=100)] = 5
    neighbours: Annotated[int, Range(least=1, most=1000)] = 10
    probe: Literal["logistic", "ridge"] = "logistic"
    slice_values: Annotated[int, Range(least=0)] = 20
    replicates: Annotated[int, Range(least=200, most=1_000_000)] = 2000
    confidence: Annotated[float, Range(least=0.5, below=1)] = 0.95
    seed: Annotated[int, Range(least=0, most=2**31 - 1)] = 0
    worse_shown: Annotated[int, Range(least=0)] = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.primary is not None:
            self._check_measure(self.primary, "primary")
            if self.measures[self.primary].kind not in ("labels", "pairs"):
                names = [n for n, m in self.measures.items() if m.kind in ("labels", "pairs")]
                raise ConfigError(f"primary takes {', '.join(names)}, not {self.primary!r}")
        for text, threshold in zip(self.thresholds, self.limits, strict=True):
            self._check_threshold(text, threshold)

    def _check_threshold(self, text: str, threshold: Threshold) -> None:
        what = f"threshold {text!r}"
        self._check_measure(threshold.measure, what)
        if threshold.slice is None:
            return
        if not self.measures[threshold.measure].is_of_rows:
            raise ConfigError(f"{what}: {threshold.measure} is not measured by slice")
        if threshold.slice.feature not in self.slices:
            raise ConfigError(
                f"{what}: {threshold.slice.feature!r} is not among slices; add it there"
            )

    def _check_measure(self, name: str, what: str) -> None:
        if name not in self.measures:
            like = difflib.get_close_matches(name, self.measures, 1)
            hint = f"did you mean {like[0]}? " if like else ""
            raise ConfigError(
                f"{what}: {name!r} is not a measure; {hint}they are {', '.join(self.measures)}"
            )
        needs = {"labels": ("label", self.label), "pairs": ("pairs", self.pairs)}
        key, given = needs.get(self.measures[name].kind, ("", ""))
        if given is None:
            raise ConfigError(f"{what}: {name} needs `{key}`: name the feature that holds it")

    @cached_property
    def limits(self) -> tuple[Threshold, ...]:
        """``thresholds``, read."""
        return tuple(map(Threshold.parse, self.thresholds))

    @cached_property
    def measures(self) -> Mapping[str, MeasureKind]:
        """Name -> measure, of all that there are with this number of neighbours."""
        return known_measures(self.neighbours)

    @property
    def decides(self) -> str | None:
        """The measure that decides: ``primary``, or the one that is taken where none is named."""
        if self.primary is not None:
            return self.primary
        if self.label is not None:
            return PROBE
        return recall(self.neighbours) if self.pairs is not None else None
