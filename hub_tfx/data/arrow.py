"""Arrow arrays: nested lists, types, columns by name."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def all_but(rows: int, rejected: Collection[int]) -> Any:
    """Indices of rows that were not rejected, ascending: ``[rows]`` int64."""
    every = np.arange(rows)
    return np.setdiff1d(every, list(rejected)) if rejected else every


def batch_of(columns: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """A record batch of named columns."""
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def columns_of(batch: pa.RecordBatch, names: Sequence[str]) -> dict[str, pa.Array]:
    """Some columns of a record batch by name."""
    return {name: batch.column(batch.schema.get_field_index(name)) for name in names}


def flatten(column: pa.Array) -> tuple[pa.Array, np.ndarray[Any, Any]]:
    """The values of a (nested) list column, and where each row's begin: ``[rows + 1]`` int64.

    A column that is not a list has one value a row, null or not.
    """
    offsets = np.arange(len(column) + 1, dtype=np.int64)
    while is_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])[offsets]
        column = column.flatten()
    return column, offsets


def is_list(given: pa.DataType) -> bool:
    """Whether a type is a list of any kind, fixed-size ones included."""
    types = pa.types
    kinds = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    return any(is_kind(given) for is_kind in kinds)


def is_number(given: pa.DataType) -> bool:
    """Whether a type is an integer or a float; a bool is neither."""
    return bool(pa.types.is_integer(given) or pa.types.is_floating(given))


def is_text(given: pa.DataType) -> bool:
    """Whether a type is a string of any width."""
    return bool(pa.types.is_string(given) or pa.types.is_large_string(given))


def is_bytes(given: pa.DataType) -> bool:
    """Whether a type is text or binary of any width."""
    return is_text(given) or bool(pa.types.is_binary(given) or pa.types.is_large_binary(given))
