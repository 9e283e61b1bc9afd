"""Record batch columns to a module's input tensors."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from hub_tfx.data.arrow import (
    flatten,
    invalid_utf8,
    is_bytes,
    is_list,
    is_number,
    is_text,
    leaf_type,
    rows_of,
)
from hub_tfx.data.fields import is_as_numbers
from hub_tfx.data.images import FileReader, ImageDecoder, as_bytes, header_size
from hub_tfx.data.numbers import read_numbers
from hub_tfx.embed import digests
from hub_tfx.embed.call.column_types import fitting, number_type, part_of_file
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.plan import BatchError, EmbedPlan, file_inputs
from hub_tfx.embed.rows import Rows
from hub_tfx.errors import ConfigError
from hub_tfx.module.spec import TensorInfo

_EXAMPLE_BYTES = pa.large_list(pa.large_binary())
_WAY_OUT = "; embed with --no-batch if the signature takes all of one row at a time"


class Input:
    """One input of a module, fed by a column of one type.

    A row is flat (a list of all its values, in C order) or nested as deep as the input has
    dimensions; nested it must be where the signature leaves more than one of them open. A struct of
    ``bytes`` and ``path``, as Hugging Face has it, is the picture, or the file, that it is.

    Attributes:
      key: of the input.
      feature: name of the column.
      is_encoded: whether the column holds encoded images, or paths of image files.
      reads_files: whether it holds paths, which ``load`` turns into what the files hold.
    """

    def __init__(
        self,
        key: str,
        plan: EmbedPlan,
        config: EmbedConfig,
        column_type: pa.DataType,
        as_numbers: bool = False,
    ):
        """Binds an input to the column that feeds it.

        Args:
          key: key of the input.
          plan, config: what feeds what, and how.
          column_type: type of the column.
          as_numbers: whether the column holds texts to be read as numbers (``fields.as_numbers``).

        Raises:
          ConfigError: the input cannot take a column of this type.
        """
        self.key = key
        self.feature = plan.features[key]
        self._info = info = plan.inputs[key]
        self.reads_files = key in file_inputs(plan.inputs, config)
        self._part = part_of_file(column_type, self.reads_files, info)
        self._number_type = number_type(column_type, info, as_numbers)
        column_type = self._number_type or (
            column_type[self._part].type if self._part else column_type
        )
        value_type, self._depth = leaf_type(column_type)
        self._dimensions = _dimensions_of_a_row(info, self._depth)
        self._is_text = info.dtype == "string"
        is_words = is_bytes(value_type)
        # To tf.Example bytes and text are one. Elsewhere a column of bytes says that it is no text.
        may_be_text = is_text(value_type) or column_type == _EXAMPLE_BYTES
        self._is_checked_utf8 = self._is_text and config.text_encoding == "utf-8" and may_be_text
        self.is_encoded = info.is_image and is_words
        if not pa.types.is_null(value_type):  # Nothing but missing values: each row is told so.
            self._check_type(column_type, value_type)
        self._size = plan.image_size
        self._timeout_s = config.call_timeout_s
        is_one_value = not self._dimensions and not self.is_encoded and not plan.no_batch
        self._way_out = _WAY_OUT if is_one_value else ""

    @cached_property
    def _decoder(self) -> ImageDecoder:
        return ImageDecoder(self._info, self._size)

    @cached_property
    def _read_files(self) -> FileReader:
        return FileReader(self._timeout_s)

    @classmethod
    def of_field(cls, key: str, plan: EmbedPlan, config: EmbedConfig, field: pa.Field) -> "Input":
        """The input, fed by a column as the reader gives it."""
        return cls(key, plan, config, field.type, is_as_numbers(field))

    def column_of(self, batch: pa.RecordBatch) -> pa.Array:
        """What of a batch feeds it: null where a number cannot be had."""
        column = batch.column(batch.schema.get_field_index(self.feature))
        if self._part and pa.types.is_struct(column.type):
            return column.flatten()[column.type.get_field_index(self._part)]
        return column if self._number_type is None else read_numbers(column, self._number_type)

    @property
    def is_fed_lists(self) -> bool:
        return self._depth > 0

    @property
    def row_rank(self) -> int:
        """Dimensions of a row."""
        return len(self._dimensions)

    def check(self, column: pa.Array) -> dict[int, str]:
        """Rows that cannot become a row of the input -> reason."""
        reasons: dict[int, str] = {}
        values, offsets = flatten(column)

        def reject(rows: Iterable[int], reason: str) -> None:
            for row in rows:
                reasons.setdefault(row, f"feature {self.feature!r} {reason}")

        if column.null_count:
            is_read = self._number_type is not None
            what = "is missing or not a number" if is_read else "is missing"
            reject(np.flatnonzero(column.is_null()).tolist(), what)
        lengths = np.diff(offsets)
        for row in np.flatnonzero(~self._has_right_length(lengths)).tolist():
            takes = f"the input takes {self._length_in_words} a row{self._way_out}"
            # A tf.Example may have a feature without a value; nobody can tell this from none.
            reject([row], f"has {lengths[row]} values; {takes}" if lengths[row] else "is missing")
        if values.null_count:
            reject(rows_of(np.flatnonzero(values.is_null()), offsets), "holds a null")
        if self._depth > 1:
            reject(
                self._of_wrong_shape(column).tolist(),
                f"has lists that differ in length from {self._info}",
            )
        if not self._is_text and _is_number(values.type):
            fits = fitting(values, tf.as_dtype(self._info.dtype).as_numpy_dtype)
            if not fits.all():
                what = f"holds NaN, infinity or what {self._info.dtype} cannot hold"
                reject(rows_of(np.flatnonzero(~fits), offsets), what)
        elif self._is_checked_utf8 and is_bytes(values.type):
            reject(rows_of(invalid_utf8(values), offsets), "is not valid UTF-8")
        return reasons

    def load(self, column: pa.Array) -> tuple[pa.Array, dict[int, str]]:
        """What the files hold that a checked column names, and the rows that cannot be read."""
        found = self._read_files(flatten(column)[0].to_pylist())
        reasons = {
            row: f"feature {self.feature!r} {content}"
            for row, content in enumerate(found)
            if isinstance(content, str)
        }
        return pa.array(
            [None if row in reasons else c for row, c in enumerate(found)], pa.large_binary()
        ), reasons

    def row_bytes(self, column: pa.Array) -> Rows:
        """Bytes that each row of a checked column becomes as an input: ``[rows]`` int64."""
        values, offsets = flatten(column)
        if self.is_encoded:
            return self._pixels(values) * self._value_bytes
        if not self._is_text:
            sizes: Rows = np.diff(offsets) * self._value_bytes
            return sizes
        lengths = pc.binary_length(values).to_numpy(zero_copy_only=False)
        return np.diff(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])[offsets])

    def digests(self, column: pa.Array) -> list[bytes]:
        """A digest of what each row of a checked column feeds."""
        values, offsets = flatten(column)
        if self.is_encoded:
            return digests.of_values(map(as_bytes, values.to_pylist()), b"image")
        array = _to_numpy(values, self._info)
        if self._info.kind == "dense" and not self._is_open and self._known_size == 1:
            return digests.of_values(array)
        of_lists = digests.of_lists(array, offsets)
        if self._depth < 2:
            return of_lists
        rows = np.arange(len(column) + 1)
        lengths = [  # Of the lists in a row, which say where one ends and the next begins.
            digests.of_lists(of_level, np.searchsorted(owners, rows))
            for owners, of_level, _ in _levels(column)
        ]
        return digests.of_values(map(b"".join, zip(of_lists, *lengths, strict=True)), b"nested")

    def row_shapes(self, column: pa.Array) -> Rows | None:
        """The shape of each row, ``[rows, dimensions]``; None where all have that of the signature.

        Rows of one call may not differ in it. Ragged and sparse inputs take any rows together.
        """
        if self._info.kind != "dense" or None not in self._dimensions or self.is_encoded:
            return None
        if self._depth > 1:
            by_level: Rows = np.stack([sizes for _, _, sizes in _levels(column)], axis=1)
            return by_level
        open_size = np.diff(flatten(column)[1]) // self._known_size
        sizes = [open_size if d is None else np.full(len(column), d) for d in self._dimensions]
        shapes: Rows = np.stack(sizes, axis=1)
        return shapes

    def decode(self, column: pa.Array) -> list[Any]:
        """Pixels of the image in each row, or in words why there are none: a tensor or a str."""
        found = self._decoder(flatten(column)[0].to_pylist())
        return [f"feature {self.feature!r} {f}" if isinstance(f, str) else f for f in found]

    def to_tensor(self, column: pa.Array) -> Any:
        """Checked rows of one shape as ``[batch, …]`` of the input's dtype: sparse or ragged where
        the input is."""
        values, offsets = flatten(column)
        array = _to_numpy(values, self._info)
        if self._info.kind == "sparse":
            return _sparse(array, offsets, self._dimensions[0])
        if self._info.kind == "ragged":
            return self._ragged(array, offsets, column)
        shapes = self.row_shapes(column)
        shape = self._dimensions if shapes is None else shapes[0]
        return tf.convert_to_tensor(array.reshape(len(column), *shape) if len(shape) else array)

    def _check_type(self, column_type: pa.DataType, value_type: pa.DataType) -> None:
        holds, takes = f"feature {self.feature!r} holds {column_type}", f"{self.key!r} {self._info}"
        is_words = is_bytes(value_type)
        if self.reads_files and not is_words:
            raise ConfigError(
                f"{holds}, not paths of images: leave out image_source, or say "
                f"which feature does with {self.key}=FEATURE (--input-map)"
            )
        if self.is_encoded and is_text(value_type) and not self.reads_files:
            raise ConfigError(
                f"{holds}, not images: where it holds the paths of image files, say so with "
                "image_source path (--image-paths)"
            )
        fits = is_words if self._is_text or self.is_encoded else _is_number(value_type)
        if pa.types.is_floating(value_type) and not tf.as_dtype(self._info.dtype).is_floating:
            fits = False
        if not fits:
            raise BatchError(f"{holds}, which the input {takes} cannot take")
        depths = {0, 1} if self.is_encoded else _depths(self._info, self._dimensions)
        if self._depth not in depths:
            wanted = " or ".join(map(str, sorted(depths)))
            raise BatchError(
                f"{holds}: lists {self._depth} deep; the input {takes} takes them {wanted} deep"
            )

    @property
    def _known_size(self) -> int:
        return math.prod(d for d in self._dimensions if d is not None)

    @property
    def _value_bytes(self) -> int:
        return int(tf.as_dtype(self._info.dtype).size)

    def _has_right_length(self, lengths: Rows) -> Any:
        if self.is_encoded:
            return lengths == 1
        if self._info.kind == "sparse":
            width = self._dimensions[0]
            return lengths >= 0 if width is None else lengths <= width
        if self._info.kind == "ragged":
            return lengths % self._known_size == 0
        if None in self._dimensions:
            return (lengths > 0) & (lengths % self._known_size == 0)
        return lengths == self._known_size

    @property
    def _length_in_words(self) -> str:
        if self.is_encoded:
            return "1"
        if self._info.kind == "sparse":
            return f"at most {self._dimensions[0]}"
        return f"a multiple of {self._known_size}" if self._is_open else str(self._known_size)

    @property
    def _is_open(self) -> bool:
        return self._info.kind == "ragged" or None in self._dimensions

    def _of_wrong_shape(self, column: pa.Array) -> Rows:
        """Rows whose nested lists do not have the lengths of the signature, or of each other."""
        wrong = np.zeros(len(column), bool)
        first_regular = self._info.ragged_rank if self._info.kind == "ragged" else 0
        for level, (owners, lengths, sizes) in enumerate(_levels(column)):
            size = self._dimensions[level]
            if level >= first_regular:
                wrong[owners[lengths != (sizes[owners] if size is None else size)]] = True
        return np.flatnonzero(wrong)

    def _ragged(self, array: np.ndarray[Any, Any], offsets: Rows, column: pa.Array) -> Any:
        inner = self._dimensions[self._info.ragged_rank :]
        if self._depth > 1:
            lengths = [of_level for _, of_level, _ in _levels(column)][: self._info.ragged_rank]
            splits = [np.concatenate([[0], np.cumsum(of_level)]) for of_level in lengths]
        else:
            splits = [offsets // self._known_size]
        return tf.RaggedTensor.from_nested_row_splits(
            array.reshape(-1, *inner), splits, validate=False
        )

    def _pixels(self, values: pa.Array) -> Rows:
        """Numbers in each decoded image."""
        channels = self._dimensions[2] or 3
        if self._size is not None:
            return np.full(len(values), math.prod(self._size) * channels, np.int64)
        sizes = (header_size(as_bytes(value)) or (0, 0) for value in values.to_pylist())
        return np.array([height * width * channels for height, width in sizes], np.int64)


def accepts(key: str, plan: EmbedPlan, config: EmbedConfig) -> Callable[[pa.DataType], bool]:
    """Which types of columns an input takes."""

    def accepts_type(given: pa.DataType) -> bool:
        try:
            Input(key, plan, config, given)
        except ConfigError:
            return False
        return True

    return accepts_type


def _dimensions_of_a_row(info: TensorInfo, depth: int) -> tuple[int | None, ...]:
    if info.shape is not None:
        return info.shape[1:]
    # Of unknown rank. Text is one value a row, also where it comes in lists, as in tf.Example.
    return () if info.dtype == "string" or depth == 0 else (None,)


def _depths(info: TensorInfo, dimensions: Sequence[int | None]) -> set[int]:
    """How deep the lists of a column may be nested."""
    known = math.prod(d for d in dimensions if d is not None)
    nested = {max(1, len(dimensions))}
    open_dimensions = info.ragged_rank if info.kind == "ragged" else dimensions.count(None)
    if open_dimensions > 1:
        return nested
    return nested | {1} | ({0} if known == 1 else set())


def _levels(column: pa.Array) -> Iterator[tuple[Rows, Rows, Rows]]:
    """For each level of nested lists: the row and the length of each list, and the length of the
    first list in each row."""
    rows = len(column)
    owners = np.arange(rows)
    while is_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0)
        lengths = lengths.to_numpy(zero_copy_only=False).astype(np.int64)
        sizes = np.zeros(rows, np.int64)
        sizes[owners[::-1]] = lengths[::-1]
        yield owners, lengths, sizes
        owners, column = np.repeat(owners, lengths), column.flatten()


def _is_number(given: pa.DataType) -> bool:
    return is_number(given) or bool(pa.types.is_boolean(given))


def _to_numpy(values: pa.Array, info: TensorInfo) -> np.ndarray[Any, Any]:
    if is_text(values.type):  # TensorFlow wants bytes: skip a round trip through str.
        values = values.cast(
            pa.large_binary() if pa.types.is_large_string(values.type) else pa.binary()
        )
    array: np.ndarray[Any, Any] = values.to_numpy(zero_copy_only=False)
    if info.dtype == "string":
        return array
    return array.astype(tf.as_dtype(info.dtype).as_numpy_dtype, copy=False)


def _sparse(array: np.ndarray[Any, Any], offsets: Rows, width: int | None) -> Any:
    """Values at the places 0, 1, 2 … of their rows."""
    lengths = np.diff(offsets)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    columns = np.arange(len(array)) - np.repeat(offsets[:-1], lengths)
    return tf.SparseTensor(
        np.stack([rows, columns], axis=1),
        array,
        [len(lengths), int(lengths.max(initial=0)) if width is None else width],
    )
