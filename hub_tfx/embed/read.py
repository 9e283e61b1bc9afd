"""Files -> record batches, on Beam."""

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import pyarrow as pa

from hub_tfx.data.files import SourceFile, content_version, version_of
from hub_tfx.data.filesystems import is_local
from hub_tfx.data.marks import Position, slice_rows
from hub_tfx.data.prefetch import one_ahead
from hub_tfx.data.readers import PARQUET, READERS
from hub_tfx.data.tf_example import reject_unheld
from hub_tfx.embed.limits import DEFAULT_LIMITS, EmbedLimits
from hub_tfx.errors import InputError

BATCHES = "batches"
BLOCKS = "blocks"


@dataclass(frozen=True)
class RowRange:
    """Consecutive rows of a file.

    Attributes:
      path: path of the SourceFile.
      version: its ``content_version`` when they were read.
      start, stop: the half-open range of the rows.
      is_end: whether the file is known to end there; never so for row groups.
    """

    path: str
    version: str
    start: int
    stop: int
    is_end: bool


@dataclass(frozen=True)
class Block:
    """Rows that one worker read one after the other: finished together, or not at all.

    Attributes:
      id: unique name; each attempt to read the rows has its own.
      rows: ranges of rows, of one file or several.
      started_s: Unix time at which reading them began.
    """

    id: str
    rows: tuple[RowRange, ...]
    started_s: float

    @property
    def records(self) -> int:
        return sum(rows.stop - rows.start for rows in self.rows)


class ReadRecordBatches(beam.PTransform):  # type: ignore[misc]
    """Reads files into record batches whose schema says where their rows came from.

    Returns PCollections of RecordBatch under ``batches`` and of Block under ``blocks``. Records
    that cannot be read are rows of nulls, and marked (``data.marks.rejected_of``).
    """

    def __init__(
        self,
        files: Sequence[SourceFile],
        schema: pa.Schema,
        batch_rows: int = 2048,
        limits: EmbedLimits = DEFAULT_LIMITS,
        into_examples: Sequence[str] = (),
    ):
        """A reading of files.

        Args:
          files: what to read.
          schema: the columns to read, with their types.
          batch_rows: upper bound on rows in a batch; large rows come in smaller batches.
          limits: sizes of work units and blocks.
          into_examples: columns that are written as tf.Example; rows that a tf.Example cannot hold
            are marked.
        """
        super().__init__()
        self._units = make_work_units(files, limits)
        self._read = _ReadWorkUnit(schema, batch_rows, limits, into_examples)

    def expand(self, root: Any) -> Any:
        return (
            root
            | "WorkUnits" >> beam.Create(self._units)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(self._read).with_outputs(BLOCKS, main=BATCHES)
        )


def make_work_units(
    files: Sequence[SourceFile], limits: EmbedLimits = DEFAULT_LIMITS
) -> list[tuple[SourceFile, ...]]:
    """Groups of neighbouring files, each for one worker.

    Small files share a group, since each group makes at least one part of the output.
    """
    total = sum(file.size_bytes for file in files)
    most = min(max(limits.min_unit_bytes, total // limits.work_units), limits.max_unit_bytes)
    units: list[list[SourceFile]] = []
    left = -1
    for file in files:
        left -= file.size_bytes
        if left < 0:
            units.append([])
            left = most - file.size_bytes
        units[-1].append(file)
    return [tuple(_joined(unit)) for unit in units]


def first_rows(
    files: Sequence[SourceFile], schema: pa.Schema, rows: int
) -> Iterator[pa.RecordBatch]:
    """The first rows of an input, so many at a time; none of what is not near at hand."""
    for file in files:
        if file.format == "tfrecord" and not is_local(file.path):  # It would be copied as a whole.
            return
        yield from (batch for batch in _batches(file, schema, rows) if batch.num_rows)


def _joined(files: Iterable[SourceFile]) -> list[SourceFile]:
    """The ranges with neighbouring row groups of one file joined into one."""
    joined: list[SourceFile] = []
    for file in files:
        last = joined[-1] if joined else None
        if last and last.path == file.path and last.row_groups and file.row_groups:
            groups = range(last.row_groups.start, file.row_groups.stop)
            joined[-1] = replace(last, row_groups=groups, stop=file.stop)
        else:
            joined.append(file)
    return joined


class _ReadWorkUnit(beam.DoFn):  # type: ignore[misc]
    def __init__(
        self,
        schema: pa.Schema,
        batch_rows: int,
        limits: EmbedLimits,
        into_examples: Sequence[str],
    ):
        self._schema = schema
        self._into_examples = into_examples
        self._batch_rows = batch_rows
        self._block_s = limits.block_s

    def process(self, files: Sequence[SourceFile]) -> Iterator[Any]:
        block = _OpenBlock()
        for file in files:
            content = _content(file)
            row = file.start
            for batch in one_ahead(self._batches(file)):
                for start, stop in file.unfinished(row, row + batch.num_rows):
                    block.add(file, content, start, stop)
                    position = Position(file.path, start, block.id)
                    yield position.mark(slice_rows(batch, start - row, stop - row))
                row += batch.num_rows
                if time.time() - block.started_s >= self._block_s:
                    yield beam.pvalue.TaggedOutput(BLOCKS, block.closed())
                    block = _OpenBlock()
            if _content(file) != content:
                raise _changed(file)
            block.add(file, content, row, row, is_end=file.row_groups is None)
        yield beam.pvalue.TaggedOutput(BLOCKS, block.closed())

    def _batches(self, file: SourceFile) -> Iterator[pa.RecordBatch]:
        for batch in _batches(file, self._schema, self._batch_rows):
            yield reject_unheld(batch, self._into_examples)


def _content(file: SourceFile) -> str:
    """The ``content_version`` of a file, which must be as the job has found it."""
    if file.version and is_local(file.path) and file.version != version_of(file.path):
        raise _changed(file)
    try:
        content = content_version(file.path)
    except OSError as error:
        raise InputError(f"{file.path} cannot be read: {error}") from error
    if file.content not in ("", content):
        raise _changed(file)
    return content


def _changed(file: SourceFile) -> InputError:
    return InputError(f"{file.path} changed while it was read: run the job again")


class _OpenBlock:
    """A block that is still being read."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.started_s = time.time()
        self._rows: list[RowRange] = []

    def add(
        self, file: SourceFile, content: str, start: int, stop: int, is_end: bool = False
    ) -> None:
        last = self._rows[-1] if self._rows else None
        if last and (last.path, last.stop) == (file.path, start):
            self._rows.pop()
            start = last.start
        self._rows.append(RowRange(file.path, content, start, stop, is_end))

    def closed(self) -> Block:
        return Block(self.id, tuple(self._rows), self.started_s)


def _batches(file: SourceFile, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    if file.row_groups is None:
        return READERS[file.format].read(file.path, schema, batch_rows)
    return PARQUET.read(file.path, schema, batch_rows, file.row_groups)
