"""tf.Examples -> batches a module can be trained on, and the same parsing for serving."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import tensorflow as tf

from hub_tfx.data.tf_example import TF_DTYPES
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.training import Inputs

_SHUFFLE_ROWS = 10_000
_SHUFFLE_BYTES = 64 << 20


def batches(
    files: Sequence[str],
    parse: Callable[[Any], tuple[Inputs, Any]],
    config: FineTuneConfig,
    *,
    training: bool,
    row_bytes: float = 0.0,
) -> Any:
    """A ``tf.data.Dataset`` of (inputs, labels) over TFRecord files.

    Args:
      files: TFRecord files of tf.Example, all gzipped (``.gz``) or none.
      parse: serialized ``[batch] string`` -> inputs and labels.
      config: batch size and seed.
      training: shuffled and without an end, unless there is no row; or once and in order.
      row_bytes: of a row, on average: large rows are shuffled within fewer of them.
    """
    compression = "GZIP" if files[0].endswith(".gz") else ""
    dataset = tf.data.TFRecordDataset(sorted(files), compression, buffer_size=1 << 20)
    if training:
        dataset = dataset.shuffle(_window_rows(row_bytes, config), seed=config.seed)
    if training:
        dataset = dataset.repeat()
    dataset = dataset.batch(config.batch_size).map(parse, tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE)


def _window_rows(row_bytes: float, config: FineTuneConfig) -> int:
    if not row_bytes:
        return _SHUFFLE_ROWS
    return min(_SHUFFLE_ROWS, max(config.batch_size, int(_SHUFFLE_BYTES / row_bytes)))


def label_parser(
    config: FineTuneConfig, classes: Sequence[str], label_type: pa.DataType
) -> Callable[[Any], Any]:
    """Serialized tf.Examples -> labels as Head.loss takes them; an unknown class is -1.

    Class names and class ids are both names: the id 3 is the class ``3``.
    """
    dtype = tf.as_dtype(TF_DTYPES[label_type])

    def lookup(values: Any) -> Any:
        names = values if dtype == tf.string else tf.strings.as_string(values)
        ids = tf.constant(list(range(len(classes))), tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(list(classes)), ids)
        return tf.lookup.StaticHashTable(initializer, -1).lookup(names)

    def parse(serialized: Any) -> Any:
        if config.task == "multilabel":
            spec = {config.label: tf.io.RaggedFeature(dtype)}
            ids = lookup(tf.io.parse_example(serialized, spec)[config.label].to_sparse())
            ragged = tf.RaggedTensor.from_sparse(ids)
            return multi_hot(ragged, len(classes))
        spec = {config.label: tf.io.FixedLenFeature([], dtype)}
        values = tf.io.parse_example(serialized, spec)[config.label]
        return lookup(values) if config.task == "classification" else tf.cast(values, tf.float32)

    return parse


def multi_hot(ids: Any, size: int) -> Any:
    """Ragged ids ``[batch, …]`` -> ``[batch, size] float32`` of 0 and 1; ids below 0 are none."""
    return tf.minimum(tf.reduce_sum(tf.one_hot(ids, size), axis=1), 1.0)
