"""Files in, embeddings out: one Beam job, checked before it starts and counted before it ends."""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils.shared import Shared

from hub_tfx import __version__
from hub_tfx.embed.commit import CommitParts
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.examples import example_type
from hub_tfx.embed.failures import KEY, REASON
from hub_tfx.embed.input_schema import check_columns, infer_schema
from hub_tfx.embed.inputs import Input
from hub_tfx.embed.layout import EMBEDDINGS, MADE_BY, OutputFormat, OutputLayout, read_manifest
from hub_tfx.embed.metrics import Distribution, read_metrics
from hub_tfx.embed.output import output_directory
from hub_tfx.embed.output_columns import embedding_dim
from hub_tfx.embed.plan import EmbedPlan, make_plan
from hub_tfx.embed.previous import MADE_WITH, Previous, find_previous, made_with
from hub_tfx.embed.reach import check_reach, runs_here, within_reach
from hub_tfx.embed.report import describe
from hub_tfx.embed.resume import (
    NOTHING_FINISHED,
    Finished,
    left_to_read,
    record_block,
    record_part,
    take_finished,
)
from hub_tfx.embed.runner import make_pipeline, raise_own_errors
from hub_tfx.embed.sink import WriteParts
from hub_tfx.embed.source import (
    BLOCKS,
    DEAD_LETTERS,
    ReadRecordBatches,
    SourceFile,
    find_files,
    real_path,
    split_row_groups,
)
from hub_tfx.embed.transform import EmbedRecordBatches
from hub_tfx.errors import InputError, OutputError
from hub_tfx.module.inspect import inspect
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.spec import ModuleSpec

_WINDOW_ROWS = 2048
"""Rows among which those of like size are sought for one call of the module."""


@dataclass(frozen=True)
class EmbedModule:
    """The module a job embeds with.

    Attributes:
      handle: what the user named, fit for logs.
      path: its directory, the same on each worker.
      digest: of its manifest, in hex.
      spec: its signatures.
    """

    handle: str
    path: str
    digest: str
    spec: ModuleSpec

    @classmethod
    def of_directory(cls, path: str | os.PathLike[str], handle: str = "") -> "EmbedModule":
        """Reads a module's directory; raises NotAModuleError where it holds none."""
        path = os.fspath(path)
        spec = inspect(path)
        return cls(handle or path, path, Manifest.of_directory(path).digest, spec)


@dataclass(frozen=True)
class EmbedResult:
    """What a job did.

    Attributes:
      rows: embedded and written.
      dead_letters: rejected and written.
      resumed: rows of these that an earlier run had embedded before it failed.
      reused: of the rows, those copied from an earlier output.
      duplicates: of the rows, those copied from another one.
      seconds: of wall time, all told.
      rows_per_s: rows this run embedded a second, without imports and module load.
      output: the directory.
      module_digest: of the module that was used.
      metrics: counters and distributions of Beam by name, from whichever runner.
    """

    rows: int
    dead_letters: int
    resumed: int
    reused: int
    duplicates: int
    seconds: float
    rows_per_s: float
    output: str
    module_digest: str
    metrics: Mapping[str, int | Distribution]


def embed_files(
    module: EmbedModule,
    inputs: Sequence[str],
    output: str,
    config: EmbedConfig | None = None,
    output_format: OutputFormat = "parquet",
    beam_options: Sequence[str] = (),
    preprocessor: EmbedModule | None = None,
    *,
    previous: str | None = None,
    report: bool = False,
    projector: bool = False,
) -> EmbedResult:
    """Embeds files into ``output``, replacing what an earlier job left there.

    Args:
      module: the module.
      inputs: paths and globs of any Beam filesystem; formats go by their endings.
      output: a directory that is new, empty, or an earlier output.
      config: what to feed, keep and write.
      output_format: of the parts.
      beam_options: of the Beam pipeline; the runner in this process if they name none.
      preprocessor: a module that takes the features and feeds the other one.
      previous: directory of an earlier output, which may be ``output``: rows that feed the same are
        copied from it, unless module or config have changed.
      report: whether to write ``report/``: a page and a JSON file.
      projector: whether to write ``projector/``: a sample for TensorBoard's projector.

    Raises:
      UsageError: config, module and input do not fit each other; nothing was started.
      InputError: an input or the earlier output is missing or damaged.
      DigestMismatchError: the earlier output was changed after it was written.
      OutputError: the output cannot be written, or holds what is not ours.
      RejectedRowsError: too many rows were rejected; only the dead letters were written.
    """
    started_s = time.monotonic()
    _check_filesystem(output)
    config = config or EmbedConfig()
    files = find_files(inputs)
    _check_one_format(files)
    _check_apart(files, output)
    given = [output] if previous is None else [output, previous]
    check_reach([*given, *(file.path for file in files)], beam_options)
    columns, pieces = infer_schema(files), split_row_groups(files)
    task = make_task(module, config, pieces, columns, output_format, preprocessor)
    layout = OutputLayout.of_directory(output, output_format, _identity(task, output_format))
    earlier = None
    if previous is not None:
        is_output = previous.rstrip("/") == output.rstrip("/")  # There is none in the first run.
        earlier = find_previous(previous, task.made_with, required=not is_output)
    with output_directory(output, layout), raise_own_errors():
        finished = take_finished(layout.temporary, files)
        if not runs_here(beam_options):
            task = _for_other_machines(task, layout)
        with make_pipeline(beam_options) as pipeline:
            job = EmbedFiles(task, layout, finished=finished, previous=earlier)
            _ = pipeline | "EmbedFiles" >> job
        manifest = read_manifest(layout)
        describe(layout, output, report=report, projector=projector)
    rows = manifest["rows"] - finished.rows
    return EmbedResult(
        rows=manifest["rows"],
        dead_letters=manifest["dead_letters"],
        reused=manifest["reused"],
        duplicates=manifest["duplicates"],
        seconds=time.monotonic() - started_s,
        resumed=finished.rows,
        rows_per_s=rows / manifest["working_s"] if manifest["working_s"] else 0.0,
        output=output,
        module_digest=module.digest,
        metrics=read_metrics(pipeline.result),
    )


def _for_other_machines(task: "EmbedTask", layout: OutputLayout) -> "EmbedTask":
    """The task with its modules beside the output, where that is on no machine of ours."""

    def moved(module: EmbedModule, name: str) -> EmbedModule:
        folder = FileSystems.join(layout.temporary, name)
        return replace(module, path=within_reach(module.path, folder))

    first = task.preprocessor and moved(task.preprocessor, "preprocessor")
    return replace(task, module=moved(task.module, "module"), preprocessor=first)


def _check_filesystem(output: str) -> None:
    try:
        FileSystems.get_filesystem(output)
    except ValueError as error:
        raise OutputError(f"cannot write to {output}: {error}") from error


def _check_one_format(files: Sequence[SourceFile]) -> None:
    first = files[0]
    for file in files:
        if file.format != first.format:
            raise InputError(
                f"{first.path} and {file.path} have different formats: embed them in two runs"
            )


def _check_apart(files: Sequence[SourceFile], output: str) -> None:
    """Refuses input that lies where the output is to replace what is there."""
    folder = os.path.join(real_path(output), "")
    for file in files:
        if real_path(file.path).startswith(folder):
            raise OutputError(
                f"the input {file.path} lies in {output}, which the output would replace: "
                "name another directory"
            )


def _text_for_string_inputs(
    columns: pa.Schema, plan: EmbedPlan, config: EmbedConfig, files: Sequence[SourceFile]
) -> pa.Schema:
    """Reads what feeds a string input, from a file without types, as text or bytes, whatever it
    looks like."""
    if not files or files[0].format not in ("csv", "txt"):
        return columns
    texts = {f for key, f in plan.features.items() if plan.inputs[key].dtype == "string"}
    type_ = pa.binary() if config.text_encoding == "bytes" else pa.string()
    return pa.schema([pa.field(c.name, type_ if c.name in texts else c.type) for c in columns])


@dataclass(frozen=True)
class EmbedTask:
    """A checked job: nothing in it can turn out not to fit once workers run.

    Attributes:
      module, preprocessor, config: as given.
      plan: the config, bound to both.
      files: what to read.
      schema: the columns to read.
    """

    module: EmbedModule
    config: EmbedConfig
    plan: EmbedPlan
    files: Sequence[SourceFile]
    schema: pa.Schema
    preprocessor: EmbedModule | None = None

    @property
    def made_with(self) -> dict[str, Any]:
        """What its vectors depend on, other than the rows; see previous.made_with."""
        return made_with(
            self.config,
            self.plan.signature,
            self.module.digest,
            self.preprocessor.digest if self.preprocessor else None,
        )


def make_task(
    module: EmbedModule,
    config: EmbedConfig,
    files: Sequence[SourceFile],
    columns: pa.Schema,
    output_format: OutputFormat,
    preprocessor: EmbedModule | None = None,
) -> EmbedTask:
    """Checks config, modules and input against each other.

    Args:
      columns: all columns of the input, empty where it has not a single record.

    Raises:
      UsageError: they do not fit.
    """
    available = columns.names or None
    first = preprocessor.spec if preprocessor else None
    plan = make_plan(config, module.spec, available, first)
    check_columns(columns, plan.needed if columns.names else ())
    columns = _text_for_string_inputs(columns, plan, config, files)
    schema = pa.schema(
        [columns.field(name) if columns.names else (name, pa.string()) for name in plan.needed]
    )
    for key, name in plan.features.items() if columns.names else ():
        Input(key, plan, config, schema.field(name).type)
    for name in plan.keep if output_format == "tfrecord" else ():
        example_type(schema.field(name).type, name)
    return EmbedTask(module, config, plan, files, schema, preprocessor)


class EmbedFiles(beam.PTransform):  # type: ignore[misc]
    """A whole job as one transform: reads, embeds, writes and commits; gives its one manifest."""

    def __init__(
        self,
        task: EmbedTask,
        layout: OutputLayout,
        shared: Shared | None = None,
        finished: Finished = NOTHING_FINISHED,
        previous: Previous | None = None,
    ):
        """Args:
        task: what to do.
        layout: where the output goes.
        shared: lets several jobs of one pipeline use one copy of the module.
        finished: what an earlier run of the job has left in ``layout.temporary``.
        previous: rows that are copied; several jobs of one pipeline may share it.
        """
        super().__init__()
        self._previous = previous or Previous()
        self._task = task
        self._layout = layout
        self._shared = shared
        self._finished = finished

    def expand(self, root: Any) -> Any:
        task, layout = self._task, self._layout
        read = root | "ReadRecordBatches" >> ReadRecordBatches(
            left_to_read(task.files, self._finished),
            task.schema,
            max(task.config.batch_size, _WINDOW_ROWS),
        )
        embedded = read.batches | "EmbedRecordBatches" >> EmbedRecordBatches(
            task.module.path,
            task.config,
            task.module.digest,
            self._shared,
            task.preprocessor.path if task.preprocessor else None,
            task.preprocessor.digest if task.preprocessor else None,
            self._previous,
        )
        parts = (
            embedded[EMBEDDINGS] | "WriteEmbeddings" >> WriteParts(EMBEDDINGS, layout),
            embedded[DEAD_LETTERS] | "WriteRejected" >> WriteParts(DEAD_LETTERS, layout),
        )
        # Recorded before they meet, since a runner may hold back what goes through a Flatten.
        recorded = [
            of_kind | f"RecordParts{n}" >> beam.Map(record_part) for n, of_kind in enumerate(parts)
        ]
        blocks = read[BLOCKS] | "RecordBlocks" >> beam.Map(record_block, layout.temporary)
        return (recorded | "Parts" >> beam.Flatten(), blocks) | "CommitParts" >> CommitParts(
            layout,
            _schemas(task),
            _about(task),
            task.config.max_dead_letter_ratio,
            self._finished,
        )


def _identity(task: EmbedTask, output_format: OutputFormat) -> str:
    """The same for jobs that make the same of a row, whatever else is in their input."""
    about = _about(task)
    for name in ("batch_size", "batch_bytes", "max_dead_letter_ratio"):
        del about["config"][name]
    described = json.dumps([about, str(task.schema), output_format], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:32]


def _schemas(task: EmbedTask) -> dict[str, pa.Schema]:
    """Columns of the output."""
    kept = [task.schema.field(name) for name in task.plan.keep]
    letters = [(KEY, pa.string()), (REASON, pa.string())]
    return {
        EMBEDDINGS: pa.schema([*kept, *task.plan.output_fields]),
        DEAD_LETTERS: pa.schema([*letters, *kept]),
    }


def _named(module: EmbedModule) -> dict[str, str]:
    return {"handle": module.handle, "digest": module.digest}


def _about(task: EmbedTask) -> dict[str, Any]:
    return {
        "made_by": MADE_BY,
        "version": __version__,
        "module": _named(task.module),
        "preprocessor": _named(task.preprocessor) if task.preprocessor else None,
        "signature": task.plan.signature,
        MADE_WITH: task.made_with,
        "embedding_dim": embedding_dim(task.plan.outputs),
        "columns": {column.name: column.about() for column in task.plan.outputs},
        "config": asdict(task.config),
    }
