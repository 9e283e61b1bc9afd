"""Training rows read from files of any format, as tf.Examples."""

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from hub_tfx.data.files import SourceFile
from hub_tfx.data.filesystems import local_copy
from hub_tfx.data.readers import READERS
from hub_tfx.data.tf_example import to_example_columns
from hub_tfx.errors import InputError
from hub_tfx.finetune.config import FineTuneConfig

_Place = tuple[str, int]  # File, row from 1.


_READ_ROWS = 1024


def find_classes(examples: Sequence[Any]) -> tuple[str, ...]:
    """The class names among label values, numbers in their order and names in theirs."""
    names = {_class_name(value) for value in examples}
    if names and all(name.lstrip("-").isdigit() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def read_examples(
    files: Sequence[SourceFile],
    schema: pa.Schema,
    config: FineTuneConfig,
    classes: Sequence[str],
    sizes: Mapping[str, int],
) -> tuple[list[bytes], int, list[Any]]:
    """Reads files of any format as serialized tf.Examples, shuffled by the seed.

    Records that cannot be read, lack an input or a label, or have one that is none of ``classes``
    (where they are given) are left out and counted. They are shuffled since files are often sorted
    by label, and training shuffles within a window only.

    Args:
      files: to read.
      schema: columns to read.
      config: label and seed.
      classes: that are known; empty where all are.
      sizes: input feature -> how many values a row has.

    Returns:
      Examples, how many were left out, and the label values of those read, as tf.Example has them.

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
    return examples, left_out, labels


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


def write_examples(examples: Sequence[bytes], path: Path) -> None:
    """Writes serialized tf.Examples as one TFRecord file."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example)


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


def _class_name(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
