"""A random sample of rows that is the same whichever worker reads them.

Each row belongs to a unit: its group, or itself where it has none. A unit has a number that depends
on the seed and on what the group is called or where the row stands, as if drawn at random, and the
rows of the units with the smallest numbers are the sample: so groups stay whole. At no time are
more than twice as many rows held in a process.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from hub_tfx.data.arrow import columns_of
from hub_tfx.data.marks import Position, rejected_of
from hub_tfx.evaluate.rows import names_of

PLACE = "hub_tfx.place"
"""Column of places: number of the file, and of the row in it."""
UNIT = "hub_tfx.unit"
"""Column of the numbers of units."""
UNREADABLE = "hub_tfx.unreadable"
"""Column of reasons for which a row could not be read; null for rows that could."""
_ROW_BITS = 40
_BATCH_ROWS = 2048
_BATCH_BYTES = 64 << 20
_SEED_STEP = np.uint64(0x9E3779B97F4A7C15)
_ALL = 1 << 64
_WORTH_CUTTING = 0.5
"""Share of a sample that has to be left where a group that is not whole is taken out."""

Places = np.ndarray[Any, np.dtype[np.int64]]
Numbers = np.ndarray[Any, np.dtype[np.uint64]]


def place_of(file: int, row: int) -> int:
    """The place of a row (counted from 0) in a file (its number in the input)."""
    return (file << _ROW_BITS) + row


def file_and_row(place: int) -> tuple[int, int]:
    """What ``place_of`` was given."""
    return place >> _ROW_BITS, place & ((1 << _ROW_BITS) - 1)


@dataclass(frozen=True)
class Placing:
    """What gives rows their places and units.

    Attributes:
      files: path -> number of the file in the input.
      seed: seed of the numbers.
      group: feature whose equal values make a group; None where each row is for itself.
    """

    files: Mapping[str, int]
    seed: int
    group: str | None = None

    def placed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch, as a reader of ours gives it, with the columns PLACE, UNIT and UNREADABLE.

        Its schema says where its rows came from, and which could not be read.
        """
        position, reasons = Position.of(batch), rejected_of(batch)
        first = place_of(self.files[position.source], position.first_row)
        places = np.arange(first, first + batch.num_rows)
        columns = {
            PLACE: pa.array(places),
            UNIT: pa.array(self._units(batch, places)),
            UNREADABLE: pa.array([reasons.get(row) for row in range(len(places))], pa.string()),
        }
        added = [pa.field(name, column.type) for name, column in columns.items()]
        return pa.RecordBatch.from_arrays(
            [*batch.columns, *columns.values()], schema=pa.schema([*batch.schema, *added])
        )

    def _units(self, batch: pa.RecordBatch, places: Places) -> Numbers:
        units = numbers_of(places, self.seed)
        if self.group is None:
            return units
        key = self.seed.to_bytes(8, "little")
        values = columns_of(batch, [self.group])[self.group].to_pylist()
        for row, name in enumerate(names_of([*map(sole_value, values)])):
            if name is not None:
                digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=key)
                units[row] = int.from_bytes(digest.digest(), "little")
        return units


def numbers_of(places: Places, seed: int) -> Numbers:
    """A number for each place, as if drawn at random; no two places have the same.

    The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    with np.errstate(over="ignore"):
        mixed = places.astype(np.uint64) + _SEED_STEP * np.uint64(seed + 1)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        numbers: Numbers = mixed ^ (mixed >> np.uint64(31))
    return numbers


def sole_value(value: Any) -> Any:
    """The value of a row that has one, as a number without a fraction where it is; otherwise None.

    In tf.Example each value is in a list.
    """
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole else value


@dataclass
class _Chosen:
    """Rows that may be in the sample.

    Attributes:
      rows: number of the file -> rows of it that were seen.
      pieces: batches of rows, each of one file and in its order.
      held: number of rows in them.
      dropped: the smallest unit of which a row was dropped; larger than all units if none was.
    """

    rows: Counter[int] = field(default_factory=Counter)
    pieces: list[pa.RecordBatch] = field(default_factory=list)
    held: int = 0
    dropped: int = _ALL


@dataclass(frozen=True)
class Sample:
    """The rows that were chosen.

    Attributes:
      rows: number of a file -> all rows that were read of it.
      batches: the rows as Arrow's stream format, in the order of their places.
    """

    rows: Mapping[int, int]
    batches: Sequence[bytes]


class ChooseRows(beam.CombineFn):  # type: ignore[misc]
    """Combines batches of rows that have their places into a Sample."""

    def __init__(self, most: int, seed: int):
        """A choice of at most so many rows."""
        super().__init__()
        self._most = most
        self._seed = seed

    def create_accumulator(self) -> _Chosen:
        return _Chosen()

    def add_input(self, chosen: _Chosen, batch: pa.RecordBatch) -> _Chosen:
        if batch.num_rows:
            chosen.rows[file_and_row(int(_places(batch)[0]))[0]] += batch.num_rows
            self._add(chosen, batch)
        return chosen

    def merge_accumulators(self, all_chosen: Iterable[_Chosen]) -> _Chosen:
        merged = _Chosen()
        for chosen in all_chosen:
            merged.rows.update(chosen.rows)
            merged.dropped = min(merged.dropped, chosen.dropped)
            for piece in chosen.pieces:
                self._add(merged, piece)
        return merged

    def compact(self, chosen: _Chosen) -> _Chosen:
        self._reduce(chosen)
        return chosen

    def extract_output(self, chosen: _Chosen) -> Sample:
        self._reduce(chosen)
        self._leave_out_cut_group(chosen)
        pieces = sorted(chosen.pieces, key=lambda piece: int(_places(piece)[0]))
        return Sample(dict(sorted(chosen.rows.items())), [*map(to_bytes, _joined(pieces))])

    def _add(self, chosen: _Chosen, batch: pa.RecordBatch) -> None:
        # No row of a larger unit can come back into the sample.
        piece = _rows_where(batch, _units(batch) <= np.uint64(min(chosen.dropped, _ALL - 1)))
        if piece.num_rows:
            chosen.pieces.append(piece)
            chosen.held += piece.num_rows
        if chosen.held > 2 * self._most:
            self._reduce(chosen)

    def _reduce(self, chosen: _Chosen) -> None:
        """Keeps the rows of the smallest units, of the last of them those with small numbers."""
        if chosen.held <= self._most:
            return
        units = np.concatenate([*map(_units, chosen.pieces)])
        places = np.concatenate([*map(_places, chosen.pieces)])
        order = np.lexsort((numbers_of(places, self._seed), units))
        is_kept = np.zeros(len(order), bool)
        is_kept[order[: self._most]] = True
        chosen.dropped = min(chosen.dropped, int(units[order[self._most]]))
        self._keep(chosen, is_kept)

    def _leave_out_cut_group(self, chosen: _Chosen) -> None:
        if chosen.dropped == _ALL:
            return
        is_whole = np.concatenate([*map(_units, chosen.pieces)]) < np.uint64(chosen.dropped)
        if is_whole.sum() >= _WORTH_CUTTING * self._most:
            self._keep(chosen, is_whole)

    def _keep(self, chosen: _Chosen, is_kept: Any) -> None:
        ends = np.cumsum([piece.num_rows for piece in chosen.pieces])
        parts = np.split(is_kept, ends[:-1])
        kept = [_rows_where(*of) for of in zip(chosen.pieces, parts, strict=True)]
        chosen.pieces = [piece for piece in kept if piece.num_rows]
        chosen.held = int(is_kept.sum())


def _rows_where(batch: pa.RecordBatch, is_wanted: Any) -> pa.RecordBatch:
    """Some rows, copied: a slice would be sent with all of its batch."""
    return batch.take(pa.array(np.flatnonzero(is_wanted)))


def to_bytes(batch: pa.RecordBatch) -> bytes:
    """A record batch as Arrow's stream format, with what is known of its columns."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def from_bytes(content: bytes) -> pa.RecordBatch:
    """What ``to_bytes`` was given."""
    with pa.ipc.open_stream(content) as reader:
        return reader.read_next_batch()


def _places(batch: pa.RecordBatch) -> Places:
    places: Places = batch.column(batch.schema.get_field_index(PLACE)).to_numpy()
    return places


def _units(batch: pa.RecordBatch) -> Numbers:
    units: Numbers = batch.column(batch.schema.get_field_index(UNIT)).to_numpy()
    return units


def _joined(pieces: Sequence[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in fewer batches."""
    group: list[pa.RecordBatch] = []
    rows = size_bytes = 0
    for piece in pieces:
        rows, size_bytes = rows + piece.num_rows, size_bytes + piece.nbytes
        if group and (rows > _BATCH_ROWS or size_bytes > _BATCH_BYTES):
            yield from _as_one(group)
            group, rows, size_bytes = [], piece.num_rows, piece.nbytes
        group.append(piece)
    if group:
        yield from _as_one(group)


def _as_one(group: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    batches: list[pa.RecordBatch] = pa.Table.from_batches(group).combine_chunks().to_batches()
    return batches
