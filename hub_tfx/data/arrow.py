"""Arrow arrays: nested lists, types, columns by name."""

from collections.abc import Collection, Iterator, Mapping, Sequence
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


def leaf_type(given: pa.DataType) -> tuple[pa.DataType, int]:
    """Of what the values in nested lists are, and how deep these are nested."""
    depth = 0
    while is_list(given):
        depth, given = depth + 1, given.value_type
    return given, depth


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
    types = pa.types
    kinds = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    return is_text(given) or any(is_kind(given) for is_kind in kinds)


def is_open(given: pa.DataType) -> bool:
    """Whether a type is that of values which do not tell all of it."""
    if is_list(given):
        return is_open(given.value_type)
    if pa.types.is_struct(given):
        return given.num_fields == 0 or any(is_open(field.type) for field in given)
    return bool(pa.types.is_null(given))


def has_empty_struct(given: pa.DataType) -> bool:
    """Whether a type is, or holds, a struct without a field."""
    if is_list(given):
        return has_empty_struct(given.value_type)
    is_struct = bool(pa.types.is_struct(given))
    return is_struct and (not given.num_fields or any(has_empty_struct(f.type) for f in given))


def filled(given: pa.DataType, value_type: pa.DataType) -> pa.DataType:
    """The type with one for the values of which nothing is known."""
    if pa.types.is_null(given):
        return value_type
    if is_list(given) and is_open(given):
        return pa.list_(filled(given.value_type, value_type))
    if pa.types.is_struct(given):
        return pa.struct([field.with_type(filled(field.type, value_type)) for field in given])
    return given


def plain_type(given: pa.DataType) -> pa.DataType:
    """The type without dictionaries, which are a way to store values: pandas' categories."""
    types = pa.types
    if types.is_dictionary(given):
        return plain_type(given.value_type)
    if types.is_list(given):
        return pa.list_(plain_type(given.value_type))
    if types.is_large_list(given):
        return pa.large_list(plain_type(given.value_type))
    if types.is_struct(given):
        return pa.struct([field.with_type(plain_type(field.type)) for field in given])
    return given


def paths_of(name: str) -> Iterator[tuple[str, str]]:
    """The ways to read a name with dots as that of a struct and of a field in it."""
    for place, letter in enumerate(name):
        if letter == ".":
            yield name[:place], name[place + 1 :]


def find_column(batch: pa.RecordBatch, name: str) -> pa.Array | None:
    """A column, or a field of a struct as ``fields.with_struct_fields`` calls it; None for neither.

    A field is null where its struct is.
    """
    place = batch.schema.get_field_index(name)
    if place >= 0:
        return batch.column(place)
    for head, rest in paths_of(name):
        column = find_column(batch, head)
        if column is not None and pa.types.is_struct(column.type):
            names = [field.name for field in column.type]
            fields = pa.RecordBatch.from_arrays(column.flatten(), names)
            if (found := find_column(fields, rest)) is not None:
                return found
    return None


def invalid_text(column: pa.Array) -> list[int]:
    """Rows that hold a string, at any depth, whose bytes are not UTF-8: Arrow does not look."""
    if is_text(column.type):
        return invalid_utf8(column)
    if pa.types.is_struct(column.type):
        return sorted({row for child in column.flatten() for row in invalid_text(child)})
    if pa.types.is_map(column.type):
        offsets = np.asarray(column.offsets)
        first, entries = offsets[0], offsets[-1] - offsets[0]
        halves = (half.slice(first, entries) for half in (column.keys, column.items))
        wrong = [place for half in halves for place in invalid_text(half)]
        return rows_of(wrong, offsets - first)
    if is_list(column.type):
        values, offsets = flatten(column)
        return rows_of(invalid_text(values), offsets)
    return []


def rows_of(positions: Any, offsets: np.ndarray[Any, Any]) -> list[int]:
    """The rows, ascending, in which values are, by the ``offsets`` that ``flatten`` gives."""
    rows: list[int] = np.unique(np.searchsorted(offsets, positions, side="right") - 1).tolist()
    return rows


def invalid_utf8(values: pa.Array) -> list[int]:
    """Places of texts, or of bytes, that are not valid UTF-8."""
    types = pa.types
    is_large = types.is_large_string(values.type) or types.is_large_binary(values.type)
    as_bytes = values.cast(pa.large_binary() if is_large else pa.binary())
    try:
        as_bytes.cast(pa.large_string() if is_large else pa.string())
    except pa.ArrowInvalid:
        return [n for n, value in enumerate(as_bytes.to_pylist()) if not _is_utf8(value)]
    return []


def _is_utf8(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True
