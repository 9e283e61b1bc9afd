"""Part files: Parquet, and gzipped TFRecord of tf.Example."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import pyarrow as pa

from hub_tfx.embed.examples import is_list, to_example_columns

_ROW_GROUP_ROWS = 1 << 16
_ROW_GROUP_BYTES = 64 << 20


class PartFile(Protocol):
    """A file that takes record batches until it is closed; both may raise OSError."""

    def __init__(self, path: str, schema: pa.Schema): ...

    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


class _ParquetFile:
    def __init__(self, path: str, schema: pa.Schema):
        import pyarrow.parquet as pq

        # Neither a dictionary nor compression gains anything on floats, and both cost time.
        vectors = {f.name: _path_of_vectors(f) for f in schema if _path_of_vectors(f)}
        others = [f.name for f in schema if f.name not in vectors]
        self._writer = pq.ParquetWriter(
            path,
            schema,
            version="2.6",  # Keeps timestamps of nanoseconds.
            use_dictionary=others,
            write_statistics=others,
            compression=dict.fromkeys(vectors.values(), "NONE") | dict.fromkeys(others, "SNAPPY"),
        )

        self._pending: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._pending.append(batch.replace_schema_metadata(None))
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _ROW_GROUP_ROWS or self._bytes >= _ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_batches(self._pending))
        self._pending, self._rows, self._bytes = [], 0, 0


def _path_of_vectors(field: pa.Field) -> str | None:
    """The name that Parquet has for a column of vectors; None for another column."""
    is_packed = b"hub_tfx.dtype" in (field.metadata or {})  # See OutputColumn.
    if is_list(field.type) and pa.types.is_floating(field.type.value_type):
        return f"{field.name}.list.item"
    return field.name if is_packed and not is_list(field.type) else None


class _ExampleFile:
    def __init__(self, path: str, schema: pa.Schema):
        import tensorflow as tf
        from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

        options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
        self._writer = tf.io.TFRecordWriter(path, options)
        self._encoder = RecordBatchToExamplesEncoder()

    def write(self, batch: pa.RecordBatch) -> None:
        examples = self._encoder.encode(to_example_columns(batch))
        with self._as_os_error():
            for example in examples:
                self._writer.write(example)

    def close(self) -> None:
        with self._as_os_error():
            self._writer.close()

    @contextmanager
    def _as_os_error(self) -> Iterator[None]:
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            raise OSError(error.message) from error


PART_FILES: Mapping[str, type[PartFile]] = {"parquet": _ParquetFile, "tfrecord": _ExampleFile}
