"""Parquet files."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from hub_tfx.embed.failures import describe
from hub_tfx.embed.readers.base import Rejected, require
from hub_tfx.errors import InputError


class ParquetReader:
    """Parquet, read with the columns that are needed only."""

    def infer_schema(self, path: str) -> pa.Schema:
        # A dictionary is a way to store values, here as in pandas' categories: read them plain.
        return pa.schema(
            [
                (field.name, field.type.value_type if _is_dictionary(field) else field.type)
                for field in self._open(path).schema_arrow
            ]
        )

    def read(
        self, path: str, schema: pa.Schema, batch_rows: int
    ) -> Iterator[pa.RecordBatch | Rejected]:
        file = self._open(path)
        require(path, schema, file.schema_arrow.names)
        try:
            for batch in file.iter_batches(batch_rows, columns=schema.names):
                yield pa.RecordBatch.from_arrays(
                    [_column(batch, field) for field in schema], schema=schema
                )
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path} cannot be read: {describe(error)}") from error

    def _open(self, path: str) -> Any:
        import pyarrow.parquet as pq
        import pyarrow_hotfix  # noqa: F401  (CVE-2023-47248: pyarrow 10 runs what a file says)

        try:
            return pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path} cannot be read as Parquet: {describe(error)}") from error


def _is_dictionary(field: pa.Field) -> bool:
    return bool(pa.types.is_dictionary(field.type))


def _column(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    column = batch.column(batch.schema.get_field_index(field.name))
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        return column if column.type == field.type else column.cast(field.type)
    except pa.ArrowException as error:
        raise InputError(
            f"column {field.name!r} is {column.type} here and {field.type} in the first file: "
            f"{describe(error)}"
        ) from error
