"""How a module's outputs are written: known from its signature alone, before it runs."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.manifest import WrittenColumn
from hub_tfx.errors import ConfigError
from hub_tfx.module.spec import TensorInfo

OPEN = -1
"""In a shape: an axis that differs from row to row."""
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
VALUE_TYPES = (
    dict.fromkeys(_FLOATS, pa.float32())
    | {name: getattr(pa, name)() for name in _INTEGERS}
    | {"bool": pa.bool_(), "string": pa.binary()}
)
"""TensorFlow's dtypes that can be written, and fed -> the type of a value that is written."""


@dataclass(frozen=True)
class OutputColumn:
    """One output and the columns that it becomes.

    Floats are written as float32, other values as they are::

        a row's values                                column
        one                                           of that type
        as many in every row                          fixed-size list, in C order
        more or fewer, such as those of tokens        list
        floats, where float16 or int8 is wanted       their bytes, little-endian

    The bytes because pyarrow 10 writes no float16 to Parquet, and an int8 in four bytes. With int8
    comes ``{name}_scale`` float32: values times scale are the vector. Where more than one axis is
    open, ``{name}_shape`` is a list of int32.

    Attributes:
      key: of the output.
      name: of its column.
      type: of a value, unless it is packed.
      shape: of a row, -1 for an axis that differs from row to row. Axes of size 1 are left out,
        unless more than one is open.
      is_ragged: whether the output is a RaggedTensor.
      packed: how a float is packed into bytes, if it is.
      normalize: whether vectors, along the last axis, are divided by their L2 norm.
    """

    key: str
    name: str
    type: pa.DataType
    shape: tuple[int, ...]
    is_ragged: bool = False
    packed: Literal["float16", "int8"] | None = None
    normalize: bool = False

    @classmethod
    def of(cls, key: str, name: str, info: TensorInfo, config: EmbedConfig) -> "OutputColumn":
        """Raises ConfigError for an output that cannot be written."""
        shape, is_ragged = _row_shape(info), info.kind == "ragged"
        why_not = None
        if info.dtype not in VALUE_TYPES:
            why_not = f"no column holds {info.dtype}"
        elif is_ragged and (info.ragged_rank > 1 or shape.count(OPEN) > 1):
            why_not = "its rows are lists of lists that differ in length"
        if why_not:
            raise ConfigError(
                f"output {key!r} is {info}, which cannot be written ({why_not}): name others "
                "(--output-map)"
            )
        if info.dtype not in _FLOATS or not shape:  # No vector.
            return cls(key, name, VALUE_TYPES[info.dtype], shape, is_ragged)
        packed = None if config.output_dtype == "float32" else config.output_dtype
        if is_ragged and (packed or config.normalize):
            raise ConfigError(
                f"output {key!r} is {info}: rows of different lengths are neither normalized nor "
                "written as float16 or int8"
            )
        return cls(key, name, VALUE_TYPES[info.dtype], shape, is_ragged, packed, config.normalize)

    @property
    def size(self) -> int | None:
        """Values of a row; None where they differ from row to row."""
        return None if OPEN in self.shape else math.prod(self.shape)

    @property
    def scale_name(self) -> str | None:
        return f"{self.name}_scale" if self.packed == "int8" else None

    @property
    def shape_name(self) -> str | None:
        return f"{self.name}_shape" if self.shape.count(OPEN) > 1 else None

    @property
    def fields(self) -> list[pa.Field]:
        """The columns; what the type of the first does not say is in its metadata."""
        says_all = self.packed is None and len(self.shape) <= 1
        about = {"hub_tfx.dtype": self._dtype, "hub_tfx.shape": json.dumps(self.shape)}
        fields = [pa.field(self.name, self._arrow_type, metadata=None if says_all else about)]
        if self.scale_name:
            fields.append(pa.field(self.scale_name, pa.float32()))
        if self.shape_name:
            fields.append(pa.field(self.shape_name, pa.list_(pa.int32())))
        return fields

    def written(self) -> WrittenColumn:
        """What the manifest says of it."""
        return WrittenColumn(self.key, self._dtype, self.shape, self.scale_name, self.shape_name)

    @property
    def _dtype(self) -> str:
        plain = {"float": "float32", "binary": "bytes"}
        return self.packed or plain.get(str(self.type), str(self.type))

    @property
    def _arrow_type(self) -> pa.DataType:
        if self.packed:
            value_bytes = {"float16": 2, "int8": 1}[self.packed]
            return pa.binary(self.size * value_bytes) if self.size else pa.binary()
        if not self.shape:
            return self.type
        return pa.list_(self.type, self.size) if self.size else pa.list_(self.type)


def embedding_dim(columns: Iterable[OutputColumn]) -> int | None:
    """Size of the one column of vectors, if there is one."""
    sizes = [column.size for column in columns if len(column.shape) == 1]
    return sizes[0] if len(sizes) == 1 else None


def _row_shape(info: TensorInfo) -> tuple[int, ...]:
    if info.shape is None:
        return (OPEN,)
    shape = tuple(OPEN if size is None else size for size in info.shape[1:])
    if len(shape) < 2 or shape.count(OPEN) > 1:
        return shape
    return tuple(size for size in shape if size != 1) or (1,)
