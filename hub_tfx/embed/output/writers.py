"""Part files: Parquet, and gzipped TFRecord of tf.Example."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import pyarrow as pa

from hub_tfx.data.arrow import is_list
from hub_tfx.data.tf_example import to_example_columns
from hub_tfx.embed.limits import DEFAULT_LIMITS, EmbedLimits


class PartFile(Protocol):
    """A file that takes record batches until it is closed; each step may raise OSError.

    It is on disk from the start, so that its size can be watched. ``hub_tfx.testing.writers`` tests
    what it promises.
    """

    def __init__(self, path: str, schema: pa.Schema, limits: EmbedLimits = DEFAULT_LIMITS): ...

    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


class _ParquetFile:
    def __init__(self, path: str, schema: pa.Schema, limits: EmbedLimits = DEFAULT_LIMITS):
        import pyarrow.parquet as pq

        # Neither a dictionary nor compression gains anything on floats, and both cost time.
        others = [path for f in schema for path, is_vector in _leaves(f) if not is_vector]
        self._writer = pq.ParquetWriter(
            path,
            schema,
            version="2.6",  # Keeps timestamps of nanoseconds.
            use_dictionary=others,
            write_statistics=others,
            compression=dict.fromkeys(others, "SNAPPY"),
        )

        self._limits = limits
        self._pending: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="parquet")
        self._row_group: Future[None] | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        self._pending.append(batch.replace_schema_metadata(None))
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        limits = self._limits
        if self._rows >= limits.row_group_rows or self._bytes >= limits.row_group_bytes:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._wait()
        self._pool.shutdown()
        self._writer.close()

    def _flush(self) -> None:
        """Starts to write a row group, while batches of the next one come."""
        self._wait()
        if self._pending:
            table = pa.Table.from_batches(self._pending)
            self._row_group = self._pool.submit(self._writer.write_table, table)
        self._pending, self._rows, self._bytes = [], 0, 0

    def _wait(self) -> None:
        """Waits until the row group before is written."""
        if self._row_group is not None:
            self._row_group.result()
            self._row_group = None


def _leaves(field: pa.Field, above: str = "") -> Iterator[tuple[str, bool]]:
    """The names that Parquet has for the values in a column, and whether they are of vectors.

    Parquet silently ignores options for any other name.
    """
    path, given = f"{above}{field.name}", field.type
    if is_list(given):
        yield from _leaves(given.value_field, f"{path}.list.")
    elif pa.types.is_struct(given):
        for child in given:
            yield from _leaves(child, f"{path}.")
    elif pa.types.is_map(given):
        for name, of_entry in (("key", given.key_type), ("value", given.item_type)):
            yield from _leaves(pa.field(name, of_entry), f"{path}.key_value.")
    else:
        is_packed = b"hub_tfx.dtype" in (field.metadata or {})  # See OutputColumn.
        is_in_list = above.endswith(".list.")
        yield path, is_packed or (is_in_list and pa.types.is_floating(given))


class _ExampleFile:
    def __init__(self, path: str, schema: pa.Schema, limits: EmbedLimits = DEFAULT_LIMITS):
        import tensorflow as tf
        from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

        options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
        with self._as_os_error():
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
