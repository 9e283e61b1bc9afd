"""Record batch columns to a module's input tensors, and its outputs to columns."""

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from hub_tfx.embed.config import is_image
from hub_tfx.embed.examples import flatten, is_list
from hub_tfx.errors import ConfigError
from hub_tfx.module.spec import TensorInfo

_IMAGE_CHANNELS = 3
_OPEN_IMAGE_BYTES = 12_000_000  # A megapixel of float32, where the graph takes any size.


def check_column(column: pa.Array, info: TensorInfo, feature: str, *, utf8: bool) -> dict[int, str]:
    """Finds the rows that cannot become a row of the input.

    Returns:
      row -> reason; empty where all is well.

    Raises:
      ConfigError: the whole column has a type that the input cannot take.
    """
    check_type(column.type, info, feature)
    values, offsets = flatten(column)
    reasons: dict[int, str] = {}

    def reject(rows: np.ndarray[Any, Any], reason: str) -> None:
        for row in rows.tolist():
            reasons.setdefault(row, f"feature {feature!r} {reason}")

    if column.null_count:
        reject(np.flatnonzero(column.is_null()), "is missing")
    lengths = np.diff(offsets)
    row_size = 1 if _is_encoded_image(values.type, info) else _row_size(info)
    if row_size is not None:
        for row in np.flatnonzero(lengths != row_size).tolist():
            has = f"has {lengths[row]} values" if lengths[row] else "is missing"
            reject(np.array([row]), f"{has}; the input takes {row_size} a row")
    if values.null_count:
        reject(_rows_of(np.flatnonzero(values.is_null()), offsets), "holds a null")
    if info.dtype != "string" and _is_number(values.type):
        fits = _fits(values, tf.as_dtype(info.dtype).as_numpy_dtype)
        if not fits.all():
            what = f"holds NaN, infinity or what {info.dtype} cannot hold"
            reject(_rows_of(np.flatnonzero(~fits), offsets), what)
    elif utf8 and info.dtype == "string" and _is_binary(values.type):
        reject(_rows_of(_invalid_utf8(values), offsets), "is not valid UTF-8")
    return reasons


def to_tensor(column: pa.Array, info: TensorInfo) -> Any:
    """A checked column as an input of the module.

    Returns:
      ``[batch, …]`` array of the input's dtype; a SparseTensor or RaggedTensor where the input is
      one; ``[batch, height, width, 3]`` float32 in [0, 1] for encoded images.
    """
    values, offsets = flatten(column)
    if _is_encoded_image(values.type, info):
        return _decode_images(values, cast("tuple[int | None, ...]", info.shape))
    array = _to_numpy(values, info)
    rows = len(column)
    if info.kind == "ragged":
        return tf.RaggedTensor.from_row_splits(array, offsets)
    if info.kind == "sparse":
        return _sparse(array, offsets)
    lengths = np.diff(offsets)
    if len(lengths) and (lengths != lengths[0]).any():
        raise ValueError("rows of different lengths: the module takes them one length at a time")
    if info.shape is None:
        return array.reshape(rows, -1) if is_list(column.type) else array
    if len(info.shape) <= 1:
        return array
    return array.reshape(rows, *(-1 if d is None else d for d in info.shape[1:]))


def to_column(output: Any, name: str, rows: int) -> pa.Array:
    """A module's output as a column.

    Returns:
      Values for ``[batch]``; fixed-size lists for ``[batch, …]``, flattened in C order; floats
      become float32.

    Raises:
      ConfigError: the output has not one row for each row of the input.
    """
    if isinstance(output, tf.SparseTensor):
        output = tf.sparse.to_dense(output)
    if isinstance(output, tf.RaggedTensor):
        return pa.array(output.to_list())
    array = output.numpy()
    if array.ndim == 0 or len(array) != rows:
        raise ConfigError(
            f"the module's output for column {name!r} has shape {list(array.shape)} for {rows} "
            "rows: only outputs with one row for each input row can be written"
        )
    if array.dtype.kind == "f" or array.dtype == tf.bfloat16.as_numpy_dtype:
        array = array.astype(np.float32, copy=False)
    values = pa.array(np.ascontiguousarray(array).reshape(-1))
    if array.ndim == 1:
        return values
    return pa.FixedSizeListArray.from_arrays(values, int(np.prod(array.shape[1:])))


def non_finite_rows(columns: Mapping[str, pa.Array]) -> dict[int, str]:
    """Rows whose embedding holds NaN or infinity -> reason."""
    reasons: dict[int, str] = {}
    for name, column in columns.items():
        values, offsets = flatten(column)
        if pa.types.is_floating(values.type):
            finite = np.isfinite(values.to_numpy(zero_copy_only=False))
            if not finite.all():
                for row in _rows_of(np.flatnonzero(~finite), offsets).tolist():
                    reasons.setdefault(row, f"the module gave NaN or infinity for {name!r}")
    return reasons


def row_bytes(column: pa.Array, info: TensorInfo) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Bytes that each row of a checked column becomes as an input: ``[rows]`` int64."""
    if is_image(info):
        size = _row_size(info)
        per_row = _OPEN_IMAGE_BYTES if size is None else size * tf.as_dtype(info.dtype).size
        return np.full(len(column), per_row)
    values, offsets = flatten(column)
    if info.dtype != "string":
        sizes: np.ndarray[Any, np.dtype[np.int64]] = np.diff(offsets)
        return sizes * int(tf.as_dtype(info.dtype).size)
    lengths = pc.binary_length(values).to_numpy(zero_copy_only=False)
    return np.diff(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])[offsets])


def _fits(values: pa.Array, dtype: Any) -> np.ndarray[Any, Any]:
    """Which numbers the input's dtype can hold, NaN and infinity being none; null passes here."""
    array: np.ndarray[Any, Any] = values.fill_null(0).to_numpy(zero_copy_only=False)
    if np.issubdtype(dtype, np.integer) and array.dtype != bool:
        limits = np.iinfo(dtype)
        fits: np.ndarray[Any, Any] = (array >= limits.min) & (array <= limits.max)
        return fits
    with np.errstate(over="ignore"):
        finite: np.ndarray[Any, Any] = np.isfinite(array.astype(dtype))
    return finite


def _rows_of(positions: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any]) -> Any:
    return np.unique(np.searchsorted(offsets, positions, side="right") - 1)


def _row_size(info: TensorInfo) -> int | None:
    """Values a row must have; None where the signature leaves it open."""
    if info.kind != "dense" or info.shape is None:
        return None
    dimensions = [d for d in info.shape[1:] if d is not None]
    return math.prod(dimensions) if len(dimensions) == len(info.shape[1:]) else None


def check_type(given: pa.DataType, info: TensorInfo, feature: str) -> None:
    """Raises ConfigError where an input cannot take a column of this type."""
    while is_list(given):
        given = given.value_type
    if pa.types.is_null(given):  # Nothing but missing values, and each row is told so.
        return
    if info.dtype == "string":
        fits = _is_binary(given) or _is_text(given)
    else:
        fits = _is_number(given) or _is_encoded_image(given, info)
    if not fits:
        raise ConfigError(
            f"feature {feature!r} holds {given}, which an input of type {info} cannot take"
        )
    if pa.types.is_floating(given) and not tf.as_dtype(info.dtype).is_floating:
        raise ConfigError(f"feature {feature!r} holds {given}, the input takes {info.dtype}")


def _is_binary(given: pa.DataType) -> bool:
    return bool(pa.types.is_binary(given) or pa.types.is_large_binary(given))


def _is_text(given: pa.DataType) -> bool:
    return bool(pa.types.is_string(given) or pa.types.is_large_string(given))


def _is_number(given: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(given) or types.is_floating(given) or types.is_boolean(given))


def _is_encoded_image(given: pa.DataType, info: TensorInfo) -> bool:
    return is_image(info) and (_is_binary(given) or _is_text(given))


def _invalid_utf8(values: pa.Array) -> np.ndarray[Any, Any]:
    try:
        values.cast(pa.large_utf8() if pa.types.is_large_binary(values.type) else pa.utf8())
    except pa.ArrowInvalid:
        return np.array([i for i, value in enumerate(values.to_pylist()) if not _decodes(value)])
    return np.array([], dtype=np.int64)


def _decodes(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _to_numpy(values: pa.Array, info: TensorInfo) -> np.ndarray[Any, Any]:
    if _is_text(values.type):  # TensorFlow wants bytes: skip a round trip through str.
        values = values.cast(
            pa.large_binary() if pa.types.is_large_string(values.type) else pa.binary()
        )
    array: np.ndarray[Any, Any] = values.to_numpy(zero_copy_only=False)
    return array if info.dtype == "string" else array.astype(info.dtype, copy=False)


def _sparse(array: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any]) -> Any:
    lengths = np.diff(offsets)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    columns = np.arange(len(array)) - np.repeat(offsets[:-1], lengths)
    return tf.SparseTensor(
        np.stack([rows, columns], axis=1), array, [len(lengths), int(lengths.max(initial=0))]
    )


def _decode_images(values: pa.Array, shape: tuple[int | None, ...]) -> Any:
    """JPEG, PNG, GIF (first frame) or BMP to ``[batch, height, width, 3]`` float32 in [0, 1]."""
    _, height, width, _ = shape
    images = []
    for encoded in values.to_pylist():
        image = tf.io.decode_image(encoded, _IMAGE_CHANNELS, expand_animations=False)
        image = tf.image.convert_image_dtype(image, tf.float32)
        if height and width:
            image = tf.image.resize(image, (height, width))
        images.append(image)
    return tf.stack(images)
