"""Files in, embeddings out: one Beam job, checked before it starts and counted before it ends."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from apache_beam.io.filesystems import FileSystems

from hub_tfx.beam.metrics import Distribution, read_metrics
from hub_tfx.beam.runner import make_pipeline, raise_own_errors
from hub_tfx.beam.staging import check_reach, is_local_runner, stage_module
from hub_tfx.data.files import SourceFile, find_files, real_path, split_row_groups
from hub_tfx.data.schema import infer_schema
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.output.directory import output_directory
from hub_tfx.embed.output.layout import OutputFormat, OutputLayout, read_manifest
from hub_tfx.embed.output.resume import take_finished
from hub_tfx.embed.pipeline import EmbedFiles
from hub_tfx.embed.report.report import describe
from hub_tfx.embed.reuse.previous import find_previous
from hub_tfx.embed.task import EmbedTask, _identity, make_task
from hub_tfx.errors import InputError, OutputError
from hub_tfx.module.resolved import ResolvedModule


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
) -> EmbedResult:
    """Embeds files into ``output``, replacing what an earlier job left there.

    Args:
      module: the module.
      inputs: files, folders and globs of any Beam filesystem; see ``data.files.find_files``.
      output: a directory that is new, empty, or an earlier output.
      config: what to feed, keep and write.
      output_format: of the parts.
      beam_options: of the Beam pipeline; the runner in this process if they name none.
      preprocessor: a module that takes the features and feeds the other one.
      input_format: a key of ``data.readers.READERS``; None to go by endings, or else by bytes.
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
    files = find_files(inputs, input_format)
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
        if not is_local_runner(beam_options):
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

    def moved(module: ResolvedModule, name: str) -> ResolvedModule:
        return stage_module(module, FileSystems.join(layout.temporary, name))

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
