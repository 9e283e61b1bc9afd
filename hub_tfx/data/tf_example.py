"""Columns as tf.Example holds them: lists of bytes, int64 or float32."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hub_tfx.data.arrow import batch_of, columns_of, flatten, is_list, rows_of
from hub_tfx.data.marks import mark_rejected, rejected_of
from hub_tfx.errors import ConfigError

TF_DTYPES = {pa.large_binary(): "string", pa.int64(): "int64", pa.float32(): "float32"}
"""What a feature of tf.Example holds -> the dtype, by TensorFlow's name, that it is parsed as."""
_MAX_INT64 = (1 << 63) - 1
_NULL_IN_LIST = "a null inside a list"
_BEYOND_FLOAT32 = "a number beyond float32"


def example_type(given: pa.DataType, name: str) -> pa.DataType:
    """The values a feature of tf.Example has for a column: large_binary, int64 or float32.

    Raises:
      ConfigError: tf.Example has none for this type.
    """
    types = pa.types
    if is_list(given) and not is_list(given.value_type):
        return example_type(given.value_type, name)
    binary = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    text = (types.is_string, types.is_large_string, types.is_null)
    if any(is_kind(given) for is_kind in binary + text):
        return pa.large_binary()
    if types.is_integer(given) or types.is_boolean(given):
        return pa.int64()
    if types.is_floating(given):
        return pa.float32()
    raise _not_held(name, str(given))


def to_example_columns(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its columns as ``large_list`` of what tf.Example holds; null is an empty list.

    float64 is rounded to float32.

    Raises:
      ConfigError: a column has a type, or a value, that tf.Example cannot hold.
    """
    return batch_of(
        {
            field.name: _to_lists(column, example_type(field.type, field.name), field.name)
            for field, column in zip(batch.schema, batch.columns, strict=True)
        }
    )


def reject_unheld(batch: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    """The batch; rows with a value that tf.Example cannot hold are rejected, and it is null.

    Args:
      batch: the rows.
      names: columns that go into tf.Examples.
    """
    columns = columns_of(batch, batch.schema.names)
    rejected = rejected_of(batch)
    for name in names:
        unheld = _unheld(columns[name])
        for row, what in unheld.items():
            rejected.setdefault(row, _sentence(name, what))
        if unheld:
            places = [None if row in unheld else row for row in range(batch.num_rows)]
            columns[name] = columns[name].take(pa.array(places, pa.int64()))
    if len(rejected) == len(rejected_of(batch)):
        return batch
    nulled = pa.RecordBatch.from_arrays(list(columns.values()), schema=batch.schema)
    return mark_rejected(nulled, rejected)


def _unheld(column: pa.Array) -> dict[int, str]:
    """Row of a column -> what in it tf.Example cannot hold."""
    values, offsets = flatten(column)
    found: dict[int, str] = {}
    if is_list(column.type):
        found |= dict.fromkeys(rows_of(np.flatnonzero(values.is_null()), offsets), _NULL_IN_LIST)
    if values.type == pa.uint64():
        is_large = pc.fill_null(pc.greater(values, pa.scalar(_MAX_INT64, pa.uint64())), False)
        found |= dict.fromkeys(rows_of(np.flatnonzero(is_large), offsets), "a value beyond int64")
    if values.type == pa.float64():
        is_large = _becomes_infinite(values, values.cast(pa.float32()))
        found |= dict.fromkeys(rows_of(np.flatnonzero(is_large), offsets), _BEYOND_FLOAT32)
    return found


def of_example_columns(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """What ``to_example_columns`` was given, if it had no nulls.

    Args:
      batch: ``large_list`` columns, among them those of the schema.
      schema: values or lists of them: numbers, booleans, text or bytes.

    Raises:
      ValueError: a row has not as many values as the schema says.
    """
    columns = [_of_lists(batch.column(batch.schema.get_field_index(f.name)), f) for f in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _of_lists(column: pa.Array, field: pa.Field) -> pa.Array:
    values, offsets = flatten(column)
    rows, wanted = len(column), field.type
    if not is_list(wanted):
        _check_size(field.name, rows, values, offsets, 1)
        return _cast(values, wanted)
    values = _cast(values, wanted.value_type)
    if pa.types.is_fixed_size_list(wanted):
        _check_size(field.name, rows, values, offsets, wanted.list_size)
        return pa.FixedSizeListArray.from_arrays(values, wanted.list_size)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values).cast(wanted)


def _check_size(
    name: str, rows: int, values: pa.Array, offsets: np.ndarray[Any, Any], size: int
) -> None:
    if not np.array_equal(offsets, np.arange(rows + 1) * size) or values.null_count:
        raise ValueError(f"feature {name!r} has rows that do not have {size} values")


def _cast(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    if not pa.types.is_fixed_size_binary(wanted):
        return values.cast(wanted)
    return pa.array(values.to_pylist(), wanted)  # pyarrow 10 has no such cast.


def _to_lists(column: pa.Array, value_type: pa.DataType, name: str) -> pa.Array:
    if column.type == pa.large_list(value_type):
        return column
    if not is_list(column.type) and column.null_count:
        lengths = np.asarray(column.is_valid()).astype(np.int64)
        offsets, values = np.concatenate([[0], np.cumsum(lengths)]), column.drop_null()
    else:
        values, offsets = flatten(column)
    if values.null_count:
        raise _not_held(name, _NULL_IN_LIST)
    return pa.LargeListArray.from_arrays(
        pa.array(offsets, pa.int64()), _to_values(values, value_type, name)
    )


def _to_values(values: pa.Array, value_type: pa.DataType, name: str) -> pa.Array:
    try:
        converted = values.cast(value_type)
    except pa.ArrowInvalid as error:
        raise _not_held(name, f"a value beyond {value_type}") from error
    if values.type == pa.float64() and _becomes_infinite(values, converted).any():
        raise _not_held(name, _BEYOND_FLOAT32)
    return converted


def _becomes_infinite(values: pa.Array, converted: pa.Array) -> Any:
    is_infinite = np.isinf(converted.to_numpy(zero_copy_only=False))
    return is_infinite & np.isfinite(values.to_numpy(zero_copy_only=False))


def _not_held(name: str, what: str) -> ConfigError:
    return ConfigError(f"{_sentence(name, what)}: do not keep it, or write parquet")


def _sentence(name: str, what: str) -> str:
    return f"feature {name!r} holds {what}, which tf.Example cannot hold"
