"""What became of the rows of a batch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from hub_tfx.embed.digests import Digests

Rows = np.ndarray[Any, np.dtype[np.int64]]
"""Indices of rows in a batch, or a number for each row."""

_DIGESTS = b"hub_tfx.digests"
_COUNTS = b"hub_tfx.counts"
_SIZES_AN_OCTAVE = 4


@dataclass
class Spent:
    """Seconds that rows have taken.

    Attributes:
      module_s: in the module.
      call_s: in the module, and in making its inputs and columns of its outputs.
      decode_s: in decoding images.
    """

    module_s: float = 0.0
    call_s: float = 0.0
    decode_s: float = 0.0


@dataclass(frozen=True)
class EmbeddedRows:
    """What became of the rows of a batch: each is in ``rows`` or in ``rejected``.

    Attributes:
      rows: indices of the embedded rows, ascending.
      columns: outputs of the embedded rows, in that order.
      rejected: index of a rejected row -> reason, ascending.
      calls: number of rows in each call of the module.
      digests: digests of ``rows``, where they were asked for.
      reused: how many rows are copies from an earlier output.
      duplicates: how many rows are copies of another row of this output.
      row_bytes: bytes that each of ``rows`` feeds.
      spent: time spent on embedded and rejected rows.
    """

    rows: Rows
    columns: Mapping[str, pa.Array]
    rejected: Mapping[int, str]
    calls: tuple[int, ...] = ()
    digests: Digests | None = None
    reused: int = 0
    duplicates: int = 0
    row_bytes: Rows = field(default_factory=lambda: np.array([], np.int64))
    spent: Spent = field(default_factory=Spent)


@dataclass(frozen=True)
class BatchStats:
    """How the rows of a batch got their outputs.

    Attributes:
      digests: digests of the rows, as consecutive bytes.
      reused, duplicates: numbers of copied rows, as in EmbeddedRows.
      sizes: numbers of rows by what they feed; see ``count_sizes``.
    """

    digests: bytes = b""
    reused: int = 0
    duplicates: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> "BatchStats":
        """Reads the stats from the batch's schema, where ``mark`` has put them."""
        metadata = batch.schema.metadata or {}
        counts = json.loads(metadata.get(_COUNTS, b"[0, 0, {}]"))
        return cls(metadata.get(_DIGESTS, b""), *counts)

    def mark(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with these stats in its schema, so that a plain RecordBatch carries them."""
        counts = json.dumps([self.reused, self.duplicates, self.sizes]).encode()
        return batch.replace_schema_metadata(
            {**(batch.schema.metadata or {}), _DIGESTS: self.digests, _COUNTS: counts}
        )


def count_sizes(row_bytes: Rows) -> dict[str, int]:
    """Numbers of rows by what they feed: the least bytes of a size, as text -> rows.

    There are four sizes from one power of two to the next.
    """
    number, rows = np.unique(_size_number(row_bytes), return_counts=True)
    return dict(zip(map(str, _first_bytes(number).tolist()), rows.tolist(), strict=True))


def size_edges(first: int, last: int) -> Rows:
    """The bytes at which the sizes in a range begin, and at which the last of them ends."""
    number = _size_number(np.array([first, last]))
    return np.unique(_first_bytes(np.arange(number[0], number[1] + 2)))


def _size_number(row_bytes: Rows) -> Rows:
    number: Rows = np.floor(_SIZES_AN_OCTAVE * np.log2(np.maximum(row_bytes, 1))).astype(np.int64)
    return number


def _first_bytes(number: Rows) -> Rows:
    first: Rows = np.ceil(2 ** (number / _SIZES_AN_OCTAVE)).astype(np.int64)
    return first


def merge(
    pieces: Sequence[tuple[Rows, Mapping[str, pa.Array]]],
) -> tuple[Rows, Mapping[str, pa.Array]]:
    """Joins pieces of rows with their outputs, in the order of the rows."""
    if len(pieces) < 2:
        return pieces[0] if pieces else (np.array([], np.int64), {})
    rows = np.concatenate([rows for rows, _ in pieces])
    columns = {
        name: pa.concat_arrays([columns[name] for _, columns in pieces]) for name in pieces[0][1]
    }
    return np.sort(rows), take(columns, np.argsort(rows))


def take(columns: Mapping[str, pa.Array], rows: Rows) -> Mapping[str, pa.Array]:
    """Takes some rows from columns."""
    return {name: column.take(pa.array(rows)) for name, column in columns.items()}
