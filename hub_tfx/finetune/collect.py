"""Training rows: read from files of any format, checked, and kept as TFRecord files."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from hub_tfx.data.files import SourceFile, find_files
from hub_tfx.data.filesystems import local_copy
from hub_tfx.data.readers import READERS
from hub_tfx.data.schema import infer_schema
from hub_tfx.data.tf_example import to_example_columns
from hub_tfx.errors import ConfigError, InputError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.features import Features
from hub_tfx.module.spec import ModuleSpec

_EVAL_SHARE = 0.2
_READ_ROWS = 1024

_Place = tuple[str, int]  # A file, and a row of it, counted from 1.


@dataclass(frozen=True)
class TrainingFiles:
    """Training data as TFRecord files, and what is known of it.

    Attributes:
      train: paths of the files that are trained on.
      evaluation: paths of the files that are evaluated on.
      features: which features feed the module.
      classes: names of the classes, by id; empty for tasks without classes.
      rows: how many are for ``train`` and for ``evaluation``, and how many were ``left_out``.
    """

    train: list[str]
    evaluation: list[str]
    features: Features
    classes: tuple[str, ...]
    rows: Mapping[str, int]


@dataclass(frozen=True)
class _Collected:
    """Rows that can be learned from.

    Attributes:
      examples: serialized tf.Examples.
      labels: the label values in them, as tf.Example has them.
      left_out: how many other rows there were.
    """

    examples: list[bytes]
    labels: list[Any]
    left_out: int


def collect(
    spec: ModuleSpec,
    train: Sequence[str],
    evaluation: Sequence[str],
    folder: Path,
    config: FineTuneConfig,
) -> TrainingFiles:
    """Reads all rows, checks them, and writes those that can be learned from to a folder.

    Args:
      spec: of the module that is to learn from them.
      train: paths and globs of files in any format that is embedded.
      evaluation: the same; empty to hold out a fifth of the training rows.
      folder: where ``train.tfrecord`` and ``eval.tfrecord`` go.
      config: what is learned.

    Raises:
      UsageError: config, module and data do not fit each other.
      InputError: a file is missing or damaged, no row is left, or one has another number of values
        than the module takes.
    """
    train_files, eval_files = find_files(train), find_files(evaluation)
    columns = infer_schema(train_files)
    features = Features.of(config, spec, columns)
    _check_label_type(config, features)
    schema = pa.schema([columns.field(name) for name in features.types])
    sizes = features.sizes
    collected = _read(train_files, schema, config, config.classes, sizes)
    classes = config.classes
    if not classes and config.task in ("classification", "multilabel"):
        classes = find_classes(collected.labels)
    check_classes(config, classes)
    examples, left_out = collected.examples, collected.left_out
    if eval_files:
        of_evaluation = _read(eval_files, schema, config, classes, sizes)
        held_out, left_out = of_evaluation.examples, left_out + of_evaluation.left_out
    else:
        held_out, examples = _hold_out(examples)
    paths = folder / "train.tfrecord", folder / "eval.tfrecord"
    folder.mkdir(parents=True, exist_ok=True)
    for path, part in zip(paths, (examples, held_out), strict=True):
        _write(part, path)
    rows = {"train": len(examples), "evaluation": len(held_out), "left_out": left_out}
    return TrainingFiles([str(paths[0])], [str(paths[1])], features, classes, rows)


def find_classes(labels: Sequence[Any]) -> tuple[str, ...]:
    """The class names among label values, numbers in their order and names in theirs."""
    names = {_class_name(value) for value in labels}
    if names and all(name.lstrip("-").isdigit() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


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


def _hold_out(examples: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """A share for evaluation, and the rest."""
    if len(examples) < 2:
        raise InputError("1 row cannot be trained and evaluated on: give more, or evaluation rows")
    at = max(1, int(len(examples) * _EVAL_SHARE))
    return examples[:at], examples[at:]


def _read(
    files: Sequence[SourceFile],
    schema: pa.Schema,
    config: FineTuneConfig,
    classes: Sequence[str],
    sizes: Mapping[str, int],
) -> _Collected:
    """Reads files of any format, shuffled by the seed.

    Records that cannot be read, lack an input or a label, or have a label that is not one of
    ``classes`` (where any are given) are left out. The others are shuffled because files are often
    sorted by label, and training shuffles within a window only.

    Args:
      files: to read.
      schema: columns to read.
      config: label and seed.
      classes: that are known; empty where all are.
      sizes: input feature -> how many values a row has.

    Raises:
      InputError: no row is left, or one has another number of values.
    """
    from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

    if config.task != "multilabel":
        sizes = {**sizes, config.label: 1}
    encoder = RecordBatchToExamplesEncoder()
    examples: list[bytes] = []
    labels: list[Any] = []
    left_out = 0
    for place, batch in _record_batches(files, schema):
        columns = to_example_columns(batch)
        _check_sizes(columns, sizes, place)
        for example, values in zip(
            encoder.encode(columns), _labels_of_rows(columns, config, classes), strict=True
        ):
            if values:
                examples.append(example)
                labels += values
            else:
                left_out += 1
    if not examples:
        named = ", ".join(file.path for file in files)
        known = f": the classes are {', '.join(classes)}" if classes else ""
        raise InputError(f"no row of {named} has a {config.label!r} to learn{known}")
    random.Random(config.seed).shuffle(examples)
    return _Collected(examples, labels, left_out)


def _labels_of_rows(
    columns: pa.RecordBatch, config: FineTuneConfig, classes: Sequence[str]
) -> Iterator[list[Any]]:
    """The label values of each row; none where the row is of no use."""
    known = set(classes)
    label = columns.schema.get_field_index(config.label)
    lengths = [
        pc.list_value_length(column).to_pylist()
        for n, column in enumerate(columns.columns)
        if n != label
    ]
    rows = columns.column(label).to_pylist()
    for values, is_whole in zip(
        rows, (all(row) for row in zip(*lengths, strict=True)), strict=True
    ):
        # An empty cell of a CSV file is an empty text.
        usable = [v for v in values or () if v != b"" and (not known or _class_name(v) in known)]
        yield usable if is_whole else []


def _class_name(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _record_batches(
    files: Sequence[SourceFile], schema: pa.Schema
) -> Iterator[tuple[_Place, pa.RecordBatch]]:
    """Batches, and where their first rows are."""
    for file in files:
        row = 1
        with local_copy(file.path) as path:
            for batch in READERS[file.format].read(path, schema, _READ_ROWS):
                yield (file.path, row), batch
                row += batch.num_rows


def _check_sizes(columns: pa.RecordBatch, sizes: Mapping[str, int], place: _Place) -> None:
    path, first = place
    for name, size in sizes.items():
        column = columns.column(columns.schema.get_field_index(name))
        lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        # A row that has none is left out.
        for row in np.flatnonzero((lengths != 0) & (lengths != size)):
            raise InputError(
                f"row {first + row} of {path}: feature {name!r} has {lengths[row]} values, "
                f"and the model takes {size}"
            )


def _write(examples: Sequence[bytes], path: Path) -> None:
    """Writes serialized tf.Examples as one TFRecord file."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example)
