"""What a reader is, and what all of them need."""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import IO, Any, Protocol

import pyarrow as pa

from hub_tfx.data.filesystems import open_file
from hub_tfx.data.isolate import describe, isolate
from hub_tfx.data.marks import mark_rejected
from hub_tfx.errors import InputError

SAMPLE_ROWS = 1000
MAX_BATCH_BYTES = 64 << 20
"""Of the records of a batch, the last one not counted."""
MAX_LINE_BYTES = 1 << 30
"""A longer line is rejected, and the rest of it skipped."""
_SKIP_BYTES = 1 << 20
_BOM = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Rejected:
    """A record that cannot be read."""

    reason: str


class Reader(Protocol):
    """One file format, on any Beam filesystem. ``hub_tfx.testing.readers`` tests what it promises.

    Both methods raise InputError, which names the file, where the file as a whole cannot be read.
    """

    def infer_schema(self, path: str) -> pa.Schema:
        """The columns of a file, from its metadata or its first records.

        A column without a single value has the type null.
        """

    def read(self, path: str, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """All records of a file in their order, with the columns of ``schema``.

        A batch has at most ``batch_rows`` rows, and ends early once it has MAX_BATCH_BYTES. A
        record that cannot be read is a row of nulls, and marked (``marks.mark_rejected``).
        """


def require(path: str, schema: pa.Schema, available: Sequence[str]) -> None:
    for name in schema.names:
        if name not in available:
            raise InputError(f"{path} has no column {name!r}; it has {', '.join(available)}")


def is_gzip(path: str) -> bool:
    with open_file(path) as file:
        return file.read(2) == _GZIP_MAGIC


def lines_of(path: str) -> Iterator[bytes]:
    """The lines of a file, gzip or not, without a byte order mark."""
    try:
        with _unzipped(path) as file:
            lines = _lines(file)
            yield from (line.removeprefix(_BOM) for line in islice(lines, 1))
            yield from lines
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is cut short or damaged: {describe(error)}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {describe(error)}") from error


@contextmanager
def _unzipped(path: str) -> Iterator[Any]:
    zipped = is_gzip(path)
    with open_file(path) as file:
        if zipped:
            with gzip.GzipFile(fileobj=file) as unzipped:
                yield unzipped
        else:
            yield file


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    for line in iter(partial(file.readline, MAX_LINE_BYTES), b""):
        yield line
        if is_cut(line):
            rest = iter(partial(file.readline, _SKIP_BYTES), b"")
            any(piece.endswith(b"\n") for piece in rest)


def is_cut(line: bytes) -> bool:
    """Whether a line is only the beginning of one."""
    return len(line) == MAX_LINE_BYTES and not line.endswith(b"\n")


def chunks(
    records: Iterable[Any], batch_rows: int, size_bytes: Callable[[Any], int] = len
) -> Iterator[list[Any]]:
    """Records in lists of ``batch_rows`` at most, each closed once it has MAX_BATCH_BYTES."""
    chunk: list[Any] = []
    total = 0
    for record in records:
        chunk.append(record)
        total += size_bytes(record)
        if len(chunk) == batch_rows or total >= MAX_BATCH_BYTES:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk


def first_of(records: Iterable[Any], size_bytes: Callable[[Any], int] = len) -> list[Any]:
    """The records from which a schema is inferred: 1,000, or a batch of large ones."""
    return next(chunks(records, SAMPLE_ROWS, size_bytes), [])


def build_batch(
    records: Sequence[Any], schema: pa.Schema, build: Callable[[Sequence[Any]], pa.RecordBatch]
) -> pa.RecordBatch:
    """A batch with a row for each record, null and marked where ``build`` fails on it.

    Args:
      records: what ``build`` takes, and Rejected.
      schema: of the batch.
      build: makes a batch of some records.
    """
    rejected: dict[int, str] = {}
    rows: Sequence[int] = range(len(records))
    good = records
    if Rejected in set(map(type, records)):
        rejected = {n: item.reason for n, item in enumerate(records) if isinstance(item, Rejected)}
        rows = [row for row in rows if row not in rejected]
        good = [records[row] for row in rows]
    built = []
    for start, _, result in isolate(0, len(good), lambda a, b: build(good[a:b])):
        if isinstance(result, Exception):
            rejected[rows[start]] = describe(result)
        else:
            built.append(result)
    if len(built) == 1 and not rejected:
        return built[0]
    place = iter(range(len(records)))
    places = pa.array([None if r in rejected else next(place) for r in range(len(records))], "i8")
    columns = [
        pa.chunked_array([batch.column(n) for batch in built], field.type).combine_chunks()
        for n, field in enumerate(schema)
    ]
    whole = pa.RecordBatch.from_arrays([column.take(places) for column in columns], schema=schema)
    return mark_rejected(whole, rejected)
