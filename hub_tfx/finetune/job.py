"""One fine-tuning from files to a new module: checked before, checked after, committed whole."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from hub_tfx import __version__
from hub_tfx._files import check_output_name, remove_temporary, replacing
from hub_tfx._lock import sole_writer
from hub_tfx.data.filesystems import is_local
from hub_tfx.errors import OutputError
from hub_tfx.finetune import dataset
from hub_tfx.finetune.checks import check_tuned
from hub_tfx.finetune.collect import ReportRows, TrainingFiles, collect, unreported
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.deliver import deliver
from hub_tfx.finetune.features import signature_of
from hub_tfx.finetune.heads import Head
from hub_tfx.finetune.left_out import LEFT_OUT, LeftOutRow
from hub_tfx.finetune.new_module import NewModule
from hub_tfx.finetune.training import Progress, Trained, TrainingJob
from hub_tfx.module.load import import_packages
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.process import prepare_process
from hub_tfx.module.resolved import ResolvedModule


@dataclass(frozen=True)
class FineTuneResult:
    """What a fine-tuning made.

    Attributes:
      module: directory of the new module.
      serving: directory of the SavedModel that answers for serialized tf.Examples.
      digest: digest of the new module.
      parent_digest: digest of the base module; None for a new one.
      metrics: evaluation of the new module by name.
      steps: how many steps were trained.
      seconds: wall time of the whole fine-tuning.
      rows: how many rows were for ``train`` and for ``evaluation``, and how many ``left_out``.
      history: (step, metrics) of every evaluation.
      left_out: the first rows that were left out, with their reasons.
    """

    module: str
    serving: str
    digest: str
    parent_digest: str | None
    metrics: Mapping[str, float]
    steps: int
    seconds: float
    rows: Mapping[str, int]
    history: Sequence[tuple[int, Mapping[str, float]]]
    left_out: Sequence[LeftOutRow] = ()


def fine_tune_files(
    base: ResolvedModule | NewModule,
    train: Sequence[str],
    evaluation: Sequence[str],
    output: str,
    config: FineTuneConfig,
    report: Callable[[Progress], None] = lambda progress: None,
    preprocessor: ResolvedModule | None = None,
    *,
    input_format: str | None = None,
    report_rows: ReportRows = unreported,
) -> FineTuneResult:
    """Fine-tunes a module on files and leaves the best one in ``output``.

    ``output`` gets ``module/``, ``serving/``, ``report.json``, ``left_out/`` with the rows that
    cannot be learned from, if there are any, and ``training/``, which has checkpoints and
    TensorBoard events and from which a run that was cut off resumes.

    Args:
      base: the module to start from, or how to make one that has no parent.
      train: paths and globs, in any format that is embedded.
      evaluation: the same; empty to hold out a fifth of the training rows.
      output: a new directory of this machine, or that of a run that was cut off: of the same rows,
        module and config, other than how many steps there are and when to evaluate.
      config: what to learn, and how.
      report: called with progress.
      preprocessor: a module that takes the features and feeds the base; it learns nothing.
      input_format: of all files, a key of ``data.readers.READERS``; None to go by endings, or
        otherwise by bytes.
      report_rows: called while rows are read, before the first step.

    Raises:
      UsageError: config, module and data do not fit each other; nothing was trained.
      InputError: an input is missing or damaged.
      RejectedRowsError: too many rows cannot be learned from; nothing was trained.
      AuthoringError: the module cannot be trained, or what came out is not a module
        that could stand in for its parent.
      DigestMismatchError: the module or the preprocessor has other bytes than its digest says.
      OutputError: ``output`` is a file, is not on this machine, holds a finished module or another
        training, or another run is writing there.
    """
    started_s = time.monotonic()
    prepare_process(config.threads)
    _check_output(output)
    folder = Path(output)
    with sole_writer(folder):
        _check_output(output)  # Again: another run may have ended meanwhile.
        remove_temporary(folder)
        module = _module_to_train(base, folder / "training", config)
        if preprocessor is not None:
            preprocessor.verify()
        import_packages(config.imports)
        files = collect(
            module.spec,
            train,
            evaluation,
            folder / "training" / "examples",
            folder / LEFT_OUT,
            config,
            preprocessor.spec if preprocessor else None,
            input_format,
            report_rows,
        )
        job = _training_job(module, config, files, folder / "training", report)
        if preprocessor is not None:
            job = replace(job, preprocessor=preprocessor.path)
        if isinstance(base, NewModule):
            job = replace(job, sources={**job.sources, "module_fn": base.code_digest})
        trained = trainer_of(module)(job)
        made, serving = folder / "module", folder / "serving"
        check = partial(check_tuned, parent=module.spec, imports=config.imports)
        deliver(trained.best, made, check)
        deliver(trained.serving, serving)
        result = FineTuneResult(
            module=str(made),
            serving=str(serving),
            digest=Manifest.of_directory(made).digest,
            parent_digest=None if isinstance(base, NewModule) else base.digest,
            metrics=trained.best_metrics,
            steps=trained.steps,
            seconds=time.monotonic() - started_s,
            rows=files.rows,
            history=trained.history,
            left_out=files.left_out,
        )
        _write_report(folder / "report.json", result, base, config, files.classes, preprocessor)
    return result


def _module_to_train(
    base: ResolvedModule | NewModule, work_dir: Path, config: FineTuneConfig
) -> ResolvedModule:
    """The base, which has the bytes that its digest says, or a new module."""
    if isinstance(base, NewModule):
        return base.create(work_dir / "new_module", config.seed)
    base.verify()
    return base


def _check_output(output: str) -> None:
    if not is_local(output):
        raise OutputError(
            f"{output} is not on this machine, and fine-tune writes to a directory of this machine "
            "only: name one and copy it to the bucket afterwards, or run a pipeline, whose "
            "artifacts may lie there"
        )
    folder = Path(output)
    check_output_name(folder)
    if (folder / "report.json").exists():
        raise OutputError(f"{output} holds a finished module: name a new directory")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{output} is a file: name a new directory")


def trainer_of(base: ResolvedModule) -> Callable[[TrainingJob], Trained]:
    """The trainer for the format of a module; each is imported only when it is wanted."""
    if base.spec.format == "tf1_hub":
        from hub_tfx.finetune.tf1_hub.trainer import train as train_tf1_hub

        return train_tf1_hub
    from hub_tfx.finetune.saved_model.trainer import train as train_saved_model

    return train_saved_model


def _training_job(
    base: ResolvedModule,
    config: FineTuneConfig,
    files: TrainingFiles,
    work_dir: Path,
    report: Callable[[Progress], None],
) -> TrainingJob:
    features = files.features
    labels = dataset.label_parser(config, files.classes, features.types[config.label])

    def parse(serialized: Any) -> tuple[Any, Any]:
        return features.parse(serialized), labels(serialized)

    signature, signature_spec = signature_of(config, base.spec)
    return TrainingJob(
        base=base.path,
        signature=signature,
        signature_spec=signature_spec,
        head=Head.of(config, files.classes),
        config=config,
        train=lambda: dataset.batches(
            files.train, parse, config, training=True, row_bytes=files.row_bytes
        ),
        evaluate=lambda: dataset.batches(files.evaluation, parse, config, training=False),
        serving=features.parse,
        work_dir=work_dir,
        report=report,
        sources={"examples": files.digest},
    )


def _write_report(
    path: Path,
    result: FineTuneResult,
    base: ResolvedModule | NewModule,
    config: FineTuneConfig,
    classes: Sequence[str],
    preprocessor: ResolvedModule | None,
) -> None:
    document = {
        "version": __version__,
        **asdict(result),
        "parent": base.handle if isinstance(base, ResolvedModule) else None,
        "module_fn": base.module_fn if isinstance(base, NewModule) else None,
        "preprocessor": preprocessor.handle if preprocessor else None,
        "preprocessor_digest": preprocessor.digest if preprocessor else None,
        "config": json.loads(config.to_json()),
        "classes": list(classes),
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2))
