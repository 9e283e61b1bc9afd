"""Text lines, CSV and JSON lines, each gzipped or not."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from hub_tfx.embed.failures import describe
from hub_tfx.embed.readers.base import SAMPLE_ROWS, Rejected, batches, lines_of, require
from hub_tfx.errors import InputError

_MAX_CSV_FIELD_CHARS = 1 << 24
_MAX_EXACT_INTEGER = 1 << 53  # Of float64.
_INTEGER = re.compile(r"(0|-?[1-9]\d{0,17})$")
_FLOAT = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$")


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

        yield from batches(lines_of(path), batch_rows, build)


class CsvReader:
    """Comma-separated values with a header (RFC 4180); quoted fields may hold line breaks."""

    def infer_schema(self, path: str) -> pa.Schema:
        header, rows = self._records(path)
        sample = [row for row in islice(rows, SAMPLE_ROWS) if isinstance(row, list)]
        columns = zip(*sample, strict=True) if sample else [()] * len(header)
        return pa.schema(
            [(name, _csv_type(values)) for name, values in zip(header, columns, strict=True)]
        )

    def read(
        self, path: str, schema: pa.Schema, batch_rows: int
    ) -> Iterator[pa.RecordBatch | Rejected]:
        header, rows = self._records(path)
        require(path, schema, header)
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

        yield from batches(rows, batch_rows, build)

    def _records(self, path: str) -> tuple[list[str], Iterator[list[str] | Rejected]]:
        # surrogateescape lets a bad byte reach its own record, which is then rejected for it.
        lines = (line.decode("utf-8", "surrogateescape") for line in lines_of(path))
        csv.field_size_limit(_MAX_CSV_FIELD_CHARS)
        rewindable = _Rewindable(lines)
        try:
            header = next(csv.reader(rewindable), [])
            "".join(header).encode()
        except (csv.Error, UnicodeError) as error:
            raise InputError(f"{path}: its header cannot be read: {error}") from error
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
    """A number type only where every number stays what it is: 00123, 1.10 and 1e400 are text."""
    given = [value for value in values if value]
    if given and all(_INTEGER.match(value) for value in given):
        return pa.int64()
    if given and all(_is_exact_float(value) for value in given):
        return pa.float64()
    return pa.string()


def _is_exact_float(text: str) -> bool:
    if _INTEGER.match(text):
        return abs(int(text)) <= _MAX_EXACT_INTEGER
    return _FLOAT.match(text) is not None and repr(float(text)) == text


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
        sample = []
        for line in islice(lines_of(path), SAMPLE_ROWS):
            try:
                sample.append(_json_object(line))
            except ValueError:
                continue
        names = dict.fromkeys(name for record in sample for name in record)
        types = {name: _json_type(name, sample) for name in names}
        # What has no one type can be neither fed nor kept, and need not be.
        return pa.schema([(name, type_) for name, type_ in types.items() if type_ is not None])

    def read(
        self, path: str, schema: pa.Schema, batch_rows: int
    ) -> Iterator[pa.RecordBatch | Rejected]:
        def build(lines: Sequence[bytes]) -> pa.RecordBatch:
            records = [_json_object(line) for line in lines]
            return pa.RecordBatch.from_arrays(
                [_json_column(records, field) for field in schema], schema=schema
            )

        yield from batches(lines_of(path), batch_rows, build)


def _json_object(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"broken JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"not a JSON object but {type(record).__name__}")
    return record


def _json_type(name: str, sample: Sequence[dict[str, Any]]) -> pa.DataType | None:
    values = [record.get(name) for record in sample]
    try:
        inferred = pa.array(values).type
    except (pa.ArrowException, OverflowError, UnicodeError):
        return None
    return pa.string() if pa.types.is_null(inferred) else inferred


def _holds_integers(given: pa.DataType) -> bool:
    """Whether Arrow would cut a number to fit: 1.5 becomes 1 without a word."""
    if pa.types.is_list(given):
        return _holds_integers(given.value_type)
    return bool(pa.types.is_integer(given))


def _json_column(records: Sequence[dict[str, Any]], field: pa.Field) -> pa.Array:
    try:
        values = [record.get(field.name) for record in records]
        column = pa.array(values, field.type)
        if _holds_integers(field.type) and column.to_pylist() != values:
            raise ValueError(f"feature {field.name!r}: not {field.type} like its first values")
        return column
    except (pa.ArrowException, OverflowError, UnicodeError) as error:
        raise ValueError(f"feature {field.name!r}: {describe(error)}") from error
