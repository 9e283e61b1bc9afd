"""Means and their intervals, by a paired bootstrap over rows, or over groups of rows."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.names import MeasureKind
from hub_tfx.evaluate.result import Interval, Measure
from hub_tfx.evaluate.scores import RowValues, Scores

Array = np.ndarray[Any, Any]

_DRAWN_AT_ONCE = 1 << 22


def measure_scores(
    scores: Scores, units: Array, config: EvaluateConfig, of: str | None = None
) -> list[Measure]:
    """Measures with their intervals, all from the same draws.

    Every draw takes whole units, with both modules' values of their rows: the difference is paired.
    Two units that nobody measured are among them, one all for the candidate and one all against
    it: without them a few rows that happen to agree would leave no doubt. (Agresti and Min, 2005,
    do so for paired proportions, https://doi.org/10.1002/sim.1781.)

    Args:
      scores: values of each row; at least one row.
      units: ``[n]`` int64, for all rows: equal for rows that are drawn together.
      config: replicates, confidence, seed, and what the measures are.
      of: the slice that the rows are.
    """
    _, units = np.unique(units[scores.rows], return_inverse=True)
    number = int(units.max()) + 1
    columns = [(name, *pair) for name, values in scores.values.items() for pair in _pairs(values)]
    drawn: Mapping[tuple[str, str], Array] = {}
    if number > 1 and columns:
        sums = _sums(columns, units, number, config.measures)
        means = np.concatenate([*_draws(sums, config)])
        drawn = {(name, whose): means[:, at] for at, (name, whose, _) in enumerate(columns)}
    return [
        _measure(name, values, of, number, config, drawn) for name, values in scores.values.items()
    ]


def _pairs(values: RowValues) -> Iterator[tuple[str, Array]]:
    yield "candidate", values.candidate
    if values.baseline is not None:
        yield "baseline", values.baseline


def _sums(
    columns: list[tuple[str, str, Array]],
    units: Array,
    number: int,
    kinds: Mapping[str, MeasureKind],
) -> Array:
    """``[number + 2, columns + 1]``: the sum of each column in each unit, and its rows."""
    sums = np.zeros((number + 2, len(columns) + 1))
    sums[:number, -1] = np.bincount(units)
    typical = sums[number:, -1] = len(units) / number
    for at, (name, whose, values) in enumerate(columns):
        sums[:number, at] = np.bincount(units, values)
        ends = (kinds[name].high, kinds[name].low)
        sums[number:, at] = np.multiply(ends if whose == "candidate" else ends[::-1], typical)
    return sums


def _draws(sums: Array, config: EvaluateConfig) -> Iterator[Array]:
    """``[some, columns]`` at a time: means of as many units as there are, drawn with return."""
    rng = np.random.default_rng(config.seed)
    units = len(sums)
    at_once = max(1, min(config.replicates, _DRAWN_AT_ONCE // units))
    for start in range(0, config.replicates, at_once):
        some = min(at_once, config.replicates - start)
        chosen = rng.integers(units, size=(some, units)) + units * np.arange(some)[:, None]
        times = np.bincount(chosen.ravel(), minlength=some * units).reshape(some, units)
        drawn = times @ sums
        yield drawn[:, :-1] / drawn[:, -1:]


def _measure(
    name: str,
    values: RowValues,
    of: str | None,
    units: int,
    config: EvaluateConfig,
    drawn: Mapping[tuple[str, str], Array],
) -> Measure:
    value = float(values.candidate.mean())
    baseline = None if values.baseline is None else float(values.baseline.mean())
    mine, others = drawn.get((name, "candidate")), drawn.get((name, "baseline"))
    difference = None if mine is None or others is None else mine - others
    return Measure(
        name=name,
        slice=of,
        n=len(values.candidate),
        value=value,
        higher_is_better=config.measures[name].higher_is_better,
        units=units,
        baseline=baseline,
        interval=_interval(mine, units, config),
        baseline_interval=_interval(others, units, config),
        difference=None if baseline is None else value - baseline,
        difference_interval=_interval(difference, units, config),
        chance=values.chance,
    )


def _interval(means: Array | None, units: int, config: EvaluateConfig) -> Interval | None:
    """Percentiles of drawn means, further out for few units, as Student's t is from the normal.

    The percentiles are those of Hesterberg, 2014, https://arxiv.org/abs/1411.5279, section 5.
    """
    if means is None:
        return None
    from scipy.stats import norm, t

    tail = (1 - config.confidence) / 2
    share = norm.cdf(math.sqrt(units / (units - 1)) * t.ppf(tail, units - 1))
    low, high = np.quantile(means, [share, 1 - share])
    return float(low), float(high)
