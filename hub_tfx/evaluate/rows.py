"""EvaluatedRows: the vectors of the same rows by two modules, and what is known of each row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hub_tfx.finetune.labels import class_name

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class EvaluatedRows:
    """Rows as two modules embed them. Row i of everything is the same row.

    Attributes:
      candidate: ``[n, dim]`` vectors of the module that is judged; held as float32.
      baseline: ``[n, other_dim]`` vectors of the module in use; None where there is none.
      labels: ``[n]`` classes; None, NaN and the empty text are no label. None where not asked for.
      groups: ``[n]`` values of the feature whose equal values belong together; None, NaN and the
        empty text belong to nothing. None where not asked for.
      slices: feature -> ``[n]`` values.
      shown: ``[n]`` what to show of a row on the page, such as its text.
      content: ``[n]`` what the modules are fed, or a digest of it: rows with equal content are one
        row to the statistics. None to take rows as equal whose vectors are, of both modules.
      positions: ``[n]`` number of each row in the input; None for 0 to n - 1.
      total: number of rows of the input that these were chosen from; None for n.
      left_out: reason -> number of rows of the input that could not be embedded.

    Raises:
      ValueError: shapes do not fit each other.
    """

    candidate: Array
    baseline: Array | None = None
    labels: Sequence[Any] | None = None
    groups: Sequence[Any] | None = None
    slices: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    shown: Sequence[str] | None = None
    content: Sequence[Any] | None = None
    positions: Sequence[int] | None = None
    total: int | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("candidate", "baseline"):
            if (vectors := getattr(self, name)) is not None:
                object.__setattr__(self, name, _vectors(name, vectors))
        for name in ("labels", "groups"):
            if (values := getattr(self, name)) is not None:
                object.__setattr__(self, name, names_of(values))
        slices = {feature: names_of(values) for feature, values in self.slices.items()}
        object.__setattr__(self, "slices", slices)
        self._check_lengths()

    def __len__(self) -> int:
        return len(self.candidate)

    @property
    def vectors(self) -> Mapping[str, Array]:
        """``candidate`` and, if there is one, ``baseline`` -> vectors."""
        candidate = {"candidate": self.candidate}
        return candidate if self.baseline is None else {**candidate, "baseline": self.baseline}

    def _check_lengths(self) -> None:
        columns = {f"slice {name!r}": values for name, values in self.slices.items()}
        for name in ("baseline", "labels", "groups", "shown", "content", "positions"):
            if (values := getattr(self, name)) is not None:
                columns[name] = values
        for name, values in columns.items():
            if len(values) != len(self):
                raise ValueError(f"{name} has {len(values)} rows, and candidate has {len(self)}")


def names_of(values: Sequence[Any]) -> Array:
    """``[n]`` object: each value as a text, or None where there is none."""
    names = np.empty(len(values), object)
    for row, value in enumerate(values):
        is_missing = value is None or (isinstance(value, float | np.floating) and value != value)
        names[row] = None if is_missing else class_name(value) or None
    return names


def _vectors(name: str, vectors: Any) -> Array:
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} is {vectors.dtype} of shape {vectors.shape}, not [n, dim] numbers"
        )
    with np.errstate(over="ignore"):  # To infinity, which is then counted.
        return np.ascontiguousarray(vectors, np.float32)
