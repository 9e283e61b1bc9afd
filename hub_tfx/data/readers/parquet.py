"""Parquet files."""

import io
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa

from hub_tfx.data import fields
from hub_tfx.data.arrow import find_column, invalid_text, plain_type
from hub_tfx.data.filesystems import open_file
from hub_tfx.data.isolate import describe, isolate
from hub_tfx.data.marks import mark_rejected, slice_rows
from hub_tfx.data.readers import base
from hub_tfx.data.readers.base import require
from hub_tfx.data.readers.streams import compression_of, head_of
from hub_tfx.errors import InputError

_TAIL = struct.Struct("<I4s")  # Size of the metadata, and the magic bytes.
_PAGE_BUFFER_BYTES = 1 << 20
"""Read at once of a column, which else is read whole, as long as its row group may be."""


@dataclass(frozen=True)
class RowGroup:
    """One row group of a file: how many rows, and their bytes before compression."""

    rows: int
    size_bytes: int


class ParquetReader:
    """Parquet, read with the columns that are needed only.

    A field of a struct has the name of both, with a dot between them. Dictionaries, which are a way
    to store values, are read plain. A file without a byte has no rows.
    """

    def infer_schema(self, path: str) -> pa.Schema:
        if _has_no_bytes(path):
            return pa.schema([])
        with _opened(path) as file:
            return pa.schema(_fields(file, path))

    def row_groups(self, path: str) -> list[RowGroup]:
        """The row groups of a file; raises InputError where it cannot be read."""
        if _has_no_bytes(path):
            return []
        with _opened(path) as file:
            groups = [file.metadata.row_group(n) for n in range(file.num_row_groups)]
        return [RowGroup(group.num_rows, group.total_byte_size) for group in groups]

    def read(
        self,
        path: str,
        schema: pa.Schema,
        batch_rows: int,
        row_groups: Iterable[int] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """As Reader.read; ``row_groups`` are the numbers of those to read, None for all."""
        if _has_no_bytes(path):
            return
        with ExitStack() as stack:
            file = stack.enter_context(_opened(path))
            known = fields.with_struct_fields(_fields(file, path))
            require(path, schema, [field.name for field in known])
            if _reads_as_other_lists(file.schema_arrow, schema):
                file = stack.enter_context(_opened(path, _metadata_without_arrow))
            groups = list(range(file.num_row_groups) if row_groups is None else row_groups)
            rows = min(batch_rows, _rows_of_a_batch(file.metadata, groups, schema.names))
            try:
                for batch in file.iter_batches(rows, row_groups=groups, columns=schema.names):
                    whole = _with_schema(batch, schema, path)
                    rows = _rows_that_fit(whole.num_rows, whole.nbytes)
                    for start in range(0, whole.num_rows, rows):
                        yield slice_rows(whole, start, min(start + rows, whole.num_rows))
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"{path} cannot be read: {describe(error)}") from error


def _has_no_bytes(path: str) -> bool:
    return not head_of(path, 1)


def _fields(file: Any, path: str) -> list[pa.Field]:
    """The columns of a file, each once."""
    found: dict[str, pa.Field] = {}
    for field in file.schema_arrow:
        plain = pa.field(field.name, plain_type(field.type))
        if pa.types.is_fixed_size_list(field.type) and _has_null_lists(file.metadata, field):
            plain = plain.with_type(pa.list_(field.type.value_type))
        if field.name in found:
            plain = fields.unusable(plain, f"{path} has two columns {field.name!r}")
        found[field.name] = plain
    return list(found.values())


def _has_null_lists(metadata: Any, field: pa.Field) -> bool:
    """Whether a column of fixed-size lists has some that are null, each of which is one value."""
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    return any(
        column.num_values != group.num_rows * field.type.list_size
        for group in groups
        for column in (group.column(n) for n in range(group.num_columns))
        if column.path_in_schema == f"{field.name}.list.{field.type.value_field.name}"
    )


def _reads_as_other_lists(of_file: pa.Schema, wanted: pa.Schema) -> bool:
    return any(
        pa.types.is_fixed_size_list(field.type) and field.type != wanted.field(field.name).type
        for field in of_file
        if field.name in wanted.names
    )


def _metadata_without_arrow(source: IO[bytes]) -> Any:
    """The metadata of a file without what Arrow says of its types, by a key in it.

    So lists of fixed size are read as any others: pyarrow 10 fails where one of them is null.
    """
    import pyarrow.parquet as pq

    source.seek(-_TAIL.size, os.SEEK_END)
    size_bytes, magic = _TAIL.unpack(source.read(_TAIL.size))
    source.seek(-_TAIL.size - size_bytes, os.SEEK_END)
    footer = source.read(size_bytes).replace(b"ARROW:schema", b"not that one")
    return pq.read_metadata(io.BytesIO(magic + footer + _TAIL.pack(size_bytes, magic)))


@contextmanager
def _opened(
    path: str, metadata_of: Callable[[IO[bytes]], Any] = lambda source: None
) -> Iterator[Any]:
    import pyarrow.parquet as pq
    import pyarrow_hotfix  # noqa: F401  (CVE-2023-47248: pyarrow 10 runs what a file says)

    try:
        source = open_file(path)
        metadata = metadata_of(source)
        file = pq.ParquetFile(source, metadata=metadata, buffer_size=_PAGE_BUFFER_BYTES)
        _ = file.schema_arrow  # Where pyarrow_hotfix finds what it refuses, a RuntimeError.
    except (pa.ArrowException, OSError, RuntimeError) as error:
        compression = compression_of(head_of(path))
        why = f"it is compressed by {compression}: unpack it" if compression else describe(error)
        raise InputError(f"{path} cannot be read as Parquet: {why}") from error
    with source:
        yield file


def _rows_of_a_batch(metadata: Any, groups: Sequence[int], names: Sequence[str]) -> int:
    """Rows that MAX_BATCH_BYTES hold, in the row group with the largest ones."""
    most = base.MAX_BATCH_BYTES
    for number in groups:
        group = metadata.row_group(number)
        columns = [group.column(n) for n in range(group.num_columns)]
        size_bytes = sum(
            column.total_uncompressed_size
            for column in columns
            if any(f"{column.path_in_schema}.".startswith(f"{name}.") for name in names)
        )
        most = min(most, _rows_that_fit(group.num_rows, size_bytes))
    return most


def _rows_that_fit(rows: int, size_bytes: int) -> int:
    return max(1, rows * base.MAX_BATCH_BYTES // max(1, size_bytes))


def _with_schema(batch: pa.RecordBatch, schema: pa.Schema, path: str) -> pa.RecordBatch:
    """The batch with the columns of a schema; rows with a value that none has are rejected."""
    rejected: dict[int, str] = {}
    columns = []
    for field in schema:
        column, wrong = _column(batch, field, path)
        columns.append(column)
        rejected = {row: f"column {field.name!r}: {why}" for row, why in wrong.items()} | rejected
    whole = pa.RecordBatch.from_arrays(columns, schema=schema)
    if not rejected:
        return whole
    places = pa.array([None if n in rejected else n for n in range(len(whole))], pa.int64())
    nulled = [column.take(places) for column in columns]
    return mark_rejected(pa.RecordBatch.from_arrays(nulled, schema=schema), rejected)


def _column(batch: pa.RecordBatch, field: pa.Field, path: str) -> tuple[pa.Array, dict[int, str]]:
    """A column, null in rows that cannot be had as its type, and why not."""
    column = find_column(batch, field.name)
    if column is None:
        raise InputError(f"{path} has two columns {field.name!r}")
    plain = plain_type(column.type)
    if column.type != plain:
        column = column.cast(plain)
    wrong: dict[int, str] = {}
    if column.type != field.type:
        column, wrong = _converted(column, field, path)
    for row in invalid_text(column):
        wrong[row] = "a string that is not valid UTF-8"
    return column, wrong


def _converted(column: pa.Array, field: pa.Field, path: str) -> tuple[pa.Array, dict[int, str]]:
    try:
        return column.cast(field.type), {}
    except pa.ArrowInvalid:  # Of a value.
        pass
    except pa.ArrowException as error:
        raise InputError(
            f"column {field.name!r} of {path} is {column.type}, not {field.type}: {describe(error)}"
        ) from error
    wrong: dict[int, str] = {}
    pieces = []
    cast_rows = isolate(0, len(column), lambda a, b: column.slice(a, b - a).cast(field.type))
    for start, _, result in cast_rows:
        if isinstance(result, Exception):
            wrong[start] = describe(result)
        pieces.append(pa.nulls(1, field.type) if isinstance(result, Exception) else result)
    return pa.concat_arrays(pieces), wrong
