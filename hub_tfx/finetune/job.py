"""One fine-tuning from files to a new module: checked before, checked after, committed whole."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from hub_tfx import __version__
from hub_tfx._files import remove_temporary, replacing
from hub_tfx.data.files import find_files
from hub_tfx.data.schema import infer_schema
from hub_tfx.errors import ConfigError, InputError, OutputError
from hub_tfx.finetune import dataset
from hub_tfx.finetune.checks import check_tuned
from hub_tfx.finetune.collect import find_classes, read_examples, write_examples
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.deliver import deliver
from hub_tfx.finetune.features import Features, signature_of
from hub_tfx.finetune.heads import Head
from hub_tfx.finetune.new_module import NewModule
from hub_tfx.finetune.training import Progress, Trained, TrainingJob
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.resolved import ResolvedModule

_EVAL_SHARE = 0.2


@dataclass(frozen=True)
class FineTuneResult:
    """What a fine-tuning made.

    Attributes:
      module: directory of the new module.
      serving: directory of the SavedModel that answers for serialized tf.Examples.
      digest: of the new module.
      parent_digest: of the base module; None for a new one.
      metrics: evaluation of the new module by name.
      steps: of training.
      seconds: of wall time.
      rows: of training and of evaluation data, and left out.
      history: (step, metrics) of every evaluation.
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


def fine_tune_files(
    base: ResolvedModule | NewModule,
    train: Sequence[str],
    evaluation: Sequence[str],
    output: str,
    config: FineTuneConfig,
    report: Callable[[Progress], None] = lambda progress: None,
) -> FineTuneResult:
    """Fine-tunes a module on files and leaves the best one in ``output``.

    ``output`` gets ``module/``, ``serving/``, ``report.json`` and ``training/``, which has
    checkpoints and TensorBoard events and from which a run that was cut off goes on.

    Args:
      base: the module to start from, or how to make one that has no parent.
      train: paths and globs, in any format that is embedded.
      evaluation: the same; empty to hold out a fifth of the training rows.
      output: a new directory, or that of a run that was cut off.
      config: what to learn, and how.
      report: called with progress.

    Raises:
      UsageError: config, module and data do not fit each other.
      InputError: an input is missing or damaged, or holds no label.
      AuthoringError: the module cannot be trained, or what came out is no module.
      OutputError: ``output`` is a file, or holds a finished module already.
    """
    started_s = time.monotonic()
    folder = Path(output)
    if (folder / "report.json").exists():
        raise OutputError(f"{output} holds a finished module: name a new directory")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{output} is a file: name a new directory")
    remove_temporary(folder)
    work_dir = folder / "training"
    if isinstance(base, NewModule):
        module, parent = base.create(work_dir / "new_module", config.seed), None
    else:
        module = parent = base
    files = _Files.prepare(module, train, evaluation, work_dir / "examples", config)
    trained = trainer_of(module)(_training_job(module, config, files, work_dir, report))
    made, serving = folder / "module", folder / "serving"
    deliver(trained.best, made, partial(check_tuned, parent=module.spec))
    deliver(trained.serving, serving)
    result = FineTuneResult(
        module=str(made),
        serving=str(serving),
        digest=Manifest.of_directory(made).digest,
        parent_digest=parent.digest if parent else None,
        metrics=trained.best_metrics,
        steps=trained.steps,
        seconds=time.monotonic() - started_s,
        rows=files.rows,
        history=trained.history,
    )
    _write_report(folder / "report.json", result, base, config, files.classes)
    return result


def trainer_of(base: ResolvedModule) -> Callable[[TrainingJob], Trained]:
    """The trainer for the format of a module."""
    if base.spec.format == "tf1_hub":
        from hub_tfx.finetune.tf1_hub.trainer import train as train_tf1_hub

        return train_tf1_hub
    from hub_tfx.finetune.saved_model.trainer import train as train_saved_model

    return train_saved_model


def _training_job(
    base: ResolvedModule,
    config: FineTuneConfig,
    files: "_Files",
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
        train=lambda: dataset.batches(files.train, parse, config, training=True),
        evaluate=lambda: dataset.batches(files.evaluation, parse, config, training=False),
        serving=features.parse,
        work_dir=work_dir,
        report=report,
    )


@dataclass(frozen=True)
class _Files:
    """Training data as TFRecord files, and what is known of it."""

    train: list[str]
    evaluation: list[str]
    features: Features
    classes: tuple[str, ...]
    rows: Mapping[str, int]

    @classmethod
    def prepare(
        cls,
        base: ResolvedModule,
        train: Sequence[str],
        evaluation: Sequence[str],
        folder: Path,
        config: FineTuneConfig,
    ) -> "_Files":
        train_files, eval_files = find_files(train), find_files(evaluation)
        columns = infer_schema(train_files)
        features = Features.of(config, base.spec, columns)
        schema = pa.schema([columns.field(name) for name in features.types])
        _check_label_type(config, features)
        examples, left_out, labels = read_examples(
            train_files, schema, config, config.classes, features.sizes
        )
        classes = config.classes
        if not classes and config.task in ("classification", "multilabel"):
            classes = find_classes(labels)
        check_classes(config, classes)
        if eval_files:
            held_out, eval_left_out, _ = read_examples(
                eval_files, schema, config, classes, features.sizes
            )
        else:
            held_out, examples, eval_left_out = *_hold_out(examples), 0
        folder.mkdir(parents=True, exist_ok=True)
        paths = folder / "train.tfrecord", folder / "eval.tfrecord"
        for path, part in zip(paths, (examples, held_out), strict=True):
            write_examples(part, path)
        rows = {
            "train": len(examples),
            "evaluation": len(held_out),
            "left_out": left_out + eval_left_out,
        }
        return cls([str(paths[0])], [str(paths[1])], features, classes, rows)


def _hold_out(examples: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    if len(examples) < 2:
        raise InputError("1 row cannot be trained and evaluated on: give more, or evaluation rows")
    at = max(1, int(len(examples) * _EVAL_SHARE))
    return examples[:at], examples[at:]


def _check_label_type(config: FineTuneConfig, features: Features) -> None:
    is_fraction = features.types[config.label] == pa.float32()
    if is_fraction and config.task in ("classification", "multilabel"):
        raise ConfigError(
            f"label {config.label!r} holds fractions, not classes: use task regression, "
            "or give texts or whole numbers"
        )
    is_text = features.types[config.label] == pa.large_binary()
    if is_text and config.task in ("regression", "similarity"):
        raise ConfigError(f"label {config.label!r} holds texts: task {config.task} takes numbers")


def check_classes(config: FineTuneConfig, classes: Sequence[str]) -> None:
    """Raises ConfigError where there are too few, or class_weights names another."""
    if config.task == "classification" and len(classes) < 2:
        raise ConfigError(
            f"label {config.label!r} has {len(classes)} class in the training data: "
            "a classifier needs two"
        )
    for name in config.class_weights:
        if name not in classes:
            raise ConfigError(f"class_weights: no class {name!r}; there are {', '.join(classes)}")


def _write_report(
    path: Path,
    result: FineTuneResult,
    base: ResolvedModule | NewModule,
    config: FineTuneConfig,
    classes: Sequence[str],
) -> None:
    document = {
        "version": __version__,
        **asdict(result),
        "parent": base.handle if isinstance(base, ResolvedModule) else None,
        "module_fn": base.module_fn if isinstance(base, NewModule) else None,
        "config": json.loads(config.to_json()),
        "classes": list(classes),
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2))
