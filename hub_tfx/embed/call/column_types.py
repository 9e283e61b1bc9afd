"""The types of the values that an input is fed."""

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
