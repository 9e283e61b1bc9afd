"""Files -> record batches, on Beam."""

import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystem import BeamIOError, FileMetadata
from apache_beam.io.filesystems import FileSystems

from hub_tfx.embed.failures import Position, slice_rows
from hub_tfx.embed.files import is_local
from hub_tfx.embed.readers import PARQUET, READERS, format_of
from hub_tfx.errors import InputError

Item = TypeVar("Item")

DEAD_LETTERS = "dead_letters"
BATCHES = "batches"
BLOCKS = "blocks"
_MIN_SHARE_BYTES, _MAX_SHARE_BYTES = 64 << 10, 64 << 20
_SHARES = 64
"""That there are at least, if the smallest size allows."""
_BLOCK_S = 300.0
"""Work that is lost when a worker dies, at most."""


@dataclass(frozen=True)
class SourceFile:
    """A file to read, or some row groups of one.

    Attributes:
      path: on any Beam filesystem.
      format: a key of READERS.
      size_bytes: of what is to be read.
      version: tells the file from another one that had its path; empty where that is unknown.
      row_groups: their numbers; None for a whole file.
      start, stop: index of the first row, from 0, and of the one behind the last, None where only
        reading tells.
      finished: ranges of rows that are not to be read, each its first and the one behind its last.
    """

    path: str
    format: str
    size_bytes: int = 0
    version: str = ""
    row_groups: range | None = None
    start: int = 0
    stop: int | None = None
    finished: tuple[tuple[int, int], ...] = ()

    def unfinished(self, start: int, stop: int) -> list[tuple[int, int]]:
        """What of a range of rows is to be read: ranges in order."""
        cuts = [
            (max(start, first), min(stop, behind))
            for first, behind in sorted(self.finished)
            if first < stop and behind > start
        ]
        edges = [(start, start), *cuts, (stop, stop)]
        return [(a, b) for (_, a), (b, _) in pairwise(edges) if a < b]


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of a file.

    Attributes:
      path, version: of the SourceFile.
      start, stop: the first, and the one behind the last.
      is_end: whether the file ends there; never of row groups.
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
      id: unique; each attempt to read the rows has its own.
      rows: of one file or several.
      started_s: Unix time at which reading them began.
    """

    id: str
    rows: tuple[Rows, ...]
    started_s: float

    @property
    def records(self) -> int:
        return sum(rows.stop - rows.start for rows in self.rows)


class ReadRecordBatches(beam.PTransform):  # type: ignore[misc]
    """Reads files into record batches whose schema says where their rows came from.

    Returns PCollections of RecordBatch under ``batches`` and of Block under ``blocks``. Records
    that cannot be read are rows of nulls, and marked (``failures.rejected_of``).
    """

    def __init__(self, files: Sequence[SourceFile], schema: pa.Schema, batch_rows: int = 2048):
        """Args:
        files: what to read.
        schema: the columns to read, with their types.
        batch_rows: rows of a batch, at most; fewer where they are large.
        """
        super().__init__()
        self._shares = share_out(files)
        self._read = _ReadShare(schema, batch_rows)

    def expand(self, root: Any) -> Any:
        return (
            root
            | "Shares" >> beam.Create(self._shares)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(self._read).with_outputs(BLOCKS, main=BATCHES)
        )


def share_out(files: Sequence[SourceFile]) -> list[tuple[SourceFile, ...]]:
    """Neighbouring files in groups, each for one worker.

    Small files share a group, since each is at least a part of the output.
    """
    total = sum(file.size_bytes for file in files)
    most = min(max(_MIN_SHARE_BYTES, total // _SHARES), _MAX_SHARE_BYTES)
    shares: list[list[SourceFile]] = []
    left = -1
    for file in files:
        left -= file.size_bytes
        if left < 0:
            shares.append([])
            left = most - file.size_bytes
        shares[-1].append(file)
    return [tuple(_joined(share)) for share in shares]


def _joined(files: Iterable[SourceFile]) -> list[SourceFile]:
    """Neighbouring row groups of one file as one."""
    joined: list[SourceFile] = []
    for file in files:
        last = joined[-1] if joined else None
        if last and last.path == file.path and last.row_groups and file.row_groups:
            groups = range(last.row_groups.start, file.row_groups.stop)
            joined[-1] = replace(last, row_groups=groups, stop=file.stop)
        else:
            joined.append(file)
    return joined


def split_row_groups(files: Iterable[SourceFile]) -> list[SourceFile]:
    """Parquet files as their row groups, so that several workers read one; others as they are."""
    split = []
    for file in files:
        groups = PARQUET.row_groups(file.path) if file.format == "parquet" else []
        start = 0
        for number, group in enumerate(groups):
            split.append(
                replace(
                    file,
                    size_bytes=group.size_bytes,
                    row_groups=range(number, number + 1),
                    start=start,
                    stop=start + group.rows,
                )
            )
            start += group.rows
        if not groups:
            split.append(file)
    return split


class _ReadShare(beam.DoFn):  # type: ignore[misc]
    def __init__(self, schema: pa.Schema, batch_rows: int):
        self._schema = schema
        self._batch_rows = batch_rows

    def process(self, files: Sequence[SourceFile]) -> Iterator[Any]:
        block = _OpenBlock()
        for file in files:
            row = file.start
            for batch in one_ahead(_batches(file, self._schema, self._batch_rows)):
                for start, stop in file.unfinished(row, row + batch.num_rows):
                    block.add(file, start, stop)
                    position = Position(file.path, start, block.id)
                    yield position.mark(slice_rows(batch, start - row, stop - row))
                row += batch.num_rows
                if time.time() - block.started_s >= _BLOCK_S:
                    yield beam.pvalue.TaggedOutput(BLOCKS, block.closed())
                    block = _OpenBlock()
            _check_unchanged(file)
            block.add(file, row, row, is_end=file.row_groups is None)
        yield beam.pvalue.TaggedOutput(BLOCKS, block.closed())


def _check_unchanged(file: SourceFile) -> None:
    if file.version and is_local(file.path) and file.version != _version(_stat(file.path)):
        raise InputError(f"{file.path} has changed while it was read: run the job again")


class _OpenBlock:
    """A block that is still read."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.started_s = time.time()
        self._rows: list[Rows] = []

    def add(self, file: SourceFile, start: int, stop: int, is_end: bool = False) -> None:
        last = self._rows[-1] if self._rows else None
        if last and (last.path, last.stop) == (file.path, start):
            self._rows.pop()
            start = last.start
        self._rows.append(Rows(file.path, file.version, start, stop, is_end))

    def closed(self) -> Block:
        return Block(self.id, tuple(self._rows), self.started_s)


def _batches(file: SourceFile, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    if file.row_groups is None:
        return READERS[file.format].read(file.path, schema, batch_rows)
    return PARQUET.read(file.path, schema, batch_rows, file.row_groups)


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items; while one is worked on, the next is made in another thread.

    Reading and decoding is half of what a light module costs, and the module leaves Python's lock
    free while it runs.
    """
    end = object()
    with ThreadPoolExecutor(1) as pool:
        coming: Future[Any] = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item


def find_files(patterns: Iterable[str], file_format: str | None = None) -> list[SourceFile]:
    """Expands paths and globs of any Beam filesystem, sorted and each file once.

    Args:
      patterns: the paths.
      file_format: a key of READERS; None to go by each file's ending.

    Raises:
      InputError: a pattern matches nothing, or a file has an ending that is not read.
    """
    found = {file.path: file for pattern in patterns for file in _matching(pattern)}
    unique = {real_path(path): found[path] for path in sorted(found, reverse=True)}
    return [
        SourceFile(
            file.path, file_format or format_of(file.path), file.size_in_bytes, _version(file)
        )
        for file in sorted(unique.values(), key=lambda file: file.path)
    ]


def real_path(path: str) -> str:
    """One name for a file that has several: links and relative paths are followed."""
    return os.path.realpath(path) if is_local(path) else path


def _matching(pattern: str) -> list[FileMetadata]:
    if Path(pattern).is_file():  # Its name may hold characters that a glob gives a meaning.
        return [_stat(pattern)]
    # Beam finds nothing for a local glob without a folder.
    here = "./" if is_local(pattern) and "/" not in pattern else ""
    try:
        found = FileSystems.match([here + pattern])[0].metadata_list
    except (BeamIOError, ValueError) as error:
        raise InputError(f"input {pattern} cannot be listed: {error}") from error
    if not found:
        hint = " (it is a directory: name its files)" if Path(pattern).is_dir() else ""
        raise InputError(f"no file matches the input {pattern}{hint}")
    if is_local(pattern):
        return [_stat(file.path.removeprefix(here)) for file in found]
    return list(found)


def _stat(path: str) -> FileMetadata:
    stat = os.stat(path)
    return FileMetadata(path, stat.st_size, stat.st_mtime_ns / 1e9)


def _version(file: FileMetadata) -> str:
    return f"{file.size_in_bytes} bytes of {file.last_updated_in_seconds!r}"
