"""Files to record batches, one function a format.

A reader takes the path of a file on this machine, the schema of what to read and the most rows of a
batch, and yields record batches and Rejected records, both in file order. Formats without types of
their own (CSV, JSON lines) take them from the schema, which ``infer_schema`` learns from the first
records of a file; a later record that does not fit is rejected, so a column never changes its type.
"""

import csv
import gzip
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import pyarrow as pa

from hub_tfx.embed.failures import describe, isolate
from hub_tfx.errors import InputError

_SAMPLE_ROWS = 1000
_GZIP_MAGIC = b"\x1f\x8b"
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})$")
_MAX_CSV_FIELD_CHARS = 1 << 24
_FLOAT = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$")


@dataclass(frozen=True)
class Rejected:
    """A record that cannot be read."""

    reason: str


class Reader(Protocol):
    """One file format. Both methods raise InputError where the file as a whole cannot be read."""

    def infer_schema(self, path: str) -> pa.Schema:
        """The columns of a file, from its metadata or its first records."""

    def read(
        self, path: str, schema: pa.Schema, batch_rows: int
    ) -> Iterator[pa.RecordBatch | Rejected]:
        """The records of a file, with the columns of ``schema`` in that order."""


class TextReader:
    """One record a line, feature ``text``."""

    def infer_schema(self, path: str) -> pa.Schema:
        return pa.schema([("text", pa.string())])

    def read(
        self, path: str, schema: pa.Schema, batch_rows: int
    ) -> Iterator[pa.RecordBatch | Rejected]:
        def build(lines: Sequence[bytes]) -> pa.RecordBatch:
            values = pa.array([line.rstrip(b"\r\n") for line in lines], pa.binary())
            return pa.RecordBatch.from_arrays([values.cast(pa.string())], schema=schema)

        with _open(path) as file:
            yield from _batches(_without_bom(file), batch_rows, build)


class CsvReader:
    """Comma-separated values with a header (RFC 4180); quoted fields may hold line breaks."""

    def infer_schema(self, path: str) -> pa.Schema:
        with _open(path) as file:
            header, rows = self._records(path, file)
            sample = [row for row in islice(rows, _SAMPLE_ROWS) if isinstance(row, list)]
        columns = zip(*sample, strict=True) if sample else [()] * len(header)
        return pa.schema(
            [(name, _csv_type(values)) for name, values in zip(header, columns, strict=True)]
        )

    def read(
        self, path: str, schema: pa.Schema, batch_rows: int
    ) -> Iterator[pa.RecordBatch | Rejected]:
        with _open(path) as file:
            header, rows = self._records(path, file)
            _require(path, schema, header)
            positions = [header.index(name) for name in schema.names]

            def build(records: Sequence[list[str]]) -> pa.RecordBatch:
                columns = list(zip(*records, strict=True))
                return pa.RecordBatch.from_arrays(
                    [
                        _csv_column(columns[position], field)
                        for position, field in zip(positions, schema, strict=True)
                    ],
                    schema=schema,
                )

            yield from _batches(rows, batch_rows, build)

    def _records(self, path: str, file: Any) -> tuple[list[str], Iterator[list[str] | Rejected]]:
        # surrogateescape lets a bad byte reach its own record, which is then rejected for it.
        lines = (line.decode("utf-8", "surrogateescape") for line in _without_bom(file))
        csv.field_size_limit(_MAX_CSV_FIELD_CHARS)
        rewindable = _Rewindable(lines)
        header = next(csv.reader(rewindable), [])
        if not header:
            raise InputError(f"{path} is empty: a CSV file starts with a line of column names")
        if len(set(header)) < len(header):
            raise InputError(f"{path}: two columns of the header have one name: {header}")
        return header, _csv_rows(rewindable, len(header))


class _Rewindable(Iterator[str]):
    """Lines of which those read since ``mark``, the first excepted, can be read again."""

    def __init__(self, lines: Iterator[str]):
        self._lines = lines
        self._since_mark: list[str] = []
        self._again: list[str] = []
        self.line_number = 0

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._lines)
        self._since_mark.append(line)
        self.line_number += 1
        return line

    def mark(self) -> None:
        self._since_mark = []

    def rewind(self) -> None:
        self.line_number -= len(self._since_mark) - 1
        self._again += reversed(self._since_mark[1:])


def _csv_rows(lines: _Rewindable, width: int) -> Iterator[list[str] | Rejected]:
    reader = csv.reader(lines, strict=True)
    while True:
        lines.mark()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # A stray quote swallows the records behind it: give up its line only.
            lines.rewind()
            yield Rejected(f"broken CSV at line {lines.line_number}: {error}")
            continue
        if len(row) == width:
            yield row
        elif row:  # An empty line between records is none of them.
            yield Rejected(
                f"broken CSV at line {lines.line_number}: {len(row)} fields, the header has {width}"
            )


def _csv_type(values: Sequence[str]) -> pa.DataType:
    given = [value for value in values if value]
    if given and all(_INTEGER.match(value) for value in given):
        return pa.int64()
    if given and all(_FLOAT.match(value) for value in given):
        return pa.float64()
    return pa.string()


def _csv_column(values: Sequence[str], field: pa.Field) -> pa.Array:
    try:
        if pa.types.is_string(field.type):
            return pa.array(values, pa.string())
        return pa.array([value or None for value in values], pa.string()).cast(field.type)
    except UnicodeEncodeError as error:
        raise ValueError(f"column {field.name!r} is not valid UTF-8") from error
    except pa.ArrowInvalid as error:
        raise ValueError(f"column {field.name!r}: {describe(error)}") from error


class JsonLinesReader:
    """One JSON object a line; a key that a record lacks is null."""

    def infer_schema(self, path: str) -> pa.Schema:
        with _open(path) as file:
            sample = []
            for line in islice(_without_bom(file), _SAMPLE_ROWS):
                try:
                    sample.append(_json_object(line))
                except ValueError:
                    continue
        names = list(dict.fromkeys(name for record in sample for name in record))
        return pa.schema([(name, _json_type(path, name, sample)) for name in names])

    def read(
        self, path: str, schema: pa.Schema, batch_rows: int
    ) -> Iterator[pa.RecordBatch | Rejected]:
        def build(lines: Sequence[bytes]) -> pa.RecordBatch:
            records = [_json_object(line) for line in lines]
            return pa.RecordBatch.from_arrays(
                [_json_column(records, field) for field in schema], schema=schema
            )

        with _open(path) as file:
            yield from _batches(_without_bom(file), batch_rows, build)


def _json_object(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ValueError(f"broken JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"not a JSON object but {type(record).__name__}")
    return record


def _json_type(path: str, name: str, sample: Sequence[dict[str, Any]]) -> pa.DataType:
    values = [record.get(name) for record in sample]
    try:
        inferred = pa.array(values).type
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"{path}: feature {name!r} has no one type: {describe(error)}") from error
    return pa.string() if pa.types.is_null(inferred) else inferred


def _json_column(records: Sequence[dict[str, Any]], field: pa.Field) -> pa.Array:
    try:
        return pa.array([record.get(field.name) for record in records], field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"feature {field.name!r}: {describe(error)}") from error


class ParquetReader:
    """Parquet, read with the columns that are needed only."""

    def infer_schema(self, path: str) -> pa.Schema:
        return self._open(path).schema_arrow.remove_metadata()

    def read(
        self, path: str, schema: pa.Schema, batch_rows: int
    ) -> Iterator[pa.RecordBatch | Rejected]:
        file = self._open(path)
        _require(path, schema, file.schema_arrow.names)
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


class ExampleReader:
    """tf.Example in TFRecord files, gzip or not, decoded by tfx-bsl.

    Columns are ``large_list`` of large_binary, int64 or float32. Types come from a TFX schema where
    there is one, since a record does not name the features that it lacks.
    """

    def infer_schema(self, path: str) -> pa.Schema:
        from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

        sample: list[bytes] = next(self._records(path, _SAMPLE_ROWS), [])
        decoder = ExamplesToRecordBatchDecoder()
        names: dict[str, pa.DataType] = {}
        for _, _, batch in isolate(0, len(sample), lambda a, b: decoder.DecodeBatch(sample[a:b])):
            if isinstance(batch, pa.RecordBatch):
                for field in batch.schema:
                    if not pa.types.is_null(field.type):
                        names.setdefault(field.name, example_type(field.type.value_type))
        return pa.schema(list(names.items()))

    def read(
        self, path: str, schema: pa.Schema, batch_rows: int
    ) -> Iterator[pa.RecordBatch | Rejected]:
        from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

        decoder = ExamplesToRecordBatchDecoder(_tfmd_schema(schema).SerializeToString())

        for records in self._records(path, batch_rows):
            yield from _read_or_reject(records, decoder.DecodeBatch)

    def _records(self, path: str, batch_rows: int) -> Iterator[list[bytes]]:
        import tensorflow as tf

        compression = "GZIP" if _is_gzip(path) else ""
        dataset = tf.data.TFRecordDataset(path, compression, buffer_size=1 << 20)
        try:
            for batch in dataset.batch(batch_rows).prefetch(2).as_numpy_iterator():
                yield batch.tolist()
        except tf.errors.OpError as error:
            raise InputError(f"{path} is cut short or damaged: {error.message}") from error


def example_type(value_type: pa.DataType) -> pa.DataType:
    """The column type in which tfx-bsl decodes a feature of tf.Example with a schema."""
    if pa.types.is_binary(value_type) or pa.types.is_large_binary(value_type):
        return pa.large_list(pa.large_binary())
    return pa.large_list(value_type)


def schema_of_tfmd(tfmd: Any) -> pa.Schema:
    """The columns that a TFX schema describes; features without a type are left out."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    value_types = {
        schema_pb2.BYTES: pa.large_binary(),
        schema_pb2.INT: pa.int64(),
        schema_pb2.FLOAT: pa.float32(),
    }
    return pa.schema(
        [
            (feature.name, pa.large_list(value_types[feature.type]))
            for feature in tfmd.feature
            if feature.type in value_types
        ]
    )


def _tfmd_schema(schema: pa.Schema) -> Any:
    from tensorflow_metadata.proto.v0 import schema_pb2

    tfmd = schema_pb2.Schema()
    for field in schema:
        value_type = field.type.value_type
        feature_type = (
            schema_pb2.BYTES
            if pa.types.is_large_binary(value_type)
            else schema_pb2.INT
            if pa.types.is_integer(value_type)
            else schema_pb2.FLOAT
        )
        tfmd.feature.add(name=field.name, type=feature_type)
    return tfmd


READERS: dict[str, Reader] = {
    "txt": TextReader(),
    "csv": CsvReader(),
    "jsonl": JsonLinesReader(),
    "parquet": ParquetReader(),
    "tfrecord": ExampleReader(),
}
_ENDING = re.compile(r"\.(txt|csv|jsonl|tfrecord)(\.gz)?$|\.(parquet)$", re.IGNORECASE)


def format_of(path: str) -> str:
    """The format of a file, by its ending.

    Raises:
      InputError: none that we read.
    """
    match = _ENDING.search(path)
    if match is None:
        raise InputError(
            f"{path}: its ending is none of .txt, .csv, .jsonl, .tfrecord (each also with .gz), "
            ".parquet"
        )
    return (match[1] or match[3]).lower()


def _require(path: str, schema: pa.Schema, available: Sequence[str]) -> None:
    for name in schema.names:
        if name not in available:
            raise InputError(f"{path} has no column {name!r}; it has {', '.join(available)}")


def _open(path: str) -> Any:
    return gzip.open(path, "rb") if _is_gzip(path) else open(path, "rb")


def _is_gzip(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == _GZIP_MAGIC


def _without_bom(file: Any) -> Iterator[bytes]:
    lines = iter(file)
    first = next(lines, None)
    if first is not None:
        yield first.removeprefix(b"\xef\xbb\xbf")
        yield from lines


def _batches(
    records: Iterator[Any], batch_rows: int, build: Callable[[Sequence[Any]], pa.RecordBatch]
) -> Iterator[pa.RecordBatch | Rejected]:
    """Builds batches of records, in order; Rejected ones pass through and end a batch."""
    pending: list[Any] = []
    for record in records:
        if isinstance(record, Rejected):
            yield from _read_or_reject(pending, build)
            pending = []
            yield record
        else:
            pending.append(record)
            if len(pending) == batch_rows:
                yield from _read_or_reject(pending, build)
                pending = []
    yield from _read_or_reject(pending, build)


def _read_or_reject(
    records: Sequence[Any], build: Callable[[Sequence[Any]], pa.RecordBatch]
) -> Iterator[pa.RecordBatch | Rejected]:
    for _, _, result in isolate(0, len(records), lambda a, b: build(records[a:b])):
        yield Rejected(describe(result)) if isinstance(result, Exception) else result
