"""Files -> record batches, on Beam."""

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics

from hub_tfx.embed.failures import Position, dead_letters
from hub_tfx.embed.files import is_local, local_copy
from hub_tfx.embed.metrics import NAMESPACE
from hub_tfx.embed.readers import READERS, Rejected, format_of
from hub_tfx.errors import InputError

Item = TypeVar("Item")

DEAD_LETTERS = "dead_letters"
COUNTS = "counts"


@dataclass(frozen=True)
class SourceFile:
    """A file to read: its path on any Beam filesystem, and a key of READERS."""

    path: str
    format: str


@dataclass(frozen=True)
class FileCount:
    """What one file held.

    Attributes:
      path: the file.
      records: all of them, the rejected ones too.
      started_s: Unix time at which reading it began.
    """

    path: str
    records: int
    started_s: float


class ReadRecordBatches(beam.PTransform):  # type: ignore[misc]
    """Reads files into record batches whose schema says where their rows came from.

    Returns PCollections of RecordBatch under ``batches``, of dead letter RecordBatches under
    ``dead_letters``, and of FileCount under ``counts``.
    """

    def __init__(
        self,
        files: Sequence[SourceFile],
        schema: pa.Schema,
        keep: Sequence[str] = (),
        batch_rows: int = 2048,
    ):
        """Args:
        files: what to read.
        schema: the columns to read, with their types.
        keep: those that dead letters carry.
        batch_rows: rows of a batch, at most.
        """
        super().__init__()
        self._files = files
        self._read = _ReadFile(schema, tuple(keep), batch_rows)

    def expand(self, root: Any) -> Any:
        return (
            root
            | "Files" >> beam.Create(self._files)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(self._read).with_outputs(DEAD_LETTERS, COUNTS, main="batches")
        )


class _ReadFile(beam.DoFn):  # type: ignore[misc]
    def __init__(self, schema: pa.Schema, keep: tuple[str, ...], batch_rows: int):
        self._schema = schema
        self._keep = keep
        self._batch_rows = batch_rows
        self._rejected = Metrics.counter(NAMESPACE, "dead_letters")

    def process(self, file: SourceFile) -> Iterator[Any]:
        started_s = time.time()
        records = 0
        with local_copy(file.path) as path:
            reader = READERS[file.format]
            for item in one_ahead(reader.read(path, self._schema, self._batch_rows)):
                position = Position(file.path, records)
                if isinstance(item, Rejected):
                    kept = {name: pa.nulls(1, self._schema.field(name).type) for name in self._keep}
                    letter = dead_letters({position.key(0): item.reason}, kept)
                    self._rejected.inc()
                    yield beam.pvalue.TaggedOutput(DEAD_LETTERS, position.mark(letter))
                    records += 1
                else:
                    yield position.mark(item)
                    records += item.num_rows
        yield beam.pvalue.TaggedOutput(COUNTS, FileCount(file.path, records, started_s))


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
    """Expands paths and globs of any Beam filesystem, sorted and each once.

    Args:
      patterns: the paths.
      file_format: a key of READERS; None to go by each file's ending.

    Raises:
      InputError: a pattern matches nothing, or a file has an ending that is not read.
    """
    paths = {path for pattern in patterns for path in _matching(pattern)}
    return [SourceFile(path, file_format or format_of(path)) for path in sorted(paths)]


def _matching(pattern: str) -> list[str]:
    if Path(pattern).is_file():  # Its name may hold characters that a glob gives a meaning.
        return [pattern]
    # Beam finds nothing for a local glob without a folder.
    here = "./" if is_local(pattern) and "/" not in pattern else ""
    try:
        found = FileSystems.match([here + pattern])[0].metadata_list
    except (BeamIOError, ValueError) as error:
        raise InputError(f"input {pattern} cannot be listed: {error}") from error
    if not found:
        hint = " (it is a directory: name its files)" if Path(pattern).is_dir() else ""
        raise InputError(f"no file matches the input {pattern}{hint}")
    return [metadata.path.removeprefix(here) for metadata in found]


def infer_schema(files: Sequence[SourceFile]) -> pa.Schema:
    """The columns of the input: of the first file that has any.

    A file without a single record may have none.

    Raises:
      InputError: the file cannot be read.
    """
    for file in files:
        with local_copy(file.path) as path:
            if schema := READERS[file.format].infer_schema(path):
                return schema
    return pa.schema([])
