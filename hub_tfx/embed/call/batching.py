"""Calls of a module: which rows go into which, and what came out in the order of the rows."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import pyarrow as pa
import tensorflow as tf

from hub_tfx.data.arrow import all_but
from hub_tfx.data.isolate import describe, isolate
from hub_tfx.data.prefetch import one_ahead
from hub_tfx.embed.call.bound import BoundModule, Feed
from hub_tfx.embed.call.bound_inputs import CheckedRows
from hub_tfx.embed.call.deadline import CallTimeoutError, Turn, call_within
from hub_tfx.embed.call.outputs import Outputs
from hub_tfx.embed.call.sizing import CallSizes, make_calls
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.progress import IN_THIS_PROCESS
from hub_tfx.embed.reuse.copy import embed_unknown
from hub_tfx.embed.reuse.known import KnownRows
from hub_tfx.embed.rows import EmbeddedRows, Rows, Spent, merge, take

_TOO_LARGE = (tf.errors.ResourceExhaustedError, MemoryError, CallTimeoutError)


@dataclass(frozen=True)
class CallLimits:
    """What one call of a module may take.

    Attributes:
      sizes: numbers of rows, which learn from calls.
      size_bytes: at most, were all rows as large as the largest.
      timeout_s: after which it is given up.
      turn: held during a call, for there is memory for one.
    """

    sizes: CallSizes
    size_bytes: int
    timeout_s: float
    turn: Turn = field(default_factory=Turn)

    @classmethod
    def of(cls, config: EmbedConfig, sizes: CallSizes | None = None) -> "CallLimits":
        """Those of a config, with sizes that other threads may know more of."""
        return cls(sizes or CallSizes.of(config), config.batch_bytes, config.call_timeout_s)


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
        IN_THIS_PROCESS.rows += done.reused + done.duplicates
    failed = {int(checked.rows[row]): why for row, why in done.rejected.items()}
    rejected = dict(sorted({**checked.rejected, **failed}.items()))
    IN_THIS_PROCESS.dead_letters += len(rejected)
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
    call_rows = bound.plan.call_rows
    sizes = CallSizes(call_rows, is_fixed=True) if call_rows else limits.sizes
    calls = make_calls(row_bytes, sizes, limits.size_bytes)
    pieces: list[tuple[Rows, Mapping[str, pa.Array]]] = []
    rejected: dict[int, str] = {}
    called_rows: list[int] = []
    spent = Spent()
    for call, feeds, undecodable in _feeds(bound, fed, calls, spent):
        rejected |= {int(call[row]): why for row, why in undecodable.items()}
        before_s, is_whole = spent.call_s, True
        for feed in feeds:
            called_rows.append(len(feed.rows))
            for called, result in _results(bound, feed, call[feed.rows], limits, spent):
                is_whole &= len(called) == len(feed.rows)
                rejected |= {int(called[row]): why for row, why in result.rejected.items()}
                IN_THIS_PROCESS.rows += len(called) - len(result.rejected)
                if len(result.rejected) == len(called):
                    continue
                fine = all_but(len(called), result.rejected)
                columns = take(result.columns, fine) if result.rejected else result.columns
                pieces.append((called[fine], columns))
        if is_whole and not undecodable:
            sizes.took(row_bytes[call].max(), len(call), spent.call_s - before_s)
    rows, merged = merge(pieces)
    return EmbeddedRows(rows, merged, rejected, tuple(called_rows), spent=spent)


def _feeds(
    bound: BoundModule, batch: pa.RecordBatch, calls: Iterator[Rows], spent: Spent
) -> Iterator[tuple[Rows, list[Feed], dict[int, str]]]:
    """Each call with its feeds; images are decoded while the module works on those before."""

    def decode(call: Rows) -> tuple[Rows, list[Feed], dict[int, str]]:
        of_call = batch if len(call) == batch.num_rows else batch.take(pa.array(call))
        started_s = time.monotonic()
        feeds, undecodable = bound.feeds(of_call)
        spent.decode_s += time.monotonic() - started_s
        return call, feeds, undecodable

    feeds = map(decode, calls)
    return one_ahead(feeds) if bound.has_images else feeds


def _results(
    bound: BoundModule, feed: Feed, rows: Rows, limits: CallLimits, spent: Spent
) -> Iterator[tuple[Rows, Outputs]]:
    """Calls the module on a feed, and on parts of it where it fails: their rows, what it gave."""
    fitting: list[int] = []
    too_many: list[int] = []

    def attempt(start: int, stop: int) -> Outputs:
        try:
            with _timed(spent, "call_s"):
                inputs = bound.inputs(feed, start, stop)
            with limits.turn, _timed(spent, "call_s"), _timed(spent, "module_s"):
                outputs = call_within(limits.timeout_s, partial(bound.call, inputs))
        except _TOO_LARGE:
            too_many.append(stop - start)
            raise
        fitting.append(stop - start)
        with _timed(spent, "call_s"):
            return bound.columns(outputs, stop - start)

    for start, stop, result in isolate(0, len(rows), attempt):
        if isinstance(result, Exception):
            reason = f"the module failed on it: {describe(result)}"
            result = Outputs({}, dict.fromkeys(range(stop - start), reason))
        yield rows[start:stop], result
    if fitting and too_many and min(too_many) > 1:  # Else one row is too much by itself.
        limits.sizes.lower(max(fitting))


@contextmanager
def _timed(spent: Spent, what: str) -> Iterator[None]:
    started_s = time.monotonic()
    try:
        yield
    finally:
        setattr(spent, what, getattr(spent, what) + time.monotonic() - started_s)
