"""CSV and its relatives: values between commas, tabs, semicolons or bars."""

import csv
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hub_tfx._text import quoted
from hub_tfx.data import fields
from hub_tfx.data.isolate import describe, is_utf8_text
from hub_tfx.data.numbers import read_as_written, read_numbers, type_as_written
from hub_tfx.data.readers.base import BadRowsError, Rejected, build_batch, chunks, first_of, require
from hub_tfx.data.readers.streams import lines_of
from hub_tfx.errors import InputError

_MAX_FIELD_CHARS = 1 << 24
_MAX_RECORD_CHARS = 1 << 26
_MAX_CHARS_AGAIN, _TIMES_AGAIN = 1 << 24, 4
"""How much is read more than once on account of stray quotes: so many characters, and so many times
as many as the file has had up to there."""
_DELIMITERS = ",\t;|"
_TAB_SEPARATED = re.compile(r"\.(tsv|tab)\b", re.IGNORECASE)


class CsvReader:
    """Separated values with a header (RFC 4180); quoted fields may hold line breaks.

    The delimiter is a tab where the file is called so. Otherwise it is the first of comma, tab,
    semicolon and bar that cuts the header.
    """

    def infer_schema(self, path: str) -> pa.Schema:
        header, rows = self._records(path)
        sample = first_of(rows, _size)
        columns = zip(*sample, strict=True) if sample else [()] * len(header)
        found: dict[str, pa.Field] = {}
        for name, values in zip(header, columns, strict=True):
            field = pa.field(name, type_as_written(values))
            if name in found:
                field = fields.unusable(field, f"{path}: two columns of the header are {name!r}")
            found[name] = fields.with_others(field, _numbers_among(values))
        return pa.schema(list(found.values()))

    def read(self, path: str, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
        header, rows = self._records(path)
        if not header:
            return
        require(path, schema, header)
        positions = [header.index(name) for name in schema.names]

        def build(records: Sequence[list[str]]) -> pa.RecordBatch:
            columns = list(zip(*records, strict=True))
            return pa.RecordBatch.from_arrays(
                [
                    _column(columns[position], field)
                    for position, field in zip(positions, schema, strict=True)
                ],
                schema=schema,
            )

        for records in chunks(rows, batch_rows, _size):
            yield build_batch(records, schema, build)

    def _records(self, path: str) -> tuple[list[str], Iterator[list[str] | Rejected]]:
        # surrogateescape lets a bad byte reach its own record, which is then rejected for it.
        lines = (line.decode("utf-8", "surrogateescape") for line in lines_of(path))
        csv.field_size_limit(_MAX_FIELD_CHARS)
        rewindable = _Rewindable(lines)
        is_tabs = _TAB_SEPARATED.search(path.rpartition("/")[2]) is not None
        try:
            header, delimiter = _header(rewindable, "\t" if is_tabs else _DELIMITERS)
        except csv.Error as error:
            raise InputError(f"{path}: its header cannot be read: {describe(error)}") from error
        # A byte that is not UTF-8 has its number in the name, by which the column can be asked for.
        names = [
            name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            for name in header
        ]
        return names, _rows(rewindable, len(header), delimiter)


class _Rewindable(Iterator[str]):
    """Lines of which those read since ``mark``, the first excepted, can be read again.

    Attributes:
      line_number: number of lines that have been read.
      is_exhausting: whether so much was read again that this would take quadratic time.
    """

    def __init__(self, lines: Iterator[str]):
        self._lines = lines
        self._since_mark: list[str] = []
        self._chars_since_mark = 0
        self._again: list[str] = []
        self._chars_left = _MAX_CHARS_AGAIN
        self.line_number = 0

    def __next__(self) -> str:
        if self._chars_since_mark > _MAX_RECORD_CHARS:
            raise csv.Error(f"a record of more than {_MAX_RECORD_CHARS:,} characters")
        if self._again:
            line = self._again.pop()
            self._chars_left -= len(line)
        else:
            line = next(self._lines)
            self._chars_left += _TIMES_AGAIN * len(line)
        self._since_mark.append(line)
        self._chars_since_mark += len(line)
        self.line_number += 1
        return line

    @property
    def is_exhausting(self) -> bool:
        return self._chars_left < 0

    def mark(self) -> None:
        self._since_mark, self._chars_since_mark = [], 0

    def rewind(self, kept: int = 1) -> None:
        """Gives all lines but the first so many once more."""
        self.line_number -= len(self._since_mark) - kept
        self._again += reversed(self._since_mark[kept:])


def _header(lines: _Rewindable, delimiters: str) -> tuple[list[str], str]:
    """The names of the columns, and what is between them; no names in an empty file."""
    names: list[str] = []
    for delimiter in delimiters:
        lines.mark()
        names = next((row for row in csv.reader(lines, delimiter=delimiter) if row), [])
        if len(names) > 1:
            return names, delimiter
        lines.rewind(0)
    names = next((row for row in csv.reader(lines, delimiter=delimiters[0]) if row), [])
    return names, delimiters[0]


def _rows(lines: _Rewindable, width: int, delimiter: str) -> Iterator[list[str] | Rejected]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.mark()
        try:
            if lines.is_exhausting:  # Each of many stray quotes has swallowed what comes after it.
                reader = csv.reader([next(lines)], delimiter=delimiter, strict=True)
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # A stray quote swallows the records after it: give up its line only.
            lines.rewind()
            yield Rejected(f"broken CSV at line {lines.line_number}: {error}")
            continue
        if len(row) == width:
            yield row
        elif row:  # An empty line between records is none of them.
            yield Rejected(
                f"broken CSV at line {lines.line_number}: {len(row)} fields, the header has {width}"
            )


def _size(row: list[str] | Rejected) -> int:
    return 0 if isinstance(row, Rejected) else sum(map(len, row))


def _numbers_among(values: Sequence[str]) -> list[pa.DataType]:
    """Types as which some of the values can be read where numbers are wanted."""
    shown = [value.encode("utf-8", "replace").decode() for value in values]
    texts = pa.array(shown, pa.string())
    types = (pa.float64(), pa.int64(), pa.uint64(), pa.bool_())
    return [given for given in types if read_numbers(texts, given).null_count < len(texts)]


def _column(values: Sequence[str], field: pa.Field) -> pa.Array:
    """Raises BadRowsError for values that the column cannot hold."""
    try:
        if pa.types.is_binary(field.type):
            return pa.array([value.encode("utf-8", "surrogateescape") for value in values])
        if pa.types.is_string(field.type):
            return pa.array(values, pa.string())
        texts = pa.array([value or None for value in values], pa.string())
    except UnicodeEncodeError as error:
        bad = [n for n, value in enumerate(values) if not is_utf8_text(value)]
        why = f"column {field.name!r} is not valid UTF-8"
        raise BadRowsError(dict.fromkeys(bad, why)) from error
    if fields.is_as_numbers(field):
        numbers, what = read_numbers(texts, field.type), f"cannot be read as {field.type}"
    else:
        numbers = read_as_written(texts, field.type)
        what = f"is not written the way {field.type} is, the type of the column's first values"
    if numbers.null_count == texts.null_count:
        return numbers
    bad = np.flatnonzero(pc.and_(numbers.is_null(), texts.is_valid())).tolist()
    raise BadRowsError({n: f"column {field.name!r}: {quoted(values[n])} {what}" for n in bad})
