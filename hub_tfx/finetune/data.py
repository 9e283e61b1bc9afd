"""tf.Examples -> batches a module can be trained on, and the same parsing for serving."""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.examples import example_type, to_example_columns
from hub_tfx.embed.files import local_copy
from hub_tfx.embed.plan import is_image, make_plan
from hub_tfx.embed.readers import READERS
from hub_tfx.embed.source import SourceFile
from hub_tfx.errors import ConfigError, InputError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.training import PAIR, Inputs
from hub_tfx.module.spec import ModuleSpec, SignatureSpec, TensorInfo

_Place = tuple[str, int]  # File, row from 1.
_SHUFFLE_ROWS = 10_000
_READ_ROWS = 1024


@dataclass(frozen=True)
class Features:
    """Which features feed the module, and what they hold.

    Attributes:
      inputs: input key, or PAIR and input key -> feature.
      infos: the same keys -> what the signature takes.
      types: feature -> ``large_binary``, ``int64`` or ``float32``, as tf.Example holds it.
    """

    inputs: Mapping[str, str]
    infos: Mapping[str, TensorInfo]
    types: Mapping[str, pa.DataType]

    @classmethod
    def of(cls, config: FineTuneConfig, spec: ModuleSpec, schema: pa.Schema) -> "Features":
        """Binds a config to a module and to the columns of its training data.

        Raises:
          UsageError: a feature is missing, or does not fit; the message lists those there are.
        """
        embed = EmbedConfig(signature=config.signature, inputs=config.inputs)
        available = [name for name in schema.names if name != config.label]
        plan = make_plan(embed, spec, available)
        _check_present(config.label, schema.names)
        if spec.format == "tf1_hub" and plan.inputs != spec.signature(plan.signature).inputs:
            raise ConfigError(
                f"signature {plan.signature!r} has an input that switches training on: a module in "
                "TF1 hub format has a graph variant for that, and is not trained with another one"
            )
        inputs = dict(plan.features)
        infos = dict(plan.inputs)
        if config.pair is not None:
            if len(inputs) != 1:
                raise ConfigError("similarity needs a module with one input; this one has several")
            _check_present(config.pair, available)
            (key,) = plan.features
            inputs[PAIR + key], infos[PAIR + key] = config.pair, plan.inputs[key]
        types = {
            name: example_type(schema.field(name).type, name)
            for name in {*inputs.values(), config.label}
        }
        return cls(inputs, infos, types)

    def parse(self, serialized: Any) -> Inputs:
        """Serialized tf.Examples ``[batch] string`` -> the module's inputs, in TensorFlow ops."""
        parsed = tf.io.parse_example(serialized, self._parsing_spec())
        return {key: self.tensor(key, parsed[feature]) for key, feature in self.inputs.items()}

    @property
    def sizes(self) -> dict[str, int]:
        """Input feature -> how many values a row has."""
        return {feature: math.prod(self._shape(key)) for key, feature in self.inputs.items()}

    def _parsing_spec(self) -> dict[str, Any]:
        return {
            feature: tf.io.FixedLenFeature(
                self._shape(key), tf.as_dtype(_TF_TYPES[self.types[feature]])
            )
            for key, feature in self.inputs.items()
        }

    def _shape(self, key: str) -> list[int]:
        info, feature = self.infos[key], self.inputs[key]
        if self._is_encoded_image(key) or info.shape is None:
            return []
        if None in info.shape[1:]:
            raise ConfigError(
                f"input {key!r} ({info}) leaves a dimension of a row open: feature {feature!r} "
                "cannot be fed to it in training"
            )
        return [size for size in info.shape[1:] if size is not None]

    def _is_encoded_image(self, key: str) -> bool:
        return is_image(self.infos[key]) and self.types[self.inputs[key]] == pa.large_binary()

    def tensor(self, key: str, values: Any) -> Any:
        """A parsed feature ``[batch, …]`` as the input takes it."""
        info = self.infos[key]
        rows = tf.shape(values)[0]
        if self._is_encoded_image(key):
            return decode_images(tf.reshape(values, [rows]), info)
        if info.shape is not None:
            values = tf.reshape(values, [rows, *self._shape(key)])
        return values if info.dtype == "string" else tf.cast(values, info.dtype)


_TF_TYPES = {pa.large_binary(): "string", pa.int64(): "int64", pa.float32(): "float32"}


def decode_images(encoded: Any, info: TensorInfo) -> Any:
    """Encoded images ``[batch] string`` -> ``[batch, height, width, 3] float32`` in [0, 1]."""
    assert info.shape is not None
    _, height, width, _ = info.shape

    def decode(image: Any) -> Any:
        pixels = tf.io.decode_image(image, 3, expand_animations=False)
        pixels = tf.image.convert_image_dtype(pixels, tf.float32)
        return tf.image.resize(pixels, (height, width))

    return tf.map_fn(decode, encoded, fn_output_signature=tf.float32)


def batches(
    files: Sequence[str],
    parse: Callable[[Any], tuple[Inputs, Any]],
    config: FineTuneConfig,
    *,
    training: bool,
) -> Any:
    """A ``tf.data.Dataset`` of (inputs, labels) over TFRecord files.

    Rows without a known label are left out, and others take their places: a batch of none would
    make batch normalization divide by 0.

    Args:
      files: TFRecord files of tf.Example, all gzipped (``.gz``) or none.
      parse: serialized ``[batch] string`` -> inputs and labels; labels below 0 drop their row.
      config: batch size and seed.
      training: shuffled and without an end, unless there is no row; or once and in order.
    """
    compression = "GZIP" if files[0].endswith(".gz") else ""
    dataset = tf.data.TFRecordDataset(sorted(files), compression, buffer_size=1 << 20)
    if training:
        dataset = dataset.shuffle(_SHUFFLE_ROWS, seed=config.seed)

    def parse_known(serialized: Any) -> tuple[Inputs, Any]:
        inputs, labels = parse(serialized)
        if labels.dtype != tf.int64:
            return inputs, labels
        known = labels >= 0
        return (
            {key: tf.boolean_mask(tensor, known) for key, tensor in inputs.items()},
            tf.boolean_mask(labels, known),
        )

    dataset = dataset.batch(config.batch_size).map(parse_known, tf.data.AUTOTUNE)
    dataset = dataset.filter(lambda _, labels: tf.shape(labels)[0] > 0)
    if training:
        dataset = dataset.repeat()
    return dataset.rebatch(config.batch_size).prefetch(tf.data.AUTOTUNE)


def label_parser(
    config: FineTuneConfig, classes: Sequence[str], label_type: pa.DataType
) -> Callable[[Any], Any]:
    """Serialized tf.Examples -> labels as Head.loss takes them; an unknown class is -1.

    Class names and class ids are both names: the id 3 is the class ``3``.
    """
    dtype = tf.as_dtype(_TF_TYPES[label_type])

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


def signature_of(config: FineTuneConfig, spec: ModuleSpec) -> tuple[str, SignatureSpec]:
    """Name and spec of the signature that is trained."""
    name = config.signature or spec.default_signature
    return name, spec.signature(name)


def _class_name(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _check_present(feature: str, available: Sequence[str]) -> None:
    if feature not in available:
        raise ConfigError(f"no feature {feature!r}; the input has {', '.join(sorted(available))}")
