"""What became of the rows of a batch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hub_tfx.embed.digests import Digests
from hub_tfx.embed.inputs import Rows

_DIGESTS = b"hub_tfx.digests"
_COPIES = b"hub_tfx.copies"


@dataclass(frozen=True)
class EmbeddedRows:
    """What became of the rows of a batch: each is in ``rows`` or in ``rejected``.

    Attributes:
      rows: indices of the embedded ones, ascending.
      columns: their outputs, in that order.
      rejected: index -> reason, ascending.
      calls: rows of each call of the module.
      digests: of ``rows``, where they were asked for.
      reused: rows that are copies from an earlier output.
      duplicates: rows that are copies from this one.
    """

    rows: Rows
    columns: Mapping[str, pa.Array]
    rejected: Mapping[int, str]
    calls: tuple[int, ...] = ()
    digests: Digests | None = None
    reused: int = 0
    duplicates: int = 0


@dataclass(frozen=True)
class Origin:
    """How the rows of a batch got their outputs.

    Attributes:
      digests: of the rows, one after the other.
      reused, duplicates: as in EmbeddedRows.
    """

    digests: bytes = b""
    reused: int = 0
    duplicates: int = 0

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> "Origin":
        """Read from the batch's schema, where ``mark`` has put it."""
        metadata = batch.schema.metadata or {}
        reused, duplicates = json.loads(metadata.get(_COPIES, b"[0, 0]"))
        return cls(metadata.get(_DIGESTS, b""), reused, duplicates)

    def mark(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with this in its schema, so that a plain RecordBatch carries it."""
        copies = json.dumps([self.reused, self.duplicates]).encode()
        return batch.replace_schema_metadata(
            {**(batch.schema.metadata or {}), _DIGESTS: self.digests, _COPIES: copies}
        )


def merge(
    pieces: Sequence[tuple[Rows, Mapping[str, pa.Array]]],
) -> tuple[Rows, Mapping[str, pa.Array]]:
    """Rows with their outputs, of several pieces, in the order of the rows."""
    if len(pieces) < 2:
        return pieces[0] if pieces else (np.array([], np.int64), {})
    rows = np.concatenate([rows for rows, _ in pieces])
    columns = {
        name: pa.concat_arrays([columns[name] for _, columns in pieces]) for name in pieces[0][1]
    }
    return np.sort(rows), take(columns, np.argsort(rows))


def take(columns: Mapping[str, pa.Array], rows: Rows) -> Mapping[str, pa.Array]:
    """Some rows of columns."""
    return {name: column.take(pa.array(rows)) for name, column in columns.items()}
