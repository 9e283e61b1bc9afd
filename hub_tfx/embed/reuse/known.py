"""KnownRows: outputs of a module that need not be computed again, found by digest.

Outputs lie in files without a name on this machine's disk (see TMPDIR), which the operating system
frees with the process, however that ends. The sorted digests do as well, once they are many. Only
what was added last, and what was just read from the files, is in memory.
"""

import mmap
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from hub_tfx.embed.digests import Digests
from hub_tfx.embed.limits import DEFAULT_LIMITS, EmbedLimits

Positions = np.ndarray[Any, np.dtype[np.int64]]
"""Numbers of rows in the order in which they were added; -1 for none."""

_CHUNK_BYTES = 64 << 20


class KnownRows:
    """Rows with their digests and outputs. Threads may share it.

    Any of several rows with equal digests may be found.

    Attributes:
      rows: how many rows are known.
      earlier: how many of them, the first ones, are from an earlier output.
    """

    def __init__(self, schema: pa.Schema, limits: EmbedLimits = DEFAULT_LIMITS):
        """No rows yet.

        Args:
          schema: columns of the outputs.
          limits: how much is kept in memory.
        """
        self._schema = schema
        self._limits = limits
        self._runs: list[_Run] = []
        self._mapped: list[pa.RecordBatch] = []
        self._recent: list[pa.RecordBatch] = []
        self._lock = threading.Lock()
        self.rows = 0
        self.earlier = 0

    def add(self, digests: Digests, columns: Mapping[str, pa.Array]) -> None:
        """Adds rows.

        Args:
          digests: digests of the rows.
          columns: outputs of the rows, with the columns of the schema.
        """
        batch = pa.RecordBatch.from_arrays(
            [columns[name] for name in self._schema.names], schema=self._schema
        )
        with self._lock:
            places = np.arange(self.rows, self.rows + len(digests))
            run = _Run((digests[:, 0], digests[:, 1], places), self._limits)
            # Each run has more than twice the rows of the next, so there are few.
            while self._runs and len(self._runs[-1]) <= 2 * len(run):
                run = self._runs.pop().merged(run)
            self._runs.append(run)
            self._recent.append(batch)
            self.rows += batch.num_rows
            if self._is_chunk(self._recent):
                self._mapped.append(_mapped_batch(self._recent))
                self._recent = []

    def find(self, digests: Digests) -> Positions:
        """The position of each row; -1 where it is not known."""
        if not self.rows:
            return np.full(len(digests), -1, np.int64)
        order = np.argsort(digests[:, 0])  # Looking sorted ones up takes a third of the time.
        found = np.full(len(digests), -1, np.int64)
        with self._lock:
            for run in self._runs:
                run.find(digests[order], found)
        in_order = np.empty_like(found)
        in_order[order] = found
        return in_order

    def take(self, positions: Positions) -> dict[str, pa.Array]:
        """The outputs of rows that were found, in the order of ``positions``."""
        with self._lock:
            chunks = [*self._mapped, *self._recent]
        starts = np.cumsum([0, *(chunk.num_rows for chunk in chunks)])
        chunk_of = np.searchsorted(starts, positions, side="right") - 1
        order = np.argsort(chunk_of, kind="stable")
        pieces = [
            _rows_of(chunks[number], positions[chunk_of == number] - starts[number])
            for number in np.unique(chunk_of)
        ]
        whole = pa.Table.from_batches(pieces, self._schema)
        if (np.diff(chunk_of) < 0).any():
            whole = whole.take(pa.array(np.argsort(order)))
        return {
            field.name: pa.concat_arrays(whole.column(n).chunks or [pa.array([], field.type)])
            for n, field in enumerate(self._schema)
        }

    def _is_chunk(self, batches: Sequence[pa.RecordBatch]) -> bool:
        rows: int = sum(batch.num_rows for batch in batches)
        size_bytes: int = sum(batch.nbytes for batch in batches)
        return rows >= self._limits.chunk_rows or size_bytes >= _CHUNK_BYTES


class _Run:
    """Digests sorted by their first half, and the positions of their rows."""

    def __init__(self, columns: Sequence[np.ndarray[Any, Any]], limits: EmbedLimits):
        self._limits = limits
        order = np.argsort(columns[0], kind="stable")  # Which merges what is sorted by halves.
        ordered = [column[order] for column in columns]
        self._columns = [
            _mapped_array(column) if column.nbytes >= limits.mapped_bytes else column
            for column in ordered
        ]

    def __len__(self) -> int:
        return len(self._columns[0])

    def merged(self, other: "_Run") -> "_Run":
        columns = [np.concatenate(pair) for pair in zip(self._columns, other._columns, strict=True)]
        return _Run(columns, self._limits)

    def find(self, digests: Digests, found: Positions) -> None:
        """Puts the positions of the rows that are here into ``found``."""
        first, second, positions = self._columns
        if not len(first):
            return
        at = np.minimum(np.searchsorted(first, digests[:, 0]), len(first) - 1)
        # Where two digests share a first half, only one is found, and the other embedded again.
        same = (first[at] == digests[:, 0]) & (second[at] == digests[:, 1])
        found[same] = positions[at[same]]


def _rows_of(batch: pa.RecordBatch, rows: Positions) -> pa.RecordBatch:
    if len(rows) == rows[-1] - rows[0] + 1 and (np.diff(rows) == 1).all():
        return batch.slice(rows[0], len(rows))  # Consecutive rows are a slice: nothing is copied.
    return batch.take(pa.array(rows))


def _mapped_array(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    with tempfile.TemporaryFile() as file:
        array.tofile(file)
        return np.frombuffer(_map(file), array.dtype)


def _mapped_batch(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    table = pa.Table.from_batches(batches).combine_chunks()
    with tempfile.TemporaryFile() as file:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        source = pa.BufferReader(pa.py_buffer(_map(file)))
        return pa.ipc.open_file(source).get_batch(0)


def _map(file: BinaryIO) -> mmap.mmap:
    file.flush()
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
