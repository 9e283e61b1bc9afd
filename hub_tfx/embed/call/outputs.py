"""A module's outputs to columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from hub_tfx.embed.columns import OutputColumn
from hub_tfx.errors import ConfigError

_Array = np.ndarray[Any, Any]
_INT8_MAX = 127


@dataclass(frozen=True)
class Outputs:
    """What one call gave.

    Attributes:
      columns: all rows of it, by the names of the columns.
      rejected: rows that cannot be written -> reason.
    """

    columns: Mapping[str, pa.Array]
    rejected: Mapping[int, str]


def to_array(output: Any) -> Any:
    """A dense or sparse tensor as an array; a RaggedTensor as it is."""
    if isinstance(output, tf.RaggedTensor):
        return output
    if isinstance(output, tf.SparseTensor):
        output = tf.sparse.to_dense(output)
    return output.numpy()


def to_columns(column: OutputColumn, output: Any, rows: int, called_rows: int) -> Outputs:
    """An output as the columns that ``column.fields`` lists.

    Args:
      column: how it is written.
      output: an array or a RaggedTensor, see to_array.
      rows: of the input.
      called_rows: the same, or more where the call was filled up.

    Raises:
      ConfigError: the output has not one row for each row of the input.
    """
    shape = tuple(output.shape)
    if not shape or shape[0] != called_rows:
        raise ConfigError(
            f"the module's output for column {column.name!r} has shape {list(shape)} for "
            f"{called_rows} rows: only outputs with one row for each input row can be written; if "
            "the signature takes one row at a time, embed with no_batch (--no-batch)"
        )
    if isinstance(output, tf.RaggedTensor):
        return _ragged(column, output[:rows])
    array: _Array = output[:rows]
    if column.shape_name is None:
        array = array.reshape(rows, *column.shape)
    if column.type != pa.float32():
        return Outputs({column.name: _lists(column, array)}, {})
    array = array.astype(np.float32, copy=False)
    rejected = _without_number(column, array)
    if column.normalize:
        array = _normalized(array)
    columns: dict[str, pa.Array] = {}
    if column.packed == "float16":
        with np.errstate(over="ignore"):
            packed = array.astype("<f2")
        too_large = np.isinf(packed) & np.isfinite(array)
        rejected = _rows(too_large, f"float16 cannot hold a value of {column.name!r}") | rejected
        columns[column.name] = _bytes(column, packed)
    elif column.scale_name:
        packed, scales = _scaled(array)
        columns[column.name] = _bytes(column, packed)
        columns[column.scale_name] = pa.array(scales)
    else:
        columns[column.name] = _lists(column, array)
    if column.shape_name:
        columns[column.shape_name] = pa.array([array.shape[1:]] * rows, pa.list_(pa.int32()))
    return Outputs(columns, rejected)


def _without_number(column: OutputColumn, array: _Array) -> dict[int, str]:
    return _rows(~np.isfinite(array), f"the module gave NaN or infinity for {column.name!r}")


def _rows(is_bad: _Array, reason: str) -> dict[int, str]:
    """Rows with anything bad in them -> reason."""
    if not is_bad.any():
        return {}
    rows = np.flatnonzero(is_bad.reshape(len(is_bad), -1).any(axis=1))
    return dict.fromkeys(rows.tolist(), reason)


def _normalized(array: _Array) -> _Array:
    """Vectors along the last axis, divided by their L2 norm; zero stays zero."""
    norms = np.linalg.norm(array.astype(np.float64), axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):  # Rows with infinity are rejected.
        unit: _Array = (array / np.where(norms > 0, norms, 1)).astype(np.float32)
    return unit


def _scaled(array: _Array) -> tuple[_Array, _Array]:
    """``[rows, …]`` int8, and for each row the float32 that it is to be multiplied with.

    Symmetric, in [-127, 127] with zero at 0, as TensorFlow Lite has it
    (https://www.tensorflow.org/lite/performance/quantization_spec). One scale a row needs no look
    at the others, and drops out of cosines.
    """
    flat = array.reshape(len(array), -1)
    with np.errstate(invalid="ignore"):  # Rows with infinity are rejected.
        peaks = np.abs(flat).max(axis=1, initial=0)
        peaks = np.where(peaks > 0, peaks, 1)
        packed = np.rint(flat / peaks[:, None] * _INT8_MAX).astype(np.int8)
    return packed, (peaks / _INT8_MAX).astype(np.float32)


def _lists(column: OutputColumn, array: _Array) -> pa.Array:
    """``[rows, …]`` as a column of values or lists."""
    values = pa.array(np.ascontiguousarray(array).reshape(-1), column.type)
    if not column.shape:
        return values
    if column.size:
        return pa.FixedSizeListArray.from_arrays(values, column.size)
    return pa.ListArray.from_arrays(_equal_offsets(array, array[0].size), values)


def _bytes(column: OutputColumn, array: _Array) -> pa.Array:
    """``[rows, …]`` as a column of each row's bytes."""
    data = pa.py_buffer(np.ascontiguousarray(array))
    if column.size:
        row_bytes = column.size * array.itemsize
        return pa.Array.from_buffers(pa.binary(row_bytes), len(array), [None, data])
    offsets = _equal_offsets(array, array[0].nbytes).buffers()[1]
    return pa.Array.from_buffers(pa.binary(), len(array), [None, offsets, data])


def _equal_offsets(array: _Array, size: int) -> pa.Array:
    return pa.array(np.arange(len(array) + 1, dtype=np.int32) * np.int32(size))


def _ragged(column: OutputColumn, output: Any) -> Outputs:
    array: _Array = output.values.numpy()
    if column.type == pa.float32():
        array = array.astype(np.float32, copy=False)
    offsets = output.row_splits.numpy() * (array[:1].size or 1)
    values = pa.array(array.reshape(-1), column.type)
    lists = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values)
    rejected: dict[int, str] = {}
    if column.type == pa.float32():
        positions = np.flatnonzero(~np.isfinite(array.reshape(-1)))
        rows = np.unique(np.searchsorted(offsets, positions, side="right") - 1)
        reason = f"the module gave NaN or infinity for {column.name!r}"
        rejected = dict.fromkeys(rows.tolist(), reason)
    return Outputs({column.name: lists}, rejected)
