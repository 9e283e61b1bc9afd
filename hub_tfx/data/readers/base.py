"""What a reader is, and what all of them need."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import pyarrow as pa

from hub_tfx.data.isolate import as_reason, describe, isolate
from hub_tfx.data.marks import mark_rejected
from hub_tfx.errors import HubTfxError, InputError

SAMPLE_ROWS = 1000
MAX_BATCH_BYTES = 64 << 20
"""Of the records of a batch, the last one not counted."""
_MAX_SAMPLED_ROWS = 100 * SAMPLE_ROWS
"""Among which those of the sample are found, should the first ones be broken."""


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

        A column without a single value has the type null. One whose values have several types gets
        that of most, and names the others (``fields.with_others``). One that cannot be read says
        why (``fields.unusable``).
        """

    def read(self, path: str, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """All records of a file in their order, with the columns of ``schema``.

        A batch has at most ``batch_rows`` rows, and ends early once it has MAX_BATCH_BYTES. A
        record that cannot be read is a row of nulls, and marked (``marks.mark_rejected``). No value
        is converted to another one: what the type of its column does not hold is rejected.
        """


def require(path: str, schema: pa.Schema, available: Sequence[str]) -> None:
    for name in schema.names:
        if name not in available:
            raise InputError(f"{path} has no column {name!r}; it has {', '.join(available)}")


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
    """The records from which a schema is inferred: 1,000 that can be read, or a batch of large
    ones."""
    candidates = islice(records, _MAX_SAMPLED_ROWS)
    readable = (record for record in candidates if not isinstance(record, Rejected))
    return next(chunks(readable, SAMPLE_ROWS, size_bytes), [])


class BadRowsError(ValueError):
    """Records of a batch that cannot be read, when it is known which they are.

    Attributes:
      reasons: place among the records -> why, at least one.
    """

    def __init__(self, reasons: Mapping[int, str]):
        super().__init__(next(iter(reasons.values())))
        self.reasons = reasons


def build_batch(
    records: Sequence[Any], schema: pa.Schema, build: Callable[[Sequence[Any]], pa.RecordBatch]
) -> pa.RecordBatch:
    """A batch with a row for each record, null and marked where ``build`` fails on it.

    Args:
      records: what ``build`` takes, and Rejected.
      schema: of the batch.
      build: makes a batch of some records. What it cannot read it names by a BadRowsError; for
        another error, the record at fault is found by halving.
    """
    rejected: dict[int, str] = {}
    rows: Sequence[int] = range(len(records))
    good = records
    if Rejected in set(map(type, records)):
        rejected = {n: item.reason for n, item in enumerate(records) if isinstance(item, Rejected)}
        rows = [row for row in rows if row not in rejected]
        good = [records[row] for row in rows]
    built, failed = _build_rows(good, build)
    rejected |= {rows[place]: why for place, why in failed.items()}
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


def _build_rows(
    records: Sequence[Any], build: Callable[[Sequence[Any]], pa.RecordBatch]
) -> tuple[list[pa.RecordBatch], dict[int, str]]:
    """Batches of the records that can be read, in order, and place -> reason of the others."""
    places: Sequence[int] = range(len(records))
    failed: dict[int, str] = {}
    while places:
        good = records if not failed else [records[place] for place in places]
        try:
            return [build(good)], failed
        except BadRowsError as error:
            failed |= {places[n]: as_reason(why) for n, why in error.reasons.items()}
            places = [place for n, place in enumerate(places) if n not in error.reasons]
        except HubTfxError:  # Not a row's fault.
            raise
        except Exception:  # noqa: BLE001  (isolate says whose fault it is)
            return _build_isolated(good, places, failed, build)
    return [], failed


def _build_isolated(
    records: Sequence[Any],
    places: Sequence[int],
    failed: Mapping[int, str],
    build: Callable[[Sequence[Any]], pa.RecordBatch],
) -> tuple[list[pa.RecordBatch], dict[int, str]]:
    built: list[pa.RecordBatch] = []
    reasons = dict(failed)
    for start, _, result in isolate(0, len(records), lambda a, b: build(records[a:b])):
        if isinstance(result, Exception):
            reasons[places[start]] = describe(result)
        else:
            built.append(result)
    return built, reasons
