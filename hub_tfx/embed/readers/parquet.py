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
        return self._open(path).schema_arrow.remove_metadata()

    def read(
        self, path: str, schema: pa.Schema, batch_rows: int
    ) -> Iterator[pa.RecordBatch | Rejected]:
        file = self._open(path)
        require(path, schema, file.schema_arrow.names)
        try:
            for batch in file.iter_batches(batch_rows, columns=schema.names):
                columns = [batch.column(batch.schema.get_field_index(n)) for n in schema.names]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
        except (pa.ArrowException, OSError, TypeError) as error:
            raise InputError(f"{path} cannot be read as Parquet: {describe(error)}") from error

    def _open(self, path: str) -> Any:
        import pyarrow.parquet as pq
        import pyarrow_hotfix  # noqa: F401  (CVE-2023-47248: pyarrow 10 runs what a file says)

        try:
            return pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path} cannot be read as Parquet: {describe(error)}") from error
