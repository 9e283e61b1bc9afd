"""The rows of files as tf.Example, on Beam; what was read of each file is reported in a folder."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import apache_beam as beam
from google.protobuf.message import DecodeError
from tensorflow.core.example.example_pb2 import Example
from tfx_bsl.coders import csv_decoder

from hub_tfx._tfx import ParsedCsvToTfExample
from hub_tfx.data.filesystems import delete_file, paths_in, read_bytes
from hub_tfx.data.readers.streams import lines_of
from hub_tfx.data.readers.tfrecord import records_of
from hub_tfx.data.spans import SpanFile, content_of_file
from hub_tfx.errors import InputError

_REPORT = "files-read-"
_ROWS, _READ = "rows", "read"
_END = "end of the file"
_Cells = list[bytes]


class FileRead(NamedTuple):
    """What was read of a file.

    Attributes:
      span, split, name: as SpanFile has them.
      sha256: SHA-256 of its bytes, in hex.
      rows: number of its rows.
    """

    span: int
    split: str
    name: str
    sha256: str
    rows: int

    @property
    def key(self) -> tuple[int, str, str]:
        """What tells it from all other files."""
        return self.span, self.split, self.name


class _ReadFiles(beam.PTransform):  # type: ignore[misc]
    """Files -> their rows; each file is read by one worker, from its beginning to its end."""

    def __init__(
        self, files: Sequence[SpanFile], read: Callable[[str], Iterator[Any]], report: str
    ):
        super().__init__()
        self._files, self._read, self._report = files, read, report

    def expand(self, begin: Any) -> Any:
        found = (
            begin
            | "Files" >> beam.Create(self._files)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(_ReadFile(self._read)).with_outputs(_READ, main=_ROWS)
        )
        name = f"{self._report}/{_REPORT}{self._files[0].split}"
        _ = found[_READ] | "Report" >> beam.io.WriteToText(name, num_shards=1)
        return found[_ROWS]


class _ReadFile(beam.DoFn):  # type: ignore[misc]
    def __init__(self, read: Callable[[str], Iterator[Any]]):
        self._read = read

    def process(self, file: SpanFile) -> Iterator[Any]:
        # Before the rows: a file that changes in between counts as what it was before, so that the
        # next run finds it rewritten.
        split, name, sha256 = content_of_file(file)
        rows = 0
        for row in self._read(file.path):
            rows += 1
            yield row
        read = FileRead(file.span, split, name, sha256, rows)
        yield beam.pvalue.TaggedOutput(_READ, json.dumps(read))


class _ReadCsvFiles(beam.PTransform):  # type: ignore[misc]
    """CSV files -> tf.Example, with the types that TFX finds in all of them together."""

    def __init__(self, files: Sequence[SpanFile], report: str):
        super().__init__()
        self._files, self._report = files, report

    def expand(self, begin: Any) -> Any:
        header = header_of(self._files[0].path)
        read = partial(cells_in, header=header)
        cells = begin | "Cells" >> _ReadFiles(self._files, read, self._report)
        inferrer = csv_decoder.ColumnTypeInferrer(header, skip_blank_lines=True)
        columns = cells | "InferColumnTypes" >> beam.CombineGlobally(inferrer)
        columns = beam.pvalue.AsSingleton(columns)
        return cells | "ToTFExample" >> beam.ParDo(ParsedCsvToTfExample(), columns)


def read_example_files(files: Sequence[SpanFile], report: str) -> Any:
    """A PTransform that reads TFRecord files of tf.Example.

    Args:
      files: the files of one split, at least one.
      report: the folder for reports: see ``take_reports``.
    """
    return _ReadFiles(files, examples_in, report)


def read_csv_files(files: Sequence[SpanFile], report: str) -> Any:
    """A PTransform that reads CSV files, which have one header; arguments as above."""
    return _ReadCsvFiles(files, report)


def take_reports(report: str) -> list[FileRead]:
    """What was read of each file, in order, from a folder; its reports are deleted."""
    paths = [path for path in paths_in(report) if path.rpartition("/")[2].startswith(_REPORT)]
    lines = [line for path in paths for line in read_bytes(path).splitlines()]
    for path in paths:
        delete_file(path)
    return sorted(FileRead(*json.loads(line)) for line in lines)


def examples_in(path: str) -> Iterator[Example]:
    """The examples of a TFRecord file; raises InputError where it is damaged."""
    for number, record in enumerate(records_of(path), 1):
        try:
            example = Example.FromString(record)
        except DecodeError as error:
            raise InputError(
                f"{path} is damaged: record {number} is not a tf.Example: remove or rewrite it"
            ) from error
        yield example


def header_of(path: str) -> list[str]:
    """The names of the columns of a CSV file; raises InputError where it has none."""
    header = next(_records_in(path), None)
    if header is None:
        raise InputError(f"{path} is empty: a CSV file begins with the names of its columns")
    return header[1]


def cells_in(path: str, header: list[str]) -> Iterator[_Cells]:
    """The rows of a CSV file, without blank ones.

    Raises:
      InputError: it has another header, a row has more or fewer cells, or it cannot be read.
    """
    if (own := header_of(path)) != header:
        raise InputError(
            f"{path} has the columns {', '.join(own)} and another file of the split "
            f"{', '.join(header)}: give all files of a split the same header"
        )
    records = _records_in(path)
    next(records)
    for line, record in records:
        if not record:
            continue
        if len(record) != len(header):
            raise InputError(
                f"{path}, line {line}: {len(record)} cells, and the header has {len(header)}: "
                "correct the row, or quote what is in it"
            )
        yield [cell.encode() for cell in record]


def _records_in(path: str) -> Iterator[tuple[int, list[str]]]:
    """Each record of a CSV file with the number of its last line."""
    reader = csv.reader(chain(_texts_in(path), [_END]))
    last = (0, list[str]())
    try:
        for record in reader:
            if last[0]:
                yield last
            last = reader.line_num, record
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}: it is not CSV") from error
    if last[1] != [_END]:  # It has become a part of the last cell.
        raise InputError(f"{path} ends inside a quoted cell: add the quote that is missing")


def _texts_in(path: str) -> Iterator[str]:
    for number, line in enumerate(lines_of(path), 1):
        try:
            yield line.decode().removesuffix("\n") + "\n"
        except UnicodeDecodeError as error:
            raise InputError(f"{path}, line {number} is not UTF-8: save it as UTF-8") from error
