"""Evaluation jobs: checked before they start, and written as a whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems

from hub_tfx.beam.interrupt import cancelling
from hub_tfx.beam.runner import check_engine, make_pipeline, raise_own_errors
from hub_tfx.beam.staging import check_reach, is_local_runner, stage_module
from hub_tfx.data.files import SourceFile, count_rows, find_files, split_row_groups
from hub_tfx.data.schema import infer_schema
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import check_apart, check_one_format
from hub_tfx.embed.limits import DEFAULT_LIMITS, EmbedLimits
from hub_tfx.embed.manifest import ModuleRef
from hub_tfx.embed.progress import IN_THIS_PROCESS
from hub_tfx.evaluate.choose import PLACE
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.embed import EmbeddedSample, EmbedSample, file_paths, read_sample
from hub_tfx.evaluate.gather import check_of_rejected, check_sample, check_types, rows_of
from hub_tfx.evaluate.measure import measure
from hub_tfx.evaluate.output import EVALUATION, REPORT, evaluation_directory
from hub_tfx.evaluate.page import render
from hub_tfx.evaluate.result import Costs, Evaluation
from hub_tfx.evaluate.tasks import (
    BASELINE,
    CANDIDATE,
    EvaluationTask,
    Subject,
    make_evaluation_task,
)
from hub_tfx.evaluate.trial import Tried, try_out
from hub_tfx.module.resolved import ResolvedModule

_NAMED_FILES = 20


def evaluate_files(
    module: ResolvedModule,
    baseline: ResolvedModule | None,
    inputs: Sequence[str],
    output: str,
    config: EvaluateConfig,
    feeding: EmbedConfig | None = None,
    baseline_feeding: EmbedConfig | None = None,
    beam_options: Sequence[str] = (),
    preprocessor: ResolvedModule | None = None,
    *,
    input_format: str | None = None,
    limits: EmbedLimits = DEFAULT_LIMITS,
) -> Evaluation:
    """Compares a module with a baseline on the rows of files, and decides whether to bless it.

    Args:
      module: the candidate, as ``ModuleCache.resolve`` or ``ResolvedModule.of_directory`` gave it.
      baseline: the module in use; None where there is none.
      inputs: files, folders and globs of any Beam filesystem; see ``data.files.find_files``.
      output: directory that is new, empty, or of an earlier evaluation, which is replaced. It gets
        ``evaluation.json`` and ``report.html``.
      config: what is measured, and what it takes to be blessed.
      feeding: how rows are fed to the candidate, and which of its outputs is compared.
      baseline_feeding: the same of the baseline; None for that of the candidate.
      beam_options: options of the Beam pipeline, which runs in this process unless they name a
        runner.
      preprocessor: a module that takes the features and feeds both modules.
      input_format: a key of ``data.readers.READERS``; None to tell by the ending of a file,
        otherwise by its first bytes.
      limits: sizes that matter for speed and memory.

    Raises:
      UsageError: configs, modules and input do not fit each other; nothing was started.
      InputError: an input is missing or damaged, or there is no row.
      OutputError: the output cannot be written, or holds what is not ours.
      RejectedRowsError: a module rejected too many rows; nothing was written.
    """
    files = find_files(inputs, input_format)
    check_one_format(files)
    check_apart(files, output)
    check_reach([output, *(file.path for file in files)], beam_options)
    check_engine(beam_options)
    feeding = feeding or EmbedConfig()
    subjects = {CANDIDATE: Subject(module, feeding, preprocessor)}
    if baseline is not None:
        subjects[BASELINE] = Subject(baseline, baseline_feeding or feeding, preprocessor)
    return evaluate_rows(
        subjects,
        split_row_groups(files),
        infer_schema(files),
        output,
        config,
        lambda: make_pipeline(beam_options),
        on_this_machine=is_local_runner(beam_options),
        limits=limits,
    )


def evaluate_rows(
    subjects: Mapping[str, Subject],
    files: Sequence[SourceFile],
    columns: pa.Schema,
    output: str,
    config: EvaluateConfig,
    make_pipeline: Callable[[], beam.Pipeline],
    *,
    on_this_machine: bool = True,
    limits: EmbedLimits = DEFAULT_LIMITS,
) -> Evaluation:
    """What ``evaluate_files`` does, of files that are found.

    Args:
      subjects: ``candidate``, and ``baseline`` if there is one -> the module.
      files: what to read.
      columns: columns of all files.
      output: directory on any Beam filesystem.
      config: what is measured.
      make_pipeline: makes the Beam pipeline.
      on_this_machine: whether workers find the modules where they are.
      limits: sizes that matter for speed and memory.

    Raises:
      HubTfxError: as ``evaluate_files``.
    """
    task = make_evaluation_task(subjects, files, columns, _features(config))
    check_types(task, config)
    with evaluation_directory(output) as writing:
        staged = task if on_this_machine else _staged(task, writing.folder)
        most, seed = config.sample_rows, config.seed
        job = EmbedSample(staged, most, seed, config.pairs, writing.folder, limits)
        _expect_rows(task, config)
        with raise_own_errors():
            opened = make_pipeline()
            with cancelling(opened), opened as pipeline:
                _ = pipeline | "EmbedSample" >> job
        sample = read_sample(task, writing.folder)
        check_sample(task, sample)
        evaluation = _evaluated(task, sample, config)
        writing.files[REPORT] = render(evaluation).encode()
        writing.files[EVALUATION] = evaluation.to_json().encode()
    return evaluation


def _features(config: EvaluateConfig) -> dict[str, str]:
    """What a feature is for, in words -> the feature."""
    named = {"label (--label)": config.label, "pairs (--pairs)": config.pairs}
    slices = {f"slice {name!r} (--slice)": name for name in config.slices}
    return {what: name for what, name in {**named, **slices}.items() if name is not None}


def _staged(task: EvaluationTask, folder: str) -> EvaluationTask:
    """The task with its modules copied beside the output, where that is on a remote filesystem."""

    def moved(module: ResolvedModule, name: str) -> ResolvedModule:
        return stage_module(module, str(FileSystems.join(folder, name)))

    of_side = {
        side: replace(
            of,
            module=moved(of.module, f"{side}-module"),
            preprocessor=of.preprocessor and moved(of.preprocessor, f"{side}-preprocessor"),
        )
        for side, of in task.of_side.items()
    }
    return replace(task, of_side=of_side)


def _expect_rows(task: EvaluationTask, config: EvaluateConfig) -> None:
    rows = count_rows(task.files)
    sides = len(task.of_side)
    IN_THIS_PROCESS.expect(None if rows is None else sides * min(rows, config.sample_rows))


def _evaluated(task: EvaluationTask, sample: EmbeddedSample, config: EvaluateConfig) -> Evaluation:
    rows = rows_of(task, sample, config)
    tried = _try(task, sample)
    refs = {
        side: ModuleRef(of.module.handle, of.module.digest) for side, of in task.of_side.items()
    }
    return measure(
        rows,
        config,
        costs=_costs(tried),
        deterministic=_is_deterministic(tried),
        module=refs[CANDIDATE],
        baseline=refs.get(BASELINE),
        provenance=_provenance(task, tried),
        checks=(check_of_rejected(sample),),
    )


def _try(task: EvaluationTask, sample: EmbeddedSample) -> dict[str, Tried]:
    """Tries the modules on the first rows that all of them have embedded."""
    if sample.tried is None:
        return {}
    places = sample.tried.column(sample.tried.schema.get_field_index(PLACE)).to_numpy()
    is_embedded = np.all([np.isin(places, of.places) for of in sample.of_side.values()], axis=0)
    rows = np.flatnonzero(is_embedded)
    if not len(rows):
        return {}
    tried = sample.tried.take(pa.array(rows)).replace_schema_metadata(None)
    return try_out(task.of_side, tried)


def _costs(tried: Mapping[str, Tried]) -> Costs | None:
    if not tried:
        return None
    costs = {side: of.cost for side, of in tried.items()}
    return Costs(costs[CANDIDATE], costs.get(BASELINE))


def _is_deterministic(tried: Mapping[str, Tried]) -> bool | None:
    if not tried:
        return None
    return tried[CANDIDATE].is_repeatable and tried[CANDIDATE].is_of_rows


def _provenance(task: EvaluationTask, tried: Mapping[str, Tried]) -> dict[str, str]:
    paths = file_paths(task)
    named = paths[:_NAMED_FILES]
    more = f" and {len(paths) - len(named):,} more" if len(paths) > len(named) else ""
    about = {"input": ", ".join(named) + more}
    for side, of in task.of_side.items():
        about[f"{side} signature"] = of.plan.signature
        about[f"{side} output"] = task.vector(side).key
        if of.preprocessor is not None:
            about[f"{side} preprocessor"] = f"{of.preprocessor.handle} ({of.preprocessor.digest})"
    if tried:
        of_candidate = tried[CANDIDATE]
        about["cost"] = (
            f"{of_candidate.rows:,} rows in calls of {of_candidate.call_rows:,}, both modules in "
            "turns in one process"
        )
    return about
