"""Training rows: read from files of any format, checked as for embedding, and kept as TFRecord."""

import hashlib
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from hub_tfx.data.arrow import all_but, batch_of
from hub_tfx.data.files import SourceFile, find_files
from hub_tfx.data.marks import Position, rejected_of, slice_rows
from hub_tfx.data.readers import READERS
from hub_tfx.data.schema import infer_schema
from hub_tfx.data.tf_example import reject_unheld, to_example_columns
from hub_tfx.embed.dead_letters import check_rejected
from hub_tfx.errors import ConfigError, InputError, RejectedRowsError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.features import Features
from hub_tfx.finetune.labels import LabelRule, SeenLabels, check_classes, find_classes
from hub_tfx.finetune.left_out import LeftOutRow, LeftOutRows
from hub_tfx.finetune.row_store import RowStore
from hub_tfx.module.spec import ModuleSpec

_log = logging.getLogger(__name__)

_EVAL_SHARE = 0.2
_READ_ROWS = 1024
_IMAGES_AT_ONCE = 64

ReportRows = Callable[[int, int], None]
"""Called with how many more rows were read, and how many of these were left out."""


def unreported(rows: int, left_out: int) -> None:
    """A ReportRows that tells nobody."""


@dataclass(frozen=True)
class TrainingFiles:
    """Training data as TFRecord files, and what is known of it.

    Attributes:
      train, evaluation: paths of the files that are trained on, and evaluated on.
      features: which features feed the module.
      classes: names of the classes, by id; empty for tasks without classes.
      rows: how many are for ``train`` and for ``evaluation``, and how many were ``left_out``.
      left_out: the first rows that were left out.
      row_bytes: of a serialized tf.Example, on average.
      digest: of what the rows hold, in their order, in hex.
    """

    train: list[str]
    evaluation: list[str]
    features: Features
    classes: tuple[str, ...]
    rows: Mapping[str, int]
    left_out: tuple[LeftOutRow, ...]
    row_bytes: float
    digest: str


@dataclass(frozen=True)
class CollectedExamples:
    """Sets of tf.Examples that can be learned from.

    Attributes:
      paths: name of a set -> its TFRecord file.
      rows: how many are in each, and how many were ``left_out``.
      row_bytes: of a row, on average.
      digest: of what the rows hold, in their order, in hex.
    """

    paths: Mapping[str, Path]
    rows: Mapping[str, int]
    row_bytes: float
    digest: str


def collect(
    spec: ModuleSpec,
    train: Sequence[str],
    evaluation: Sequence[str],
    folder: Path,
    left_out: Path,
    config: FineTuneConfig,
    preprocessor: ModuleSpec | None = None,
    input_format: str | None = None,
    report: ReportRows = unreported,
) -> TrainingFiles:
    """Reads all rows, checks them, and writes those that can be learned from to a folder.

    Args:
      spec: of the module that is to learn from them.
      train: paths and globs of files in any format that is embedded.
      evaluation: the same; empty to hold out a fifth of the training rows.
      folder: where ``train.tfrecord`` and ``eval.tfrecord`` go.
      left_out: folder for the other rows, with their reasons.
      config: what is learned.
      preprocessor: of a module that takes the features and feeds the other one.
      input_format: of all files; None to go by endings, or otherwise by bytes.
      report: called while rows are read.

    Raises:
      UsageError: config, module and data do not fit each other.
      InputError: a file is missing or damaged, or there is no row.
      RejectedRowsError: too many rows cannot be learned from.
      OutputError: a folder cannot be written.
    """
    train_files = find_files(train, input_format)
    eval_files = find_files(evaluation, input_format)
    files = [*train_files, *eval_files]
    columns = infer_schema(files, of_all=True)  # A file that was not looked at may be left out.
    features = Features.of(config, spec, columns, files, preprocessor)
    _check_label_type(config, features)
    rule = LabelRule(config, config.classes)
    with (
        closing(LeftOutRows(left_out)) as rejected,
        RowStore(folder) as store,
        RowStore(folder) as held_out,
    ):
        labels = _read(train_files, features, rule, store, rejected, report)
        classes = config.classes
        if not classes and config.task in ("classification", "multilabel"):
            classes = find_classes(labels.names)
        if eval_files:
            rule = LabelRule(config, classes)
            of_evaluation = _read(eval_files, features, rule, held_out, rejected, report)
        _check_left_out(rejected, len(store) + len(held_out), left_out, config)
        if eval_files and not len(held_out):
            raise InputError(f"no evaluation row can be learned from: see {left_out}")
        check_classes(config, classes)
        order = _shuffled(len(store), config.seed)
        paths = folder / "train.tfrecord", folder / "eval.tfrecord"
        if eval_files:
            _warn_of_classes(labels, of_evaluation)
            store.write(order, paths[0])
            held_out.write(_shuffled(len(held_out), config.seed), paths[1])
            counts = len(store), len(held_out)
        else:
            evaluated, trained = _hold_out(order, labels, config)
            store.write(trained, paths[0])
            store.write(evaluated, paths[1])
            counts = len(trained), len(evaluated)
        row_bytes = store.size_bytes / max(1, len(store))
        digest = _digest_of_all([store, held_out])
    rows = {"train": counts[0], "evaluation": counts[1], "left_out": rejected.rows}
    written = [str(paths[0])], [str(paths[1])]
    left = tuple(rejected.first)
    return TrainingFiles(*written, features, classes, rows, left, row_bytes, digest)


def collect_examples(
    patterns: Mapping[str, Sequence[str]],
    features: Features,
    rule: LabelRule,
    folder: Path,
    left_out: Path,
) -> CollectedExamples:
    """Writes the tf.Examples that can be learned from to a folder, each set of them shuffled.

    Args:
      patterns: name of a set, such as ``train`` -> paths and globs of TFRecord files.
      features: which features feed the module.
      rule: which labels can be learned.
      folder: where ``{name}.tfrecord`` goes.
      left_out: folder for the other rows, with their reasons.

    Raises:
      InputError, RejectedRowsError, OutputError: as ``collect``.
    """
    paths, stores = {}, {}
    with closing(LeftOutRows(left_out)) as rejected, ExitStack() as stack:
        for name, of_set in patterns.items():
            store = stores[name] = stack.enter_context(RowStore(folder))
            _read(find_files(of_set, "tfrecord"), features, rule, store, rejected)
            paths[name] = folder / f"{name}.tfrecord"
            store.write(_shuffled(len(store), rule.config.seed), paths[name])
        rows = {name: len(store) for name, store in stores.items()}
        _check_left_out(rejected, sum(rows.values()), left_out, rule.config)
        size_bytes = sum(store.size_bytes for store in stores.values())
        digest = _digest_of_all(stores.values())
    row_bytes = size_bytes / max(1, sum(rows.values()))
    return CollectedExamples(paths, {**rows, "left_out": rejected.rows}, row_bytes, digest)


def _digest_of_all(stores: Iterable[RowStore]) -> str:
    return hashlib.sha256("".join(store.digest for store in stores).encode()).hexdigest()


def _read(
    files: Sequence[SourceFile],
    features: Features,
    rule: LabelRule,
    store: RowStore,
    left_out: LeftOutRows,
    report: ReportRows = unreported,
) -> SeenLabels:
    """Puts rows into the store, those that cannot be learned from aside; the labels of the rows."""
    from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

    encoder = RecordBatchToExamplesEncoder()
    labels = SeenLabels()
    for batch in _record_batches(files, features):
        columns, names, rejected = _learnable(batch, features, rule)
        position = Position.of(batch)
        left_out.add({position.key(row): why for row, why in sorted(rejected.items())})
        if columns.num_rows:
            store.add(encoder.encode(to_example_columns(columns)), columns)
            labels.add(names)
        report(batch.num_rows, len(rejected))
    if not len(store) and not left_out.rows:
        raise InputError(f"there is no row in {', '.join(file.path for file in files)}")
    return labels


def _learnable(
    batch: pa.RecordBatch, features: Features, rule: LabelRule
) -> tuple[pa.RecordBatch, list[list[str]], dict[int, str]]:
    """What the rows that can be learned from feed, with their labels; the labels by name; and the
    other rows -> reason."""
    checked = features.fed.checked(batch)
    label = rule.column(checked.fed)
    values, unlabelled = rule.check(label)
    undecodable = features.fed.decode(checked.fed)[1] if features.fed.has_images else {}
    columns = features.columns(checked.fed) | {rule.config.label: label}
    fed = reject_unheld(batch_of(columns), list(columns))
    unfit = {**unlabelled, **undecodable, **rejected_of(fed)}
    fine = all_but(fed.num_rows, unfit)
    rejected = dict(checked.rejected) | {int(checked.rows[r]): why for r, why in unfit.items()}
    names = [rule.names(values[row]) for row in fine.tolist()]
    return fed.take(pa.array(fine)).replace_schema_metadata(None), names, rejected


def _record_batches(files: Sequence[SourceFile], features: Features) -> Iterator[pa.RecordBatch]:
    """Batches that say where their rows are; of images few at a time, since they are decoded."""
    is_large = features.fed.has_images or features.fed.reads_files
    step = _IMAGES_AT_ONCE if is_large else _READ_ROWS
    for file in files:
        first = 0
        for batch in READERS[file.format].read(file.path, features.schema, _READ_ROWS):
            marked = Position(file.path, first).mark(batch)
            for start in range(0, batch.num_rows, step):
                yield slice_rows(marked, start, min(start + step, batch.num_rows))
            first += batch.num_rows


def _check_left_out(left_out: LeftOutRows, rows: int, folder: Path, config: FineTuneConfig) -> None:
    try:
        records = rows + left_out.rows
        check_rejected(left_out.rows, records, config.max_dead_letter_ratio, "nothing was trained")
    except RejectedRowsError as error:
        first = left_out.first[0]
        raise RejectedRowsError(
            f"{error} (the first is {first.key}: {first.reason}); see {folder}", str(folder)
        ) from error


def _check_label_type(config: FineTuneConfig, features: Features) -> None:
    is_fraction = features.types[config.label] == pa.float32()
    if is_fraction and config.task in ("classification", "multilabel"):
        raise ConfigError(
            f"label {config.label!r} holds fractions, not classes: use task regression, "
            "or give texts or whole numbers"
        )


def _shuffled(rows: int, seed: int) -> list[int]:
    order = list(range(rows))
    random.Random(seed).shuffle(order)
    return order


def _hold_out(
    order: Sequence[int], labels: SeenLabels, config: FineTuneConfig
) -> tuple[list[int], list[int]]:
    """Rows for evaluation, of each class a share, and the rest."""
    if len(order) < 2:
        raise InputError("1 row cannot be trained and evaluated on: give more, or evaluation rows")
    if config.task != "classification":
        at = max(1, int(len(order) * _EVAL_SHARE))
        return list(order[:at]), list(order[at:])
    left = {
        number: max(1, int(count * _EVAL_SHARE)) if count > 1 else 0
        for number, count in Counter(labels.first).items()
    }
    sole = [name for name, number in labels.names.items() if left[number] == 0]
    evaluated: list[int] = []
    trained: list[int] = []
    for row in order:
        number = labels.first[row]
        (evaluated if left[number] else trained).append(row)
        left[number] -= left[number] > 0
    if not evaluated:
        raise InputError("each class has 1 row, and none can be held out: give evaluation rows")
    _warn("has one row, which is trained on", "evaluation", sole)
    return evaluated, trained


def _warn_of_classes(trained: SeenLabels, evaluated: SeenLabels) -> None:
    in_training, in_evaluation = trained.names.keys(), evaluated.names.keys()
    _warn("has rows to train on", "evaluation", sorted(in_training - in_evaluation))
    _warn("has rows to evaluate on", "training", sorted(in_evaluation - in_training))


def _warn(has: str, lacking: str, names: Sequence[str]) -> None:
    for name in names:
        _log.warning("class %r %s and is not in the %s data", name, has, lacking)
