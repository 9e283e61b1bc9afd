"""EmbedRecordBatches: record batches in, record batches with embeddings out."""

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from hub_tfx.beam.runner import processes_here
from hub_tfx.data.arrow import columns_of
from hub_tfx.data.filesystems import local_directory
from hub_tfx.data.marks import Position, slice_rows
from hub_tfx.embed.call.batching import CallLimits, embed_rows
from hub_tfx.embed.call.bound import BoundModule
from hub_tfx.embed.call.bound_inputs import CheckedRows
from hub_tfx.embed.call.deadline import CallThreads, within
from hub_tfx.embed.call.sizing import CallSizes
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.dead_letters import DEAD_LETTERS, dead_letters
from hub_tfx.embed.limits import DEFAULT_LIMITS, EmbedLimits
from hub_tfx.embed.output.layout import EMBEDDINGS
from hub_tfx.embed.plan import EmbedPlan
from hub_tfx.embed.reuse.known import KnownRows
from hub_tfx.embed.reuse.previous import Previous
from hub_tfx.embed.rows import BatchStats, EmbeddedRows, count_sizes
from hub_tfx.errors import DigestMismatchError
from hub_tfx.module.load import LoadedModule, import_packages, load
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.process import cores, prepare_process

_AT_ONCE = 2
"""Windows in work at one time: while the module has one, the other is prepared or written."""


class EmbedRecordBatches(beam.PTransform):  # type: ignore[misc]
    """Embeds a PCollection of ``pyarrow.RecordBatch``; usable in any Beam pipeline.

    Returns PCollections under ``embeddings`` (the kept columns and a column for each output) and
    ``dead_letters`` (see hub_tfx.embed.dead_letters). A module is loaded once in a worker process.
    Metrics are under the namespace ``hub_tfx``: counters ``rows``, ``dead_letters``, ``reused``,
    ``duplicates``, ``fed_bytes``, ``module_us`` and ``decode_us`` (microseconds in the module, and
    in decoding images), ``module_loads`` and ``module_load_ms``; the distribution ``batch_rows`` of
    rows in a call.
    """

    def __init__(
        self,
        module_path: str | os.PathLike[str],
        config: EmbedConfig | None = None,
        digest: str | None = None,
        shared: Shared | None = None,
        preprocessor_path: str | os.PathLike[str] | None = None,
        preprocessor_digest: str | None = None,
        previous: Previous | None = None,
        limits: EmbedLimits = DEFAULT_LIMITS,
    ):
        """An embedding of record batches.

        Args:
          module_path: a module's directory, the same on each worker, on any Beam filesystem.
          config: what to feed, keep and write.
          digest: digest of the module; each worker refuses to work with another module.
          shared: lets several transforms with the same module use one copy of it.
          preprocessor_path: directory of a module that takes the features and feeds the other one.
          preprocessor_digest: digest of the preprocessor.
          previous: rows that are copied; batches then carry their digests (rows.BatchStats).
          limits: sizes that matter for speed and memory.
        """
        super().__init__()
        module = _Source(os.fspath(module_path), digest)
        preprocessor = preprocessor_path and _Source(
            os.fspath(preprocessor_path), preprocessor_digest
        )
        config = config or EmbedConfig()
        if config.deduplicate:
            previous = previous or Previous(limits=limits)
        self._embed = _Embed(
            module, preprocessor or None, config, shared or Shared(), previous, limits
        )

    def expand(self, batches: Any) -> Any:
        self._embed.share_cores(processes_here(batches.pipeline.options))
        return batches | "Embed" >> beam.ParDo(self._embed).with_outputs(
            DEAD_LETTERS, main=EMBEDDINGS
        )


@dataclass(frozen=True)
class _Source:
    """Where a worker finds a module, and the digest that it must have."""

    path: str
    digest: str | None

    def directory(self) -> str:
        """A local directory with the module; raises DigestMismatchError for another module."""
        path = local_directory(self.path)
        if self.digest is not None:
            actual = Manifest.of_directory(path, once=True).digest
            if actual != self.digest:
                raise DigestMismatchError(
                    f"this worker's module in {self.path} has digest {actual}, "
                    f"but the job was started with {self.digest}"
                )
        return path


@dataclass(frozen=True)
class _Worker:
    """What the threads of a worker process share."""

    module: LoadedModule
    sizes: CallSizes


class _Embed(beam.DoFn):  # type: ignore[misc]
    def __init__(
        self,
        module: _Source,
        preprocessor: _Source | None,
        config: EmbedConfig,
        shared: Shared,
        previous: Previous | None,
        limits: EmbedLimits,
    ):
        self._limits = limits
        self._source = module
        self._preprocessor = preprocessor
        self._config = config
        self._shared = shared
        self._previous = previous
        self._known: KnownRows | None = None
        self._bound: BoundModule | None = None
        self._schema: pa.Schema | None = None
        self._output_row_bytes = 0
        self._running: deque[_Running] = deque()
        self._rows = Metrics.counter("hub_tfx", "rows")
        self._rejected = Metrics.counter("hub_tfx", "dead_letters")
        self._reused = Metrics.counter("hub_tfx", "reused")
        self._duplicates = Metrics.counter("hub_tfx", "duplicates")
        self._batch_rows = Metrics.distribution("hub_tfx", "batch_rows")
        self._fed_bytes = Metrics.counter("hub_tfx", "fed_bytes")
        self._module_us = Metrics.counter("hub_tfx", "module_us")
        self._decode_us = Metrics.counter("hub_tfx", "decode_us")
        self._loads = Metrics.counter("hub_tfx", "module_loads")
        self._load_ms = Metrics.counter("hub_tfx", "module_load_ms")
        self._load_s: float | None = None
        self._processes: int | None = 1

    def share_cores(self, processes: int | None) -> None:
        """Says how many worker processes a machine has; None for one on each core."""
        self._processes = processes

    def setup(self) -> None:
        config = self._config
        prepare_process(config.threads or self._share_of_cores())
        tag = f"{self._source} {self._preprocessor} {config.signature} {config.tags}"
        worker = self._shared.acquire(self._load, tag=tag)
        self._module = worker.module
        self._call_limits = CallLimits.of(config, worker.sizes)
        # Later rows can only be copies of rows that are done.
        self._threads = CallThreads(1 if config.deduplicate else _AT_ONCE)

    def _share_of_cores(self) -> int:
        return 1 if self._processes is None else max(1, cores() // self._processes)

    def _load(self) -> _Worker:
        started_s = time.monotonic()
        import_packages(self._config.imports)
        config, source = self._config, self._preprocessor

        def load_both() -> LoadedModule:
            preprocessor = load(source.directory()) if source else None
            return load(self._source.directory(), config.signature, preprocessor, config.tags)

        module = within(config.call_timeout_s, f"loading {self._source.path}", load_both)
        self._load_s = time.monotonic() - started_s
        return _Worker(module, CallSizes.of(config))

    def start_bundle(self) -> None:
        self._running.clear()
        if self._load_s is not None:  # Beam drops what is counted in setup.
            self._loads.inc()
            self._load_ms.inc(int(1e3 * self._load_s))
            self._load_s = None

    def process(
        self,
        batch: pa.RecordBatch,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        if self._bound is None or batch.schema != self._schema:
            self._schema = batch.schema
            self._bound = BoundModule(self._module, self._config, batch.schema)
            if self._previous is not None:
                self._known = self._previous.known(pa.schema(self._bound.plan.output_fields))
        bound, start = self._bound, 0
        while start < batch.num_rows:
            rows = self._limits.files_at_once if bound.reads_files else self._window_rows()
            stop = min(start + rows, batch.num_rows)
            checked = bound.checked(slice_rows(batch, start, stop))
            self._running.append(self._start(bound, checked, timestamp, window))
            if len(self._running) > _AT_ONCE:
                yield from self._outputs(self._running.popleft())
            start = stop

    def finish_bundle(self) -> Iterator[Any]:
        while self._running:
            yield from self._outputs(self._running.popleft())

    def teardown(self) -> None:
        self._threads.shutdown()

    def _window_rows(self) -> int:
        """Number of rows whose outputs are held at one time; fewer where outputs are large."""
        rows = self._config.batch_size or self._limits.window_rows
        if not self._output_row_bytes:
            return rows
        return max(rows, self._limits.window_output_bytes // self._output_row_bytes)

    def _start(
        self, bound: BoundModule, checked: CheckedRows, timestamp: Any, window: Any
    ) -> "_Running":
        done = self._threads.submit(
            embed_rows,
            bound,
            checked,
            self._call_limits,
            self._known,
            deduplicate=self._config.deduplicate,
        )
        return _Running(bound.plan, checked.batch, done, timestamp, window)

    def _outputs(self, running: "_Running") -> Iterator[Any]:
        """What became of rows. While the next ones are embedded, later steps work on these."""
        plan, batch, done = running.plan, running.batch, running.done.result()
        position = Position.of(batch)
        for rows in done.calls:
            self._batch_rows.update(rows)
        self._module_us.inc(int(1e6 * done.spent.module_s))
        self._decode_us.inc(int(1e6 * done.spent.decode_s))
        if len(done.rows):
            embedded = _embedded(plan, batch, done)
            size_bytes = sum(column.nbytes for column in done.columns.values())
            self._output_row_bytes = -(-size_bytes // len(done.rows))
            self._rows.inc(embedded.num_rows)
            self._fed_bytes.inc(int(done.row_bytes.sum()))
            self._reused.inc(done.reused)
            self._duplicates.inc(done.duplicates)
            yield running.windowed(position.after(int(done.rows[0])).mark(embedded))
        if done.rejected:
            self._rejected.inc(len(done.rejected))
            letters = _letters(plan, batch, position, done.rejected)
            yield beam.pvalue.TaggedOutput(DEAD_LETTERS, running.windowed(letters))


@dataclass(frozen=True)
class _Running:
    """Rows that are being embedded, with the timestamp and windows of their batch."""

    plan: EmbedPlan
    batch: pa.RecordBatch
    done: "Future[EmbeddedRows]"
    timestamp: Any
    window: Any

    def windowed(self, value: Any) -> WindowedValue:
        return WindowedValue(value, self.timestamp, (self.window,))


def _embedded(plan: EmbedPlan, batch: pa.RecordBatch, done: EmbeddedRows) -> pa.RecordBatch:
    kept = columns_of(batch, plan.keep)
    if len(done.rows) < batch.num_rows:
        kept = {name: column.take(pa.array(done.rows)) for name, column in kept.items()}
    fields = [*(batch.schema.field(name) for name in plan.keep), *plan.output_fields]
    columns = kept | dict(done.columns)
    embedded = pa.RecordBatch.from_arrays(
        [columns[f.name] for f in fields], schema=pa.schema(fields)
    )
    if done.digests is None:
        return embedded
    sizes = count_sizes(done.row_bytes)
    return BatchStats(done.digests.tobytes(), done.reused, done.duplicates, sizes).mark(embedded)


def _letters(
    plan: EmbedPlan, batch: pa.RecordBatch, position: Position, rejected: Mapping[int, str]
) -> pa.RecordBatch:
    rows = pa.array(list(rejected), pa.int64())
    kept = {name: column.take(rows) for name, column in columns_of(batch, plan.keep).items()}
    letters = dead_letters({position.key(row): reason for row, reason in rejected.items()}, kept)
    return position.mark(letters)
