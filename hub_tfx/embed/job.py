"""Embedding jobs: checked before they start, counted before they end."""

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems

from hub_tfx.beam.interrupt import LeftRunningInterrupt, cancelling
from hub_tfx.beam.metrics import Distribution, read_metrics
from hub_tfx.beam.runner import check_engine, make_pipeline, raise_own_errors
from hub_tfx.beam.staging import check_reach, is_local_runner, stage_module
from hub_tfx.data.files import SourceFile, count_rows, find_files, real_path, split_row_groups
from hub_tfx.data.schema import infer_schema
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.dead_letters import DEAD_LETTERS
from hub_tfx.embed.limits import DEFAULT_LIMITS, EmbedLimits
from hub_tfx.embed.manifest import OutputFormat, OutputManifest
from hub_tfx.embed.output.directory import output_directory, remove_temporary
from hub_tfx.embed.output.layout import OutputLayout, manifest_in_place
from hub_tfx.embed.output.read_back import first_dead_letter
from hub_tfx.embed.output.resume import left_to_read, take_finished
from hub_tfx.embed.pipeline import EmbedFiles, JobOutput
from hub_tfx.embed.progress import IN_THIS_PROCESS
from hub_tfx.embed.report.report import write_reports
from hub_tfx.embed.reuse.previous import find_previous
from hub_tfx.embed.task import EmbedTask, make_task
from hub_tfx.errors import InputError, JobLeftRunningError, OutputError, RejectedRowsError
from hub_tfx.module.resolved import ResolvedModule

Metrics = Mapping[str, int | Distribution]
"""Counters and distributions of Beam by name, whichever runner counted them."""


@dataclass(frozen=True)
class EmbedResult:
    """What ``embed_files`` did.

    Attributes:
      rows: how many rows were embedded and written.
      dead_letters: how many rows were rejected and written as dead letters.
      resumed: how many of both an earlier run had finished before it failed.
      reused: how many embedded rows are copies from an earlier output.
      duplicates: how many embedded rows are copies of another row of this input.
      seconds: wall time of the whole call, in seconds.
      rows_per_s: rows that this run embedded a second, without imports and module load.
      output: the directory of the output.
      module_digest: digest of the module that was used.
      metrics: see Metrics.
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
    metrics: Metrics


@dataclass(frozen=True)
class SplitsResult:
    """What ``embed_splits`` did.

    Attributes:
      manifests: split -> the manifest of its output.
      metrics: see Metrics.
    """

    manifests: Mapping[str, OutputManifest]
    metrics: Metrics

    def total(self, count: str) -> int:
        """``rows``, ``dead_letters``, ``reused`` or ``duplicates`` of all splits together."""
        return sum(getattr(manifest, count) for manifest in self.manifests.values())


def embed_files(
    module: ResolvedModule,
    inputs: Sequence[str],
    output: str,
    config: EmbedConfig | None = None,
    output_format: OutputFormat = "parquet",
    beam_options: Sequence[str] = (),
    preprocessor: ResolvedModule | None = None,
    *,
    input_format: str | None = None,
    previous: str | None = None,
    report: bool = False,
    projector: bool = False,
    limits: EmbedLimits = DEFAULT_LIMITS,
) -> EmbedResult:
    """Embeds files into ``output``, replacing what an earlier job left there.

    Args:
      module: what ``ModuleCache.resolve`` or ``ResolvedModule.of_directory`` gave.
      inputs: files, folders and globs of any Beam filesystem; see ``data.files.find_files``.
      output: directory that is new, empty, or an earlier output.
      config: what to feed, keep and write.
      output_format: format of the part files.
      beam_options: options of the Beam pipeline, which runs in this process unless they name a
        runner.
      preprocessor: a module that takes the features and feeds the other one.
      input_format: a key of ``data.readers.READERS``; None to tell by the ending of
        a file, otherwise by its first bytes.
      previous: directory of an earlier output, which may be ``output``: rows that feed the same are
        copied from it, unless module or config have changed.
      report: whether to write ``report/``: a page and a JSON file.
      projector: whether to write ``projector/``: a sample for TensorBoard's projector.
      limits: sizes that matter for speed and memory.

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
    files = find_files(inputs, input_format)
    check_one_format(files)
    check_apart(files, output)
    given = [output] if previous is None else [output, previous]
    check_reach([*given, *(file.path for file in files)], beam_options)
    check_engine(beam_options)
    columns, pieces = infer_schema(files), split_row_groups(files)
    task = make_task(module, config, pieces, columns, output_format, preprocessor)
    fingerprint = task.job_fingerprint(output_format)
    layout = OutputLayout.of_directory(output, output_format, fingerprint)
    earlier = None
    if previous is not None:
        is_output = real_path(previous) == real_path(output)  # There is none in the first run.
        earlier = find_previous(
            previous, task.vectors_fingerprint, required=not is_output, limits=limits
        )
    run = uuid.uuid4().hex
    with output_directory(output, layout, run) as lease:
        finished = take_finished(layout.temporary, files)
        if not is_local_runner(beam_options):
            task = _for_other_machines(task, layout)
        IN_THIS_PROCESS.expect(count_rows(left_to_read(task.files, finished)))
        planned = JobOutput(task, layout, finished=finished, run=run, lease=lease)
        job = EmbedFiles([planned], earlier, limits)
        (manifest,), metrics = _run(job, lambda: make_pipeline(beam_options))
        calls = metrics.get("batch_rows")
        sizes = calls if isinstance(calls, Distribution) else None
        write_reports(layout, output, sizes, report=report, projector=projector)
    rows = manifest.rows - finished.rows
    return EmbedResult(
        rows=manifest.rows,
        dead_letters=manifest.dead_letters,
        reused=manifest.reused,
        duplicates=manifest.duplicates,
        seconds=time.monotonic() - started_s,
        resumed=finished.rows,
        rows_per_s=rows / manifest.working_s if manifest.working_s else 0.0,
        output=output,
        module_digest=module.digest,
        metrics=metrics,
    )


def embed_splits(
    module: ResolvedModule,
    splits: Mapping[str, Sequence[SourceFile]],
    embeddings: str,
    dead_letters: str,
    config: EmbedConfig,
    make_pipeline: Callable[[], beam.Pipeline],
    columns: pa.Schema | None = None,
    preprocessor: ResolvedModule | None = None,
    *,
    previous: str | None = None,
    limits: EmbedLimits = DEFAULT_LIMITS,
) -> SplitsResult:
    """Embeds the splits of Examples in one Beam pipeline, as TFRecord files of tf.Example.

    The share of rejected rows is judged over all splits together.

    Args:
      module: the module.
      splits: split -> its files.
      embeddings, dead_letters: folders, on any Beam filesystem, which get ``Split-{split}/``.
      config: what to feed and keep.
      make_pipeline: makes the Beam pipeline.
      columns: columns of all files; None to infer them.
      preprocessor: a module that takes the features and feeds the other one.
      previous: folder of earlier embeddings: rows that feed the same are copied from them, unless
        module or config have changed.
      limits: sizes that matter for speed and memory.

    Raises:
      HubTfxError: as ``embed_files``; only dead letters are left in the folders.
    """
    if columns is None:
        columns = infer_schema([file for files in splits.values() for file in files])
    run = uuid.uuid4().hex
    outputs = [
        JobOutput(
            make_task(module, config, files, columns, "tfrecord", preprocessor),
            OutputLayout.of_split(embeddings, dead_letters, split),
            split,
            run=run,
        )
        for split, files in splits.items()
    ]
    earlier = None
    if previous is not None:  # What vectors depend on is the same for all splits.
        fingerprint = outputs[0].task.vectors_fingerprint
        earlier = find_previous(previous, fingerprint, limits=limits)
    try:
        manifests, metrics = _run(EmbedFiles(outputs, earlier, limits), make_pipeline)
    except (JobLeftRunningError, LeftRunningInterrupt):
        raise  # Its workers may still write there.
    except BaseException:
        _remove_temporary(outputs)
        raise
    _remove_temporary(outputs)
    return SplitsResult(dict(zip(splits, manifests, strict=True)), metrics)


def _remove_temporary(outputs: Sequence[JobOutput]) -> None:
    for output in outputs:
        remove_temporary(output.layout)


def _run(
    job: EmbedFiles, make_pipeline: Callable[[], beam.Pipeline]
) -> tuple[list[OutputManifest], Metrics]:
    """Runs a job; the manifests of its outputs, and what Beam has counted."""
    with _explaining_rejected_rows(job.outputs), raise_own_errors():
        opened = make_pipeline()
        with cancelling(opened), opened as pipeline:
            _ = pipeline | "EmbedFiles" >> job
        manifests = [_manifest_of(output) for output in job.outputs]
        return manifests, read_metrics(opened.result)


def _manifest_of(output: JobOutput) -> OutputManifest:
    """The manifest that a job has written, and not the one of an earlier output.

    Raises:
      JobLeftRunningError: the job has not written it.
    """
    layout = output.layout
    manifest = manifest_in_place(layout)
    if manifest is None or manifest.run != output.run:
        raise JobLeftRunningError(
            f"the runner returned, but the job has not written {layout.manifest}: it may still "
            f"run, so {layout.temporary} is left alone; wait for the job, or run it again"
        )
    return manifest


@contextmanager
def _explaining_rejected_rows(outputs: Sequence[JobOutput]) -> Iterator[None]:
    """Adds the first reason to the error, since TFX removes what a failed step wrote."""
    try:
        yield
    except RejectedRowsError as error:
        for output in outputs:
            folder = output.layout.folders[DEAD_LETTERS]
            if letter := first_dead_letter(output.layout):
                first = "the first is {}: {}".format(*letter)
                raise RejectedRowsError(f"{error} ({first}); see {folder}", folder) from error
        raise


def _for_other_machines(task: EmbedTask, layout: OutputLayout) -> EmbedTask:
    """The task with its modules copied beside the output, where that is on a remote filesystem."""

    def moved(module: ResolvedModule, name: str) -> ResolvedModule:
        return stage_module(module, FileSystems.join(layout.temporary, name))

    preprocessor = task.preprocessor and moved(task.preprocessor, "preprocessor")
    return replace(task, module=moved(task.module, "module"), preprocessor=preprocessor)


def _check_filesystem(output: str) -> None:
    try:
        FileSystems.get_filesystem(output)
    except ValueError as error:
        raise OutputError(f"cannot write to {output}: {error}") from error


def check_one_format(files: Sequence[SourceFile]) -> None:
    """Raises InputError where files have several formats."""
    first = files[0]
    for file in files:
        if file.format != first.format:
            raise InputError(
                f"{first.path} and {file.path} have different formats: take them in two runs"
            )


def check_apart(files: Sequence[SourceFile], output: str) -> None:
    """Refuses input that lies in the output, which would replace it."""
    folder = os.path.join(real_path(output), "")
    for file in files:
        if real_path(file.path).startswith(folder):
            raise OutputError(
                f"the input {file.path} lies in {output}, which the output would replace: "
                "name another directory"
            )
