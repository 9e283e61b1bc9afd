"""EmbedRecordBatches: record batches in, record batches with embeddings out."""

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from hub_tfx.embed.bound import BoundModule, Rows
from hub_tfx.embed.calls import embed_rows
from hub_tfx.embed.config import EmbedConfig, EmbedPlan
from hub_tfx.embed.failures import Position, batch_of, columns_of, dead_letters
from hub_tfx.embed.files import local_directory
from hub_tfx.embed.progress import IN_THIS_PROCESS
from hub_tfx.embed.source import DEAD_LETTERS
from hub_tfx.errors import DigestMismatchError
from hub_tfx.module.load import LoadedModule, load
from hub_tfx.module.manifest import Manifest

EMBEDDINGS = "embeddings"
_MAX_OUTPUT_BYTES = 64 << 20
"""Of the outputs that are held at once."""


class EmbedRecordBatches(beam.PTransform):  # type: ignore[misc]
    """Embeds a PCollection of ``pyarrow.RecordBatch``; usable in any Beam pipeline.

    Returns PCollections under ``embeddings`` (the kept columns and a column for each output) and
    ``dead_letters`` (see hub_tfx.embed.failures). A module is loaded once in a worker process.
    Counters ``rows`` and ``dead_letters`` and distribution ``batch_rows`` are under the namespace
    ``hub_tfx``.
    """

    def __init__(
        self,
        module_path: str | os.PathLike[str],
        config: EmbedConfig | None = None,
        digest: str | None = None,
        shared: Shared | None = None,
    ):
        """Args:
        module_path: a module's directory, the same on each worker, on any Beam filesystem.
        config: what to feed, keep and write.
        digest: of the module; each worker refuses to work with another one.
        shared: lets several transforms with the same module use one copy of it.
        """
        super().__init__()
        self._embed = _Embed(
            os.fspath(module_path), config or EmbedConfig(), digest, shared or Shared()
        )

    def expand(self, batches: Any) -> Any:
        return batches | "Embed" >> beam.ParDo(self._embed).with_outputs(
            DEAD_LETTERS, main=EMBEDDINGS
        )


class _Embed(beam.DoFn):  # type: ignore[misc]
    def __init__(self, module_path: str, config: EmbedConfig, digest: str | None, shared: Shared):
        self._module_path = module_path
        self._config = config
        self._digest = digest
        self._shared = shared
        self._bound: BoundModule | None = None
        self._names: list[str] = []
        self._output_row_bytes = 0
        self._rows = Metrics.counter("hub_tfx", "rows")
        self._rejected = Metrics.counter("hub_tfx", "dead_letters")
        self._batch_rows = Metrics.distribution("hub_tfx", "batch_rows")
        self._load_ms = Metrics.counter("hub_tfx", "module_load_ms")

    def setup(self) -> None:
        tag = f"{self._module_path} {self._digest} {self._config.signature}"
        self._module = self._shared.acquire(self._load, tag=tag)

    def _load(self) -> LoadedModule:
        started_s = time.monotonic()
        path = local_directory(self._module_path)
        if self._digest is not None:
            actual = Manifest.of_directory(path).digest
            if actual != self._digest:
                raise DigestMismatchError(
                    f"this worker's module in {self._module_path} has digest {actual}, "
                    f"the job was started with {self._digest}"
                )
        module = load(path, self._config.signature)
        self._load_ms.inc(int(1000 * (time.monotonic() - started_s)))
        return module

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        if self._bound is None or self._names != batch.schema.names:
            self._names = batch.schema.names
            self._bound = BoundModule(self._module, self._config, self._names)
        origin = Position.of(batch)
        start = 0
        while start < batch.num_rows:
            rows = self._window_rows()
            position = Position(origin.source, origin.first_row + start)
            yield from self._embed(self._bound, batch.slice(start, rows), position)
            start += rows

    def _window_rows(self) -> int:
        """Rows whose outputs are held at once: as many as come, unless outputs are large."""
        batch_size = self._config.batch_size
        if not self._output_row_bytes:
            return batch_size
        return max(batch_size, _MAX_OUTPUT_BYTES // self._output_row_bytes)

    def _embed(
        self, bound: BoundModule, batch: pa.RecordBatch, position: Position
    ) -> Iterator[Any]:
        done = embed_rows(bound, batch, self._config.batch_size)
        for rows in done.calls:
            self._batch_rows.update(rows)
        if len(done.rows):
            kept = _rows_of(columns_of(batch, bound.plan.keep), done.rows, batch.num_rows)
            embedded = batch_of(kept | dict(done.columns))
            size_bytes = sum(column.nbytes for column in done.columns.values())
            self._output_row_bytes = -(-size_bytes // len(done.rows))
            self._rows.inc(embedded.num_rows)
            IN_THIS_PROCESS.rows += embedded.num_rows
            yield Position(position.source, position.first_row + int(done.rows[0])).mark(embedded)
        if done.rejected:
            self._rejected.inc(len(done.rejected))
            IN_THIS_PROCESS.dead_letters += len(done.rejected)
            yield beam.pvalue.TaggedOutput(
                DEAD_LETTERS, _letters(bound.plan, batch, position, done.rejected)
            )


def _letters(
    plan: EmbedPlan, batch: pa.RecordBatch, position: Position, rejected: Mapping[int, str]
) -> pa.RecordBatch:
    rows = pa.array(list(rejected), pa.int64())
    kept = {name: column.take(rows) for name, column in columns_of(batch, plan.keep).items()}
    letters = dead_letters({position.key(row): reason for row, reason in rejected.items()}, kept)
    return position.mark(letters)


def _rows_of(columns: Mapping[str, pa.Array], rows: Rows, all_rows: int) -> dict[str, pa.Array]:
    if len(rows) == all_rows:
        return dict(columns)
    return {name: column.take(pa.array(rows)) for name, column in columns.items()}
