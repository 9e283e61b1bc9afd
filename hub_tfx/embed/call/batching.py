"""Calls of a module: which rows go into which, and what came out in the order of the rows."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa
import tensorflow as tf

from hub_tfx.data.arrow import all_but
from hub_tfx.data.isolate import describe, isolate
from hub_tfx.data.prefetch import one_ahead
from hub_tfx.embed.call.bound import BoundModule, Feed
from hub_tfx.embed.call.bound_inputs import CheckedRows
from hub_tfx.embed.call.deadline import CallTimeoutError, call_within
from hub_tfx.embed.call.outputs import Outputs
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.reuse.copy import embed_unknown
from hub_tfx.embed.reuse.known import KnownRows
from hub_tfx.embed.rows import EmbeddedRows, Rows, Spent, merge, take

_TOO_LARGE = (tf.errors.ResourceExhaustedError, MemoryError, CallTimeoutError)


@dataclass
class CallLimits:
    """What one call of a module may take.

    Attributes:
      rows: at most; lowered where calls of so many run out of memory or time.
      size_bytes: at most, were all rows as large as the largest.
      timeout_s: after which it is given up.
      turn: held during a call, for there is memory for one.
    """

    rows: int
    size_bytes: int
    timeout_s: float
    turn: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, config: EmbedConfig) -> "CallLimits":
        return cls(config.batch_size, config.batch_bytes, config.call_timeout_s)


def embed_rows(
    bound: BoundModule,
    checked: CheckedRows,
    limits: CallLimits,
    known: KnownRows | None = None,
    *,
    deduplicate: bool = False,
) -> EmbeddedRows:
    """Embeds the rows of a batch.

    Args:
      bound: the module.
      checked: the rows.
      limits: of calls, which may learn from them.
      known: rows that are copied; with it the result has digests.
      deduplicate: see EmbedConfig.
    """
    fed, row_bytes = checked.fed, bound.row_bytes(checked.fed)

    def call(rows: Rows) -> EmbeddedRows:
        called = fed if len(rows) == fed.num_rows else fed.take(pa.array(rows))
        return call_module(bound, called, row_bytes[rows], limits)

    if known is None:
        done = call_module(bound, fed, row_bytes, limits)
    else:
        done = embed_unknown(known, bound.digests(fed), call, deduplicate=deduplicate)
    failed = {int(checked.rows[row]): why for row, why in done.rejected.items()}
    rejected = dict(sorted({**checked.rejected, **failed}.items()))
    return replace(
        done, rows=checked.rows[done.rows], rejected=rejected, row_bytes=row_bytes[done.rows]
    )


def call_module(
    bound: BoundModule, fed: pa.RecordBatch, row_bytes: Rows, limits: CallLimits
) -> EmbeddedRows:
    """Embeds rows that can be fed, in calls within the limits, which may learn from them.

    Args:
      bound: the module.
      fed: the rows.
      row_bytes: what each feeds.
      limits: of calls.
    """
    max_rows = bound.plan.call_rows or limits.rows
    calls = make_batches(row_bytes, max_rows, limits.size_bytes)
    pieces: list[tuple[Rows, Mapping[str, pa.Array]]] = []
    rejected: dict[int, str] = {}
    sizes: list[int] = []
    spent = Spent()
    for call, (feeds, undecodable) in zip(calls, _feeds(bound, fed, calls, spent), strict=True):
        rejected |= {int(call[row]): why for row, why in undecodable.items()}
        for feed in feeds:
            sizes.append(len(feed.rows))
            for called, result in _results(bound, feed, call[feed.rows], limits, spent):
                rejected |= {int(called[row]): why for row, why in result.rejected.items()}
                if len(result.rejected) == len(called):
                    continue
                fine = all_but(len(called), result.rejected)
                columns = take(result.columns, fine) if result.rejected else result.columns
                pieces.append((called[fine], columns))
    rows, merged = merge(pieces)
    return EmbeddedRows(rows, merged, rejected, tuple(sizes), spent=spent)


def make_batches(row_bytes: Rows, max_rows: int, max_bytes: int) -> list[Rows]:
    """Cuts rows into calls; rows of like size go together, since modules pad to the longest.

    Args:
      row_bytes: ``[rows]`` int64, what each row feeds.
      max_rows: of a call.
      max_bytes: of a call, were all its rows as large as its largest; a larger row goes alone.

    Returns:
      Indices of rows, each in one call; rows that fit into one call keep their order.
    """
    if len(row_bytes) <= max_rows and len(row_bytes) * row_bytes.max(initial=0) <= max_bytes:
        return [np.arange(len(row_bytes))] if len(row_bytes) else []
    order = np.argsort(row_bytes, kind="stable")
    calls = []
    start = 0
    while start < len(order):
        sizes = row_bytes[order[start : start + max_rows]]
        padded = sizes * np.arange(1, len(sizes) + 1)  # Ascending, as the sizes are.
        rows = max(1, int(np.searchsorted(padded, max_bytes, side="right")))
        calls.append(order[start : start + rows])
        start += rows
    return calls


def _feeds(
    bound: BoundModule, batch: pa.RecordBatch, calls: list[Rows], spent: Spent
) -> Iterator[tuple[list[Feed], dict[int, str]]]:
    """The feeds of each call; images are decoded while the module works on those before."""

    def decode(call: Rows) -> tuple[list[Feed], dict[int, str]]:
        of_call = batch if len(calls) == 1 else batch.take(pa.array(call))
        started_s = time.monotonic()
        feeds = bound.feeds(of_call)
        spent.decode_s += time.monotonic() - started_s
        return feeds

    feeds = map(decode, calls)
    return one_ahead(feeds) if bound.has_images else feeds


@contextmanager
def _timed(spent: Spent) -> Iterator[None]:
    started_s = time.monotonic()
    try:
        yield
    finally:
        spent.module_s += time.monotonic() - started_s


def _results(
    bound: BoundModule, feed: Feed, rows: Rows, limits: CallLimits, spent: Spent
) -> Iterator[tuple[Rows, Outputs]]:
    """Calls the module on a feed, and on parts of it where it fails: their rows, what it gave."""
    fitting: list[int] = []
    too_many: list[int] = []

    def attempt(start: int, stop: int) -> Outputs:
        try:
            inputs = bound.inputs(feed, start, stop)
            with limits.turn, _timed(spent):
                outputs = call_within(limits.timeout_s, partial(bound.call, inputs))
        except _TOO_LARGE:
            too_many.append(stop - start)
            raise
        fitting.append(stop - start)
        return bound.columns(outputs, stop - start)

    for start, stop, result in isolate(0, len(rows), attempt):
        if isinstance(result, Exception):
            reason = f"the module failed on it: {describe(result)}"
            result = Outputs({}, dict.fromkeys(range(stop - start), reason))
        yield rows[start:stop], result
    if fitting and too_many and min(too_many) > 1:  # Else one row is too much by itself.
        limits.rows = max(fitting)
