"""The rows that are measured: a random sample of what there is, with equal rows known."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.retrieval import group_codes
from hub_tfx.evaluate.rows import EvaluatedRows
from hub_tfx.evaluate.scores import codes_of

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Sample:
    """Rows, and which of them are one to the statistics.

    Attributes:
      rows: the rows.
      same: ``[n]`` int64, equal for rows that are the same, whether by content or by vectors.
      units: ``[n]`` int64, equal for rows that the bootstrap draws together: those of a group, or
        otherwise those that are the same.
    """

    rows: EvaluatedRows
    same: Array
    units: Array

    def take(self, indices: Array) -> "Sample":
        return Sample(take(self.rows, indices), self.same[indices], self.units[indices])


def draw_sample(rows: EvaluatedRows, config: EvaluateConfig) -> Sample:
    """At most ``config.sample_rows`` rows, in their order; groups of rows stay whole."""
    same = _same(rows)
    whole = Sample(rows, same, _units(rows, same))
    if len(rows) <= config.sample_rows:
        return whole
    _, of_row, sizes = np.unique(whole.units, return_inverse=True, return_counts=True)
    order = np.random.default_rng(config.seed).permutation(len(sizes))
    is_chosen = np.zeros(len(sizes), bool)
    is_chosen[order[np.cumsum(sizes[order]) <= config.sample_rows]] = True
    return whole.take(np.flatnonzero(is_chosen[of_row]))


def finite(sample: Sample) -> tuple[Sample, dict[str, int]]:
    """The rows whose vectors are finite, and why -> how many the others are."""
    left_out = {}
    is_finite = np.ones(len(sample.rows), bool)
    for whose in ("baseline", "candidate"):
        vectors = getattr(sample.rows, whose)
        are = True if vectors is None else np.isfinite(vectors).all(axis=1)
        if number := int(np.sum(is_finite & ~np.asarray(are))):
            left_out[f"the vector of the {whose} holds NaN or infinity"] = number
        is_finite &= are
    return sample.take(np.flatnonzero(is_finite)), left_out


def take(rows: EvaluatedRows, indices: Array) -> EvaluatedRows:
    """Some of the rows."""

    def of(values: Any) -> Any:
        if values is None or isinstance(values, np.ndarray):
            return values if values is None else values[indices]
        return [values[index] for index in indices.tolist()]

    names = ("candidate", "baseline", "labels", "groups", "shown", "content")
    return replace(
        rows,
        **{name: of(getattr(rows, name)) for name in names},
        slices={name: of(values) for name, values in rows.slices.items()},
        positions=indices.tolist() if rows.positions is None else of(rows.positions),
        total=len(rows) if rows.total is None else rows.total,
    )


def _same(rows: EvaluatedRows) -> Array:
    if rows.content is not None:
        return codes_of(rows.content)
    both = (rows.candidate, rows.candidate[:, :0] if rows.baseline is None else rows.baseline)
    return codes_of([(one.tobytes(), other.tobytes()) for one, other in zip(*both, strict=True)])


def _units(rows: EvaluatedRows, same: Array) -> Array:
    if rows.groups is None:
        return same
    groups = group_codes(rows.groups)
    return np.where(groups >= 0, groups, same + groups.max(initial=0) + 1)
