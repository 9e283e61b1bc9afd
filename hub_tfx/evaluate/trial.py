"""Both modules called here, in turns, on the same few rows: what calls take, and what they give."""

import logging
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from hub_tfx.data.isolate import describe
from hub_tfx.embed.call.bound import BoundModule
from hub_tfx.embed.call.deadline import CallTimeoutError, call_within, within
from hub_tfx.embed.task import EmbedTask
from hub_tfx.evaluate.result import Cost
from hub_tfx.module.load import LoadedModule, import_packages, load
from hub_tfx.module.process import prepare_process

_log = logging.getLogger(__name__)

_REPEATED_ROWS = 16
_MIN_ROUNDS, _MAX_ROUNDS = 3, 20
_SECONDS = 1.0
"""Spent on calls of each module, after which there is no further round."""
_LOADED_AGAIN_S = 5.0
"""A module that loads faster is loaded twice: the first load of a process takes longer."""
_ROUNDING = 1e-5
"""Difference, relative to the largest value, that another order of additions may make."""


@dataclass(frozen=True)
class Tried:
    """What a module did on some rows.

    Attributes:
      rows: how many rows were fed.
      call_rows: rows of a call.
      cost: what it takes to embed with it.
      is_repeatable: whether two calls gave the same.
      is_of_rows: whether rows that feed the same get the same, wherever in a call they are.
    """

    rows: int
    call_rows: int
    cost: Cost
    is_repeatable: bool
    is_of_rows: bool


@dataclass
class _Loaded:
    """A module that is being tried.

    Attributes:
      bound: the module, ready to be called.
      fed: the rows that it is fed.
      call_rows: rows of a call.
      timeout_s: of a call.
      load_s: seconds that loading took.
      seconds: of each round.
    """

    bound: BoundModule
    fed: pa.RecordBatch
    call_rows: int
    timeout_s: float
    load_s: float
    seconds: list[float]

    def vectors(self, rows: Any) -> Any:
        """``[rows, dim]``: the vectors of some rows, which may come several times."""
        feeds, _ = self.bound.feeds(self.fed.take(pa.array(rows)))
        (column,) = self.bound.plan.outputs
        vectors: list[Any] = [None] * len(rows)
        for feed in feeds:
            for start in range(0, len(feed.rows), self.call_rows):
                stop = min(start + self.call_rows, len(feed.rows))
                inputs = self.bound.inputs(feed, start, stop)
                given = call_within(self.timeout_s, partial(self.bound.call, inputs))[column.key]
                for row, vector in zip(feed.rows[start:stop], given, strict=False):
                    vectors[row] = np.ravel(vector)  # A call may have been filled up with rows.
        return np.array(vectors)

    def timed(self) -> Any:
        """The vectors of all rows, whose time counts."""
        started_s = time.monotonic()
        vectors = self.vectors(np.arange(self.fed.num_rows))
        self.seconds.append(time.monotonic() - started_s)
        return vectors

    @property
    def wants_more(self) -> bool:
        rounds = len(self.seconds)
        return rounds < _MIN_ROUNDS or (rounds < _MAX_ROUNDS and sum(self.seconds) < _SECONDS)


def try_out(tasks: Mapping[str, EmbedTask], rows: pa.RecordBatch) -> dict[str, Tried]:
    """Tries modules in turns, so that what else the machine does meets all of them alike.

    Args:
      tasks: side -> the module, and how it is fed.
      rows: rows that each of them has embedded before, as they were read; at least one.

    Returns:
      What each of them did; nothing where a call fails, such as for want of memory.

    Raises:
      ModuleStuckError: a module cannot be loaded in time.
    """
    prepare_process(next(iter(tasks.values())).config.threads)
    try:
        loaded = {side: _loaded(task, rows) for side, task in tasks.items()}
        vectors = {side: (of.timed(), of.timed()) for side, of in loaded.items()}
        while any(of.wants_more for of in loaded.values()):
            for of in loaded.values():
                of.timed()
        return {side: _tried(tasks[side], of, vectors[side]) for side, of in loaded.items()}
    except (tf.errors.OpError, CallTimeoutError, MemoryError) as error:
        _log.warning("cost and determinism are not measured: a call failed: %s", describe(error))
        return {}


def _loaded(task: EmbedTask, rows: pa.RecordBatch) -> _Loaded:
    module, load_s = _load(task)
    if load_s < _LOADED_AGAIN_S:
        module, again_s = _load(task)
        load_s = min(load_s, again_s)
    bound = BoundModule(module, task.config, rows.schema)
    call_rows = bound.plan.call_rows or task.config.batch_size or rows.num_rows
    fed = bound.checked(rows).fed
    return _Loaded(bound, fed, call_rows, task.config.call_timeout_s, load_s, [])


def _load(task: EmbedTask) -> tuple[LoadedModule, float]:
    """A module, and the seconds that it took to load it."""
    config, path, first = task.config, os.fspath(task.module.path), task.preprocessor
    import_packages(config.imports)

    def load_both() -> LoadedModule:
        preprocessor = load(os.fspath(first.path)) if first else None
        return load(path, config.signature, preprocessor, config.tags)

    started_s = time.monotonic()
    module = within(config.call_timeout_s, f"loading {path}", load_both)
    return module, time.monotonic() - started_s


def _tried(task: EmbedTask, loaded: _Loaded, vectors: tuple[Any, Any]) -> Tried:
    rows = loaded.fed.num_rows
    size_bytes = task.module.size_bytes
    if task.preprocessor is not None:
        size_bytes += task.preprocessor.size_bytes
    row_s = statistics.median(loaded.seconds) / rows
    return Tried(
        rows,
        loaded.call_rows,
        Cost(1 / max(row_s, 1e-9), loaded.load_s, float(size_bytes)),
        _are_equal(*vectors),
        _is_of_rows(loaded),
    )


def _is_of_rows(loaded: _Loaded) -> bool:
    """Whether rows get the same vectors a second time in a call, in the opposite order."""
    rows = np.arange(min(_REPEATED_ROWS, loaded.fed.num_rows))
    twice = loaded.vectors(np.concatenate([rows, rows[::-1]]))
    return _are_equal(twice[: len(rows)], twice[len(rows) :][::-1])


def _are_equal(one: Any, other: Any) -> bool:
    largest = max(1.0, float(np.abs(one).max(initial=0.0)))
    return bool(np.allclose(one, other, rtol=0, atol=_ROUNDING * largest))
