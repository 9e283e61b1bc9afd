"""Text lines, CSV and JSON lines, each gzipped or not."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hub_tfx.data.isolate import describe
from hub_tfx.data.readers.base import (
    Rejected,
    build_batch,
    chunks,
    first_of,
    is_cut,
    lines_of,
    require,
)
from hub_tfx.errors import InputError

_MAX_CSV_FIELD_CHARS = 1 << 24
_MAX_EXACT_INTEGER = 1 << 53  # Of float64.
_INTEGER = re.compile(r"(0|-?[1-9]\d{0,17})$")
_FLOAT = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$")


class TextReader:
    """One record a line, feature ``text``."""

    def infer_schema(self, path: str) -> pa.Schema:
        return pa.schema([("text", pa.string())])

    def read(self, path: str, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
        def build(lines: Sequence[bytes]) -> pa.RecordBatch:
            values = pa.array([line.rstrip(b"\r\n") for line in lines], pa.binary())
            return pa.RecordBatch.from_arrays([values.cast(schema.types[0])], schema=schema)

        for lines in chunks(lines_of(path), batch_rows):
            yield build_batch([_whole(line) for line in lines], schema, build)


class CsvReader:
    """Comma-separated values with a header (RFC 4180); quoted fields may hold line breaks."""

    def infer_schema(self, path: str) -> pa.Schema:
        header, rows = self._records(path)
        sample = [row for row in first_of(rows, _csv_size) if isinstance(row, list)]
        columns = zip(*sample, strict=True) if sample else [()] * len(header)
        return pa.schema(
            [(name, _csv_type(values)) for name, values in zip(header, columns, strict=True)]
        )

    def read(self, path: str, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
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

        for records in chunks(rows, batch_rows, _csv_size):
            yield build_batch(records, schema, build)

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


def _csv_size(row: list[str] | Rejected) -> int:
    return 0 if isinstance(row, Rejected) else sum(map(len, row))


def _csv_type(values: Sequence[str]) -> pa.DataType:
    """A number type only where every number stays what it is: 00123, 1.10 and 1e400 are text."""
    given = [value for value in values if value]
    if not given:
        return pa.null()
    if all(_INTEGER.match(value) for value in given):
        return pa.int64()
    if all(_is_exact_float(value) for value in given):
        return pa.float64()
    return pa.string()


def _is_exact_float(text: str) -> bool:
    if _INTEGER.match(text):
        return abs(int(text)) <= _MAX_EXACT_INTEGER
    return _FLOAT.match(text) is not None and repr(float(text)) == text


def _csv_column(values: Sequence[str], field: pa.Field) -> pa.Array:
    try:
        if pa.types.is_binary(field.type):
            return pa.array([value.encode("utf-8", "surrogateescape") for value in values])
        if pa.types.is_string(field.type):
            return pa.array(values, pa.string())
        texts = pa.array([value or None for value in values], pa.string())
        if pa.types.is_floating(field.type):
            _check_exact(texts)
        return texts.cast(field.type)
    except UnicodeEncodeError as error:
        raise ValueError(f"column {field.name!r} is not valid UTF-8") from error
    except pa.ArrowInvalid as error:
        raise ValueError(f"column {field.name!r}: {describe(error)}") from error


def _check_exact(texts: pa.Array) -> None:
    """Raises ArrowInvalid for an integer that a float64 would round."""
    for text in texts.filter(pc.match_substring_regex(texts, r"^-?\d{16,}$")).to_pylist():
        if abs(int(text)) > _MAX_EXACT_INTEGER:
            raise pa.ArrowInvalid(f"{text} is no float64")


class JsonLinesReader:
    """One JSON object a line; a key that a record lacks is null."""

    def infer_schema(self, path: str) -> pa.Schema:
        records = map(_json_object, first_of(lines_of(path)))
        sample = [record for record in records if isinstance(record, dict)]
        names = dict.fromkeys(name for record in sample for name in record)
        types = {name: _json_type(name, sample) for name in names}
        # What has no one type can be neither fed nor kept, and need not be.
        return pa.schema([(name, type_) for name, type_ in types.items() if type_ is not None])

    def read(self, path: str, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
        def build(records: Sequence[dict[str, Any]]) -> pa.RecordBatch:
            return pa.RecordBatch.from_arrays(
                [_json_column(records, field) for field in schema], schema=schema
            )

        for lines in chunks(lines_of(path), batch_rows):
            yield build_batch([_json_object(line) for line in lines], schema, build)


def _whole(line: bytes) -> bytes | Rejected:
    return Rejected(f"a line of {len(line):,} bytes or more") if is_cut(line) else line


def _json_object(line: bytes) -> dict[str, Any] | Rejected:
    if is_cut(line):
        return Rejected(f"a line of {len(line):,} bytes or more")
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Rejected(f"broken JSON: {error}")
    if not isinstance(record, dict):
        return Rejected(f"not a JSON object but {type(record).__name__}")
    return record


def _json_type(name: str, sample: Sequence[dict[str, Any]]) -> pa.DataType | None:
    values = [record.get(name) for record in sample]
    try:
        return pa.array(values).type
    except (pa.ArrowException, OverflowError, UnicodeError):
        return None


def _may_be_cut(given: pa.DataType) -> bool:
    """Whether Arrow cuts values to fit, without a word: 1.5 to 1, and objects to known keys."""
    if pa.types.is_list(given):
        return _may_be_cut(given.value_type)
    return bool(pa.types.is_integer(given) or pa.types.is_struct(given))


def _json_column(records: Sequence[dict[str, Any]], field: pa.Field) -> pa.Array:
    try:
        values = [record.get(field.name) for record in records]
        column = pa.array(values, field.type)
    except (pa.ArrowException, OverflowError, UnicodeError) as error:
        raise ValueError(f"feature {field.name!r}: {describe(error)}") from error
    if _may_be_cut(field.type) and not _is_whole(column.to_pylist(), values):
        raise ValueError(f"feature {field.name!r}: not {field.type} like its first values")
    return column


def _is_whole(read: Any, given: Any) -> bool:
    if read == given or read != read:
        return True
    if isinstance(read, list) and isinstance(given, list):
        return len(read) == len(given) and all(map(_is_whole, read, given))
    if isinstance(read, dict) and isinstance(given, dict):
        return given.keys() <= read.keys() and all(_is_whole(read[k], v) for k, v in given.items())
    return False
