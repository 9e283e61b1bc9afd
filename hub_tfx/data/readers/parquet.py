"""Parquet files."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from hub_tfx.data.filesystems import open_file
from hub_tfx.data.isolate import describe
from hub_tfx.data.readers import base
from hub_tfx.data.readers.base import require
from hub_tfx.errors import InputError

_PAGE_BUFFER_BYTES = 1 << 20
"""Read at once of a column, which else is read whole, as long as its row group may be."""


@dataclass(frozen=True)
class RowGroup:
    """One row group of a file: how many rows, and their bytes before compression."""

    rows: int
    size_bytes: int


class ParquetReader:
    """Parquet, read with the columns that are needed only."""

    def infer_schema(self, path: str) -> pa.Schema:
        # A dictionary is a way to store values, here as in pandas' categories: read them plain.
        with _opened(path) as file:
            return pa.schema(
                [
                    (field.name, field.type.value_type if _is_dictionary(field) else field.type)
                    for field in file.schema_arrow
                ]
            )

    def row_groups(self, path: str) -> list[RowGroup]:
        """The row groups of a file; raises InputError where it cannot be read."""
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
        with _opened(path) as file:
            require(path, schema, file.schema_arrow.names)
            groups = list(range(file.num_row_groups) if row_groups is None else row_groups)
            rows = min(batch_rows, _rows_of_a_batch(file.metadata, groups, schema.names))
            try:
                for batch in file.iter_batches(rows, row_groups=groups, columns=schema.names):
                    columns = [_column(batch, field, path) for field in schema]
                    whole = pa.RecordBatch.from_arrays(columns, schema=schema)
                    rows = _rows_that_fit(whole.num_rows, whole.nbytes)
                    for start in range(0, whole.num_rows, rows):
                        yield whole.slice(start, rows)
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"{path} cannot be read: {describe(error)}") from error


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    import pyarrow.parquet as pq
    import pyarrow_hotfix  # noqa: F401  (CVE-2023-47248: pyarrow 10 runs what a file says)

    try:
        source = open_file(path)
        file = pq.ParquetFile(source, buffer_size=_PAGE_BUFFER_BYTES)
        _ = file.schema_arrow  # Where pyarrow_hotfix finds what it refuses, a RuntimeError.
    except (pa.ArrowException, OSError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {describe(error)}") from error
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


def _is_dictionary(field: pa.Field) -> bool:
    return bool(pa.types.is_dictionary(field.type))


def _column(batch: pa.RecordBatch, field: pa.Field, path: str) -> pa.Array:
    column = batch.column(batch.schema.get_field_index(field.name))
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        return column if column.type == field.type else column.cast(field.type)
    except pa.ArrowException as error:
        raise InputError(
            f"column {field.name!r} of {path} is {column.type}, not {field.type}: {describe(error)}"
        ) from error
