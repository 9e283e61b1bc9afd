"""The types of the values that an input is fed, and which of them it can hold."""

from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from hub_tfx.data.arrow import is_text
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.plan import EmbedPlan, file_inputs
from hub_tfx.module.spec import TensorInfo


def value_type(key: str, plan: EmbedPlan, config: EmbedConfig) -> pa.DataType:
    """The type of the values that an input is best fed from a column which could have several."""
    info = plan.inputs[key]
    if key in file_inputs(plan.inputs, config):
        return pa.string()
    if info.dtype == "string":
        return pa.binary() if config.text_encoding == "bytes" else pa.string()
    return _best_number_type(info)


def _best_number_type(info: TensorInfo) -> pa.DataType:
    dtype = tf.as_dtype(info.dtype)
    if dtype.is_bool:
        return pa.bool_()
    return pa.float64() if dtype.is_floating else pa.uint64() if dtype == tf.uint64 else pa.int64()


def number_type(given: pa.DataType, info: TensorInfo, as_numbers: bool) -> pa.DataType | None:
    """The type of the numbers as which a column is read before it is fed, if it is."""
    is_decimal = pa.types.is_decimal(given) and info.dtype != "string"
    return _best_number_type(info) if is_decimal or (as_numbers and is_text(given)) else None


def part_of_file(given: pa.DataType, reads_files: bool, info: TensorInfo) -> str | None:
    """The field that is fed of a struct which is a file, if it is."""
    is_file = pa.types.is_struct(given) and {"bytes", "path"} <= {field.name for field in given}
    if not is_file or not (info.is_image or info.dtype == "string"):
        return None
    return "path" if reads_files else "bytes"


def fitting(values: pa.Array, dtype: Any) -> np.ndarray[Any, Any]:
    """Which numbers the input's dtype can hold, NaN and infinity being none; null passes here."""
    zero = pa.scalar(0).cast(values.type)
    array: np.ndarray[Any, Any] = values.fill_null(zero).to_numpy(zero_copy_only=False)
    if np.issubdtype(dtype, np.bool_):
        is_bool: np.ndarray[Any, Any] = (array == 0) | (array == 1)
        return is_bool
    if np.issubdtype(dtype, np.integer) and array.dtype != bool:
        limits = np.iinfo(dtype)
        fits: np.ndarray[Any, Any] = (array >= limits.min) & (array <= limits.max)
        return fits
    with np.errstate(over="ignore"):
        finite: np.ndarray[Any, Any] = np.isfinite(array.astype(dtype))
    return finite
