"""Which features feed a module in training, and how they become its inputs in TensorFlow ops."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import tensorflow as tf

from hub_tfx.data.arrow import flatten, is_list, is_number, leaf_type
from hub_tfx.data.files import SourceFile
from hub_tfx.data.images import decode_image
from hub_tfx.data.schema import check_columns
from hub_tfx.data.tf_example import TF_DTYPES, example_type
from hub_tfx.data.uses import Use, look_further, typed_by_use
from hub_tfx.embed.call.bound_inputs import BoundInputs, inputs_of, uses_of
from hub_tfx.embed.plan import EmbedPlan, make_plan
from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.labels import type_of_labels
from hub_tfx.finetune.training import PAIR, Inputs
from hub_tfx.module.spec import ModuleSpec, SignatureSpec, TensorInfo


@dataclass(frozen=True)
class Features:
    """Which features feed the module, or its preprocessor, and what they hold.

    Attributes:
      inputs: input key, or PAIR and input key -> feature.
      infos: the same keys -> what the signature takes.
      schema: the columns to read: of the features and of the label.
      fed: the inputs, bound to these columns as for embedding; says which rows can be fed.
      types: feature -> ``large_binary``, ``int64`` or ``float32``, as tf.Example holds it.
      image_size: height and width to which encoded images are resized.
    """

    inputs: Mapping[str, str]
    infos: Mapping[str, TensorInfo]
    schema: pa.Schema
    fed: BoundInputs
    types: Mapping[str, pa.DataType]
    image_size: tuple[int, int] | None = None

    @classmethod
    def of(
        cls,
        config: FineTuneConfig,
        spec: ModuleSpec,
        columns: pa.Schema,
        files: Sequence[SourceFile] = (),
        preprocessor: ModuleSpec | None = None,
    ) -> "Features":
        """Binds a config to a module and to the columns of its training data.

        Args:
          config: what is learned, and from which features.
          spec: of the module.
          columns: of the training data, as ``infer_schema`` gives them.
          files: that have these columns, for what the first records do not tell.
          preprocessor: of a module that takes the features and feeds the other one.

        Raises:
          UsageError: a feature is missing, or does not fit; the message lists those there are.
          InputError: files disagree on a feature or on the label.
        """
        named = {*config.inputs.values(), config.label, config.pair or config.label}
        columns = look_further(columns, files, named - set(columns.names))
        available = [name for name in columns.names if name != config.label]
        plan = make_plan(config.feeding, spec, available, preprocessor)
        _check_present(config.label, columns.names)
        check_columns(columns, [config.label])
        _check_flags(spec, plan.signature)
        plans = [plan]
        if config.pair is not None:
            if len(plan.features) != 1:
                raise ConfigError("similarity needs a module with one input; this one has several")
            _check_present(config.pair, available)
            plans.append(replace(plan, features=dict.fromkeys(plan.features, config.pair)))
        schema = _columns_to_read(columns, plans, config, files)
        fed = BoundInputs(
            [fed for of_one in plans for fed in inputs_of(of_one, config.feeding, schema)]
        )
        keys = ["", PAIR]
        inputs = {
            keys[n] + key: feature
            for n, of_one in enumerate(plans)
            for key, feature in of_one.features.items()
        }
        infos = {key: plan.inputs[key.removeprefix(PAIR)] for key in inputs}
        features = cls(inputs, infos, schema, fed, _types(fed, schema, config), plan.image_size)
        for key in inputs:
            features._check_shape(key)
        return features

    def columns(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """Feature -> what it feeds, of rows that ``fed`` let pass, in flat lists as tf.Example has
        them."""
        return _flat(self.fed.fed_columns(batch))

    def parse(self, serialized: Any) -> Inputs:
        """Serialized tf.Examples ``[batch] string`` -> the module's inputs, in TensorFlow ops."""
        spec = {feature: self._feature_spec(key) for key, feature in self.inputs.items()}
        parsed = tf.io.parse_example(serialized, spec)
        return {key: self.tensor(key, parsed[feature]) for key, feature in self.inputs.items()}

    def tensor(self, key: str, values: Any) -> Any:
        """A parsed feature ``[batch, …]`` as the input takes it.

        Where the signature leaves a dimension open, rows are padded to the longest of the batch.
        """
        info, shape = self.infos[key], self._row_shape(key)
        if self._is_encoded(key):
            return self._decode(tf.reshape(_dense(values, 1), [-1]), info)
        if None not in shape and info.kind == "dense":
            dense = _dense(values, math.prod(size or 1 for size in shape))
            return _cast(tf.reshape(dense, [tf.shape(dense)[0], *shape]), info)
        ragged = _ragged(values)
        if info.kind == "sparse":
            return _sparse(_cast(ragged, info), shape[0])
        if info.kind == "ragged":
            inner = shape[info.ragged_rank :]
            rows = tf.reshape(ragged.values, [-1, *inner])
            splits = ragged.row_splits // math.prod(size or 1 for size in inner)
            return _cast(tf.RaggedTensor.from_row_splits(rows, splits, validate=False), info)
        return _padded(_cast(ragged, info), shape)

    def _feature_spec(self, key: str) -> Any:
        shape, info = self._row_shape(key), self.infos[key]
        dtype = tf.as_dtype(TF_DTYPES[self.types[self.inputs[key]]])
        if None in shape or info.kind != "dense":
            return tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64)
        return tf.io.FixedLenFeature(shape, dtype)

    def _row_shape(self, key: str) -> list[int | None]:
        """Of a row of the parsed feature; None for a dimension that the signature leaves open."""
        info = self.infos[key]
        if self._is_encoded(key):
            return []
        if info.shape is not None:
            return list(info.shape[1:])
        # Of unknown rank. Text is one value a row, also where it comes in lists, as in tf.Example.
        is_one = info.dtype == "string" or not is_list(self.schema.field(self.inputs[key]).type)
        return [] if is_one else [None]

    def _check_shape(self, key: str) -> None:
        """Raises ConfigError for rows that cannot be in one batch."""
        info, feature = self.infos[key], self.inputs[key]
        if self._is_encoded(key) and self.image_size is None:
            raise ConfigError(
                f"input {key!r} ({info}) takes images of any size, but those of a batch must have "
                "one: say it with image_size (--image-size HEIGHT WIDTH)"
            )
        if self._row_shape(key).count(None) > 1 or info.ragged_rank > 1:
            raise ConfigError(
                f"input {key!r} ({info}) leaves several dimensions of a row open, and a tf.Example "
                f"holds flat lists only: feature {feature!r} cannot be fed to it in training"
            )

    def _is_encoded(self, key: str) -> bool:
        return self.infos[key].is_image and self.types[self.inputs[key]] == pa.large_binary()

    def _decode(self, encoded: Any, info: TensorInfo) -> Any:
        """Encoded images ``[batch] string`` -> ``[batch, height, width, channels]``."""
        return tf.map_fn(
            lambda image: decode_image(image, info, self.image_size),
            encoded,
            fn_output_signature=tf.as_dtype(info.dtype),
        )


def signature_of(config: FineTuneConfig, spec: ModuleSpec) -> tuple[str, SignatureSpec]:
    """Name and spec of the signature that is trained."""
    name = config.signature or spec.default_signature
    return name, spec.signature(name)


def _columns_to_read(
    columns: pa.Schema, plans: Sequence[EmbedPlan], config: FineTuneConfig, files: Sequence[Any]
) -> pa.Schema:
    """Those of the features and of the label, with the types as which they are read."""
    uses: dict[str, Use] = {}
    for plan in plans:
        for name, use in uses_of(plan, config.feeding).items():
            uses[name] = uses[name] | use if name in uses else use
    if config.task in ("classification", "multilabel"):
        of_label = Use(is_kept=True)
    else:
        of_label = Use(pa.float64(), lambda given: is_number(given) or pa.types.is_boolean(given))
    uses[config.label] = uses[config.label] | of_label if config.label in uses else of_label
    file_format = files[0].format if files else "tfrecord"
    return typed_by_use(look_further(columns, files, list(uses)), uses, file_format)


def _types(fed: BoundInputs, schema: pa.Schema, config: FineTuneConfig) -> dict[str, pa.DataType]:
    """What tf.Example holds of each feature once it is read, and of the label."""
    empty = pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)
    columns = {name: column.type for name, column in _flat(fed.fed_columns(empty)).items()}
    types = {name: example_type(given, name) for name, given in columns.items()}
    types[config.label] = type_of_labels(schema.field(config.label).type, config)
    return types


def _flat(columns: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """Lists in lists as lists of their values: the shape is that of the signature."""
    return {
        name: _flat_lists(column) if leaf_type(column.type)[1] > 1 else column
        for name, column in columns.items()
    }


def _flat_lists(column: pa.Array) -> pa.Array:
    values, offsets = flatten(column)
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)


def _check_flags(spec: ModuleSpec, name: str) -> None:
    signature = spec.signature(name)
    if spec.format == "tf1_hub" and signature.fed_inputs != signature.inputs:
        raise ConfigError(
            f"signature {name!r} has an input that switches training on: a module in TF1 hub "
            "format has a graph variant for that, and is not trained with another one"
        )


def _check_present(feature: str, available: Sequence[str]) -> None:
    if feature not in available:
        raise ConfigError(f"no feature {feature!r}; the input has {', '.join(sorted(available))}")


# --- Tensors -------------------------------------------------------------------------------------


def _cast(values: Any, info: TensorInfo) -> Any:
    return values if info.dtype == "string" else tf.cast(values, info.dtype)


def _dense(values: Any, size: int) -> Any:
    """Transform gives a SparseTensor for a feature whose schema has no shape. A row that is served
    without one has zeros, or an empty text."""
    if not isinstance(values, tf.SparseTensor):
        return values
    return tf.sparse.to_dense(tf.sparse.reset_shape(values, [values.dense_shape[0], size]))


def _ragged(values: Any) -> Any:
    if isinstance(values, tf.RaggedTensor):
        return values
    if isinstance(values, tf.SparseTensor):
        return tf.RaggedTensor.from_sparse(values)
    return tf.RaggedTensor.from_tensor(tf.reshape(values, [tf.shape(values)[0], -1]))


def _sparse(ragged: Any, width: int | None) -> Any:
    """Values at the places 0, 1, 2 … of their rows."""
    sparse = ragged.to_sparse()
    if width is None:
        return sparse
    return tf.SparseTensor(sparse.indices, sparse.values, [sparse.dense_shape[0], width])


def _padded(ragged: Any, shape: Sequence[int | None]) -> Any:
    """Flat rows as ``[batch, *shape]``, with zeros or empty texts behind those that are short."""
    at, known = shape.index(None), math.prod(size for size in shape if size is not None)
    longest = tf.reduce_max(tf.concat([ragged.row_lengths(), [0]], axis=0)) // known
    sizes = [longest if size is None else size for size in shape]
    if at == 0:
        dense = ragged.to_tensor(shape=[None, None])
        return tf.reshape(dense, tf.stack([tf.shape(dense, tf.int64)[0], *sizes]))

    def pad(row: Any) -> Any:
        values = tf.reshape(row, [-1 if size is None else size for size in shape])
        missing = longest - tf.shape(values, tf.int64)[at]
        return tf.pad(values, [[0, missing if n == at else 0] for n in range(len(shape))])

    return tf.map_fn(pad, ragged, fn_output_signature=tf.TensorSpec(shape, ragged.dtype))
