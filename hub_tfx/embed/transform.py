"""EmbedRecordBatches: record batches in, record batches with embeddings out."""

import os
import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from hub_tfx.embed import tensors
from hub_tfx.embed.config import EmbedConfig, EmbedPlan, make_plan
from hub_tfx.embed.failures import (
    Position,
    batch_of,
    columns_of,
    dead_letters,
    describe,
    isolate,
)
from hub_tfx.embed.files import local_directory
from hub_tfx.embed.progress import IN_THIS_PROCESS
from hub_tfx.embed.source import DEAD_LETTERS
from hub_tfx.errors import DigestMismatchError
from hub_tfx.module.load import LoadedModule, load
from hub_tfx.module.manifest import Manifest

EMBEDDINGS = "embeddings"
_MAX_INPUT_BYTES = 64 << 20
"""Of one call of a module whose graph says how large a row is: 106 images of 224 x 224."""


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
        self._plan: EmbedPlan | None = None
        self._columns: list[str] = []
        self._types: dict[str, pa.DataType] = {}
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
        plan = self._plan_for(batch)
        row_bytes = sum(tensors.row_bytes(plan.spec.inputs[key]) for key in plan.features)
        step = max(1, min(self._config.batch_size, _MAX_INPUT_BYTES // max(1, row_bytes)))
        origin = Position.of(batch)
        for start in range(0, batch.num_rows, step):
            position = Position(origin.source, origin.first_row + start)
            yield from self._embed(plan, batch.slice(start, step), position)

    def _plan_for(self, batch: pa.RecordBatch) -> EmbedPlan:
        if self._plan is None or self._columns != batch.schema.names:
            self._columns = batch.schema.names
            self._plan = make_plan(self._config, self._module.spec, self._columns)
        return self._plan

    def _embed(self, plan: EmbedPlan, batch: pa.RecordBatch, position: Position) -> Iterator[Any]:
        self._batch_rows.update(batch.num_rows)
        rejected = self._check(plan, batch)
        rows = np.array([row for row in range(batch.num_rows) if row not in rejected])
        good = batch if not rejected else batch.take(pa.array(rows, pa.int64()))
        for start, stop, result in isolate(
            0, len(rows), lambda a, b: self._run(plan, good.slice(a, b - a))
        ):
            if isinstance(result, Exception):
                rejected[int(rows[start])] = f"the module failed on it: {describe(result)}"
                continue
            bad = self._check_outputs(result)
            rejected |= {int(rows[start + row]): reason for row, reason in bad.items()}
            kept = columns_of(good.slice(start, stop - start), plan.keep)
            embedded = batch_of(kept | result)
            if bad:
                embedded = embedded.filter(pa.array([r not in bad for r in range(stop - start)]))
            self._rows.inc(embedded.num_rows)
            IN_THIS_PROCESS.rows += embedded.num_rows
            if embedded.num_rows:
                first_row = position.first_row + int(rows[start])
                yield Position(position.source, first_row).mark(embedded)
        if rejected:
            self._rejected.inc(len(rejected))
            IN_THIS_PROCESS.dead_letters += len(rejected)
            yield beam.pvalue.TaggedOutput(
                DEAD_LETTERS, _letters(plan, batch, position, dict(sorted(rejected.items())))
            )

    def _check(self, plan: EmbedPlan, batch: pa.RecordBatch) -> dict[int, str]:
        reasons: dict[int, str] = {}
        columns = columns_of(batch, plan.needed)
        utf8 = self._config.text_encoding == "utf-8"
        for key, feature in plan.features.items():
            info = plan.spec.inputs[key]
            reasons = tensors.check_column(columns[feature], info, feature, utf8=utf8) | reasons
        return reasons

    def _run(self, plan: EmbedPlan, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        columns = columns_of(batch, plan.needed)
        outputs = self._module(
            {
                key: tensors.to_tensor(columns[feature], plan.spec.inputs[key])
                for key, feature in plan.features.items()
            }
        )
        return {
            column: tensors.to_column(outputs[key], column, batch.num_rows)
            for key, column in plan.columns.items()
        }

    def _check_outputs(self, columns: dict[str, pa.Array]) -> dict[int, str]:
        reasons = tensors.non_finite_rows(columns)
        for name, column in columns.items():
            # A dimension that the graph leaves open is what the first batch made of it.
            learned = self._types.setdefault(name, column.type)
            if column.type != learned:
                reason = f"the module gave {column.type} for {name!r}, for other rows {learned}"
                reasons |= dict.fromkeys(range(len(column)), reason)
        return reasons


def _letters(
    plan: EmbedPlan, batch: pa.RecordBatch, position: Position, rejected: dict[int, str]
) -> pa.RecordBatch:
    rows = pa.array(list(rejected), pa.int64())
    kept = {name: column.take(rows) for name, column in columns_of(batch, plan.keep).items()}
    letters = dead_letters({position.key(row): reason for row, reason in rejected.items()}, kept)
    return position.mark(letters)
