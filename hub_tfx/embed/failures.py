"""Rows that cannot be embedded: how they are found, named and kept.

A dead letter is a row of a record batch with the columns

    key     string   where the row came from: `{file}:{record}`, records counted from 1
    reason  string   why it was rejected
    …                the kept features, where the row could be read at all
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from hub_tfx.embed.config import DEAD_LETTER_COLUMNS
from hub_tfx.errors import HubTfxError

KEY, REASON = DEAD_LETTER_COLUMNS
_SOURCE = b"hub_tfx.source"
_FIRST_ROW = b"hub_tfx.first_row"
_BLOCK = b"hub_tfx.block"
_REJECTED = b"hub_tfx.rejected"

_TENSORFLOW_PLACES = re.compile(r"\{\{[^}]*\}\}|\[Op:[^\]]*\]|\[\[[^\]]*\]\]")
_TENSORFLOW_TRACE = (
    "<stack traces",
    "Detected at node",
    "File ",
    "Node:",
    "Traceback",
    "Original stack",
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Position:
    """Where the rows of a batch came from.

    Attributes:
      source: the file, or the empty string where it is unknown.
      first_row: index of the batch's first record in it, from 0; as they are read, the others
        follow without a gap.
      block: id of the ``source.Block`` that its rows belong to, or the empty string.
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

    def behind(self, rows: int) -> "Position":
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
    return _add_metadata(batch, {_REJECTED: json.dumps(list(rejected.items())).encode()})


def rejected_of(batch: pa.RecordBatch) -> dict[int, str]:
    """What ``mark_rejected`` has put there."""
    return dict(json.loads((batch.schema.metadata or {}).get(_REJECTED, b"[]")))


def all_but(rows: int, rejected: Collection[int]) -> Any:
    """Indices of rows that were not rejected, ascending: ``[rows]`` int64."""
    every = np.arange(rows)
    return np.setdiff1d(every, list(rejected)) if rejected else every


def slice_rows(batch: pa.RecordBatch, start: int, stop: int) -> pa.RecordBatch:
    """Some rows of a batch, with what its schema says of them: their position and reasons."""
    part = batch.slice(start, stop - start)
    if rejected := rejected_of(batch):
        within = {r - start: reason for r, reason in rejected.items() if start <= r < stop}
        part = mark_rejected(part, within)
    return Position.of(batch).behind(start).mark(part)


def _add_metadata(batch: pa.RecordBatch, metadata: Mapping[bytes, bytes]) -> pa.RecordBatch:
    return batch.replace_schema_metadata({**(batch.schema.metadata or {}), **metadata})


def dead_letters(rejected: Mapping[str, str], kept: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """Rejected rows as a record batch.

    Args:
      rejected: key of the row -> reason.
      kept: their kept features by name, in the same order.
    """
    letters = {
        KEY: pa.array(list(rejected), pa.string()),
        REASON: pa.array(list(rejected.values()), pa.string()),
    }
    return batch_of(letters | dict(kept))


def batch_of(columns: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """A record batch of named columns."""
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def columns_of(batch: pa.RecordBatch, names: Sequence[str]) -> dict[str, pa.Array]:
    """Some columns of a record batch by name."""
    return {name: batch.column(batch.schema.get_field_index(name)) for name in names}


def isolate(
    start: int, stop: int, attempt: Callable[[int, int], Result]
) -> Iterator[tuple[int, int, Result | Exception]]:
    """Runs ``attempt(start, stop)``, halving the range where it fails, down to single rows.

    Yields:
      (start, stop, result) for what worked, (row, row + 1, error) for a row that fails by itself;
      together they cover the range, in order.
    """
    if start >= stop:
        return
    try:
        result = attempt(start, stop)
    except HubTfxError:  # Not a row's fault.
        raise
    except Exception as error:  # noqa: BLE001  (what a row makes a model raise is its reason)
        if stop - start == 1:
            yield start, stop, error
            return
        middle = (start + stop) // 2
        yield from isolate(start, middle, attempt)
        yield from isolate(middle, stop, attempt)
    else:
        yield start, stop, result


def describe(error: Exception) -> str:
    """What an error says, in a line for a person."""
    text = _TENSORFLOW_PLACES.sub("", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].startswith("Graph execution error"):
        lines = [line for line in lines[1:] if not line.startswith(_TENSORFLOW_TRACE)] or lines
    return lines[0] if lines else type(error).__name__
