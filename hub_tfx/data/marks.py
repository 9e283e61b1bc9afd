"""Marks in the schema of a record batch: where its rows came from, and which are rejected."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from hub_tfx.data.isolate import as_reason

_SOURCE = b"hub_tfx.source"
_FIRST_ROW = b"hub_tfx.first_row"
_BLOCK = b"hub_tfx.block"
_REJECTED = b"hub_tfx.rejected"


@dataclass(frozen=True)
class Position:
    """Where the rows of a batch came from.

    Attributes:
      source: the file, or the empty string where it is unknown.
      first_row: index of the batch's first record in it, from 0; as they are read, the others
        follow without a gap.
      block: id of the ``embed.read.Block`` that its rows belong to, or the empty string.
    """

    source: str = ""
    first_row: int = 0
    block: str = ""

    def key(self, index: int) -> str:
        return f"{self.source}:{self.first_row + index + 1}"

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> "Position":
        """Read from the batch's schema, where ``mark`` has put it."""
        metadata = batch.schema.metadata or {}
        return cls(
            metadata.get(_SOURCE, b"").decode(),
            int(metadata.get(_FIRST_ROW, b"0")),
            metadata.get(_BLOCK, b"").decode(),
        )

    def after(self, rows: int) -> "Position":
        """The position so many rows further on."""
        return replace(self, first_row=self.first_row + rows)

    def mark(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with this position in its schema, so that a plain RecordBatch carries it."""
        metadata = {
            _SOURCE: self.source.encode(),
            _FIRST_ROW: str(self.first_row).encode(),
            _BLOCK: self.block.encode(),
        }
        return _add_metadata(batch, metadata)


def mark_rejected(batch: pa.RecordBatch, rejected: Mapping[int, str]) -> pa.RecordBatch:
    """The batch with rows that could not be read (row -> reason) in its schema."""
    reasons = [(row, as_reason(reason)) for row, reason in rejected.items()]
    return _add_metadata(batch, {_REJECTED: json.dumps(reasons).encode()})


def rejected_of(batch: pa.RecordBatch) -> dict[int, str]:
    """What ``mark_rejected`` has put there."""
    return dict(json.loads((batch.schema.metadata or {}).get(_REJECTED, b"[]")))


def slice_rows(batch: pa.RecordBatch, start: int, stop: int) -> pa.RecordBatch:
    """Some rows of a batch, with what its schema says of them: their position and reasons."""
    part = batch.slice(start, stop - start)
    if rejected := rejected_of(batch):
        within = {r - start: reason for r, reason in rejected.items() if start <= r < stop}
        part = mark_rejected(part, within)
    return Position.of(batch).after(start).mark(part)


def _add_metadata(batch: pa.RecordBatch, metadata: Mapping[bytes, bytes]) -> pa.RecordBatch:
    return batch.replace_schema_metadata({**(batch.schema.metadata or {}), **metadata})
