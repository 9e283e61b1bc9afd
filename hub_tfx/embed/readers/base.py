"""What a reader is, and what all of them need."""

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import pyarrow as pa

from hub_tfx.embed.failures import describe, isolate
from hub_tfx.errors import InputError

SAMPLE_ROWS = 1000
"""Records from which a schema is inferred."""
_BOM = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"


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


def require(path: str, schema: pa.Schema, available: Sequence[str]) -> None:
    for name in schema.names:
        if name not in available:
            raise InputError(f"{path} has no column {name!r}; it has {', '.join(available)}")


def is_gzip(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == _GZIP_MAGIC


def lines_of(path: str) -> Iterator[bytes]:
    """The lines of a file, gzip or not, without a byte order mark."""
    try:
        with gzip.open(path, "rb") if is_gzip(path) else open(path, "rb") as file:
            yield from (line.removeprefix(_BOM) for line in islice(file, 1))
            yield from file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is cut short or damaged: {describe(error)}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {describe(error)}") from error


def batches(
    records: Iterator[Any], batch_rows: int, build: Callable[[Sequence[Any]], pa.RecordBatch]
) -> Iterator[pa.RecordBatch | Rejected]:
    """Builds batches of records, in order; Rejected ones pass through and end a batch."""
    pending: list[Any] = []
    for record in records:
        if isinstance(record, Rejected):
            yield from read_or_reject(pending, build)
            pending = []
            yield record
        else:
            pending.append(record)
            if len(pending) == batch_rows:
                yield from read_or_reject(pending, build)
                pending = []
    yield from read_or_reject(pending, build)


def read_or_reject(
    records: Sequence[Any], build: Callable[[Sequence[Any]], pa.RecordBatch]
) -> Iterator[pa.RecordBatch | Rejected]:
    for _, _, result in isolate(0, len(records), lambda a, b: build(records[a:b])):
        yield Rejected(describe(result)) if isinstance(result, Exception) else result
