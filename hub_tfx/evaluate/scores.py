"""Scores: the value of measures for each row, from which means and intervals are taken."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class RowValues:
    """What one measure is for each of some rows.

    Attributes:
      candidate: ``[m]`` float64.
      baseline: ``[m]`` float64; None without a baseline, or where there is no such number.
      chance: the mean of a module that knows nothing.
      said: ``candidate`` or ``baseline`` -> ``[m]`` names that it predicts; None where neither
        predicts.
    """

    candidate: Array
    baseline: Array | None
    chance: float | None = None
    said: Mapping[str, Array] | None = None


@dataclass(frozen=True)
class Scores:
    """Measures of the same rows.

    Attributes:
      rows: ``[m]`` indices of the rows.
      values: name of a measure -> its values.
    """

    rows: Array
    values: Mapping[str, RowValues]

    def of(self, chosen: Array) -> "Scores":
        """The same of those rows for which ``chosen``, ``[m]`` bool, is true."""
        values = {
            name: RowValues(
                of.candidate[chosen],
                None if of.baseline is None else of.baseline[chosen],
            )
            for name, of in self.values.items()
        }
        return Scores(self.rows[chosen], values)


def codes_of(values: Any) -> Array:
    """``[n]`` int64: equal values have equal numbers, from 0 in the order of their first row."""
    numbers: dict[Any, int] = {}
    return np.fromiter((numbers.setdefault(v, len(numbers)) for v in values), np.int64, len(values))
