"""Image feature modules, made from a Keras model."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tensorflow_hub as hub

from hub_tfx.errors import AuthoringError, ConfigError
from hub_tfx.module.create.export import (
    CreatedModule,
    check_is_free,
    created,
    eagerly,
    export_with_values,
    staged,
)
from hub_tfx.module.spec import ModuleFormat

_BAD_IN_NAME = re.compile(r"[^A-Za-z0-9_./-]")
# What BatchNormalization and its like do to their variables; the calls are theirs inside a
# tf.function of the model. Reads and random numbers are side effects too, but change nothing.
_UPDATES = re.compile(r"Assign(Add|Sub)?VariableOp|StatefulPartitionedCall|If|While")


def image_feature_module(
    keras_model: Any,
    export_path: str | os.PathLike[str],
    *,
    format: ModuleFormat = "tf1_hub",
    signatures: Sequence[str] = ("image_feature_vector", "default"),
) -> CreatedModule:
    """Exports a module that turns images into feature vectors.

    It takes ``images``, float32 ``[batch, height, width, 3]`` in [0, 1], and gives float32
    ``[batch, dim]`` under the output key ``default``.

    Both formats run the graph of the model itself, traced with ``training`` False and True, so they
    give what the model gives. A model that wants pixels in another range than [0, 1] begins with a
    Rescaling layer.

    ``tf1_hub`` has a variant without tags, and one tagged ``train`` with the layers' training
    behaviour, their weight losses in REGULARIZATION_LOSSES and the updates of their moving averages
    in UPDATE_OPS; the image size is attached as ``image_module_info``. A ``saved_model`` has
    ``__call__(inputs, training=False)``, ``regularization_losses``, and the signatures with
    ``serving_default`` added.

    Args:
      keras_model: a built Keras 2 model of one image input and one output of rank 2.
      export_path: the new directory; missing parents are made.
      format: ``tf1_hub`` or ``saved_model``.
      signatures: names under which the features are offered.

    Raises:
      AuthoringError: the model does not turn images into feature vectors.
      ConfigError: an option has an invalid value.
      OutputError: ``export_path`` is taken or cannot be written.
    """
    check_is_free(export_path)
    exporters = {"tf1_hub": _export_tf1_hub, "saved_model": _export_saved_model}
    if format not in exporters:
        raise ConfigError(f"unknown format {format!r}: choose tf1_hub or saved_model")
    if isinstance(signatures, str) or not signatures:
        raise ConfigError(f"signatures is {signatures!r}: give a list of one name or more")
    with eagerly():
        exporters[format](_trace(keras_model), signatures, export_path)
    return created(export_path)


# --- What is put in ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Traced:
    """The model as graphs.

    Attributes:
      call: tf.function (inputs, training=False) -> features.
      loss: tf.function () -> sum of the weights' regularization losses; None if there are none.
      images: spec of the inputs.
      variables: all variables that the graphs use, and the model's own.
      trainable: the variables that are to be trained.
    """

    call: Any
    loss: Any
    images: tf.TensorSpec
    variables: tuple[Any, ...]
    trainable: tuple[Any, ...]

    def graph(self, training: bool) -> Any:
        return self.call.get_concrete_function(self.images, training=training)


def _trace(model: Any) -> _Traced:
    images = _images_spec(model)

    @tf.function  # type: ignore[misc]
    def call(inputs: Any, training: bool = False) -> Any:
        features = model(inputs, training=training)
        _check_features(features)
        return tf.cast(features, tf.float32)

    @tf.function(input_signature=[])  # type: ignore[misc]
    def loss() -> Any:
        graph = tf.compat.v1.get_default_graph()
        # Losses of activities, left over from an earlier call, belong to no graph or another one.
        losses = [item for item in model.losses if getattr(item, "graph", None) is graph]
        return tf.add_n([tf.zeros([]), *(tf.cast(item, tf.float32) for item in losses)])

    try:
        graphs = [call.get_concrete_function(images, training=mode) for mode in (False, True)]
        loss_graph = loss.get_concrete_function()
    except AuthoringError:
        raise
    except Exception as error:
        raise AuthoringError(
            f"the Keras model {model.name} cannot be traced: {type(error).__name__}: {error}"
        ) from error
    used = [variable for graph in graphs for variable in graph.graph.variables]
    # By identity: Keras variables compare by value.
    unique = {id(variable): variable for variable in [*model.variables, *used]}
    return _Traced(
        call,
        loss if loss_graph.graph.variables else None,
        images,
        tuple(unique.values()),
        tuple(model.trainable_variables),
    )


def _images_spec(model: Any) -> tf.TensorSpec:
    if not isinstance(model, tf.keras.Model):
        raise AuthoringError(
            f"an image module is made from a Keras 2 model (tf.keras.Model), not {type(model)}"
        )
    inputs = model.inputs or []
    if len(inputs) != 1:
        raise AuthoringError(
            f"the Keras model {model.name} has {len(inputs)} known inputs: it must be built, from "
            "tf.keras.Input or by Sequential.build, and take images only"
        )
    if any(tf.is_symbolic_tensor(variable.handle) for variable in model.variables):
        raise AuthoringError(
            f"the Keras model {model.name} was built in a TF1 graph, where its weights have no "
            "values: build it in eager mode, and copy the weights with set_weights"
        )
    shape = inputs[0].shape
    if shape.rank != 4 or shape[-1] != 3:
        raise AuthoringError(
            f"the Keras model {model.name} takes {shape}, not images [batch, height, width, 3]"
        )
    return tf.TensorSpec([None, *shape[1:]], tf.float32, name="inputs")


def _check_features(features: Any) -> None:
    one = isinstance(features, tf.Tensor)
    if not one or features.shape.rank != 2 or features.shape[1] is None:
        raise AuthoringError(
            f"the Keras model gives {features.shape if one else features}, not feature vectors "
            "[batch, dim]: end it with pooling or Flatten, and with one output"
        )


# --- TF2 SavedModel ------------------------------------------------------------------------------


def _export_saved_model(
    traced: _Traced, signatures: Sequence[str], export_path: str | os.PathLike[str]
) -> None:
    @tf.function(input_signature=[tf.TensorSpec(traced.images.shape, tf.float32, "images")])  # type: ignore[misc]
    def signature(images: Any) -> Any:
        return {"default": traced.call(images)}

    # Holds the model's variables but not the model: TensorFlow would save each layer of a Keras
    # object with functions of its own, which nobody calls and custom layers may refuse.
    module = tf.train.Checkpoint()
    module.__call__ = traced.call
    module.variables = list(traced.variables)
    module.trainable_variables = list(traced.trainable)
    module.regularization_losses = [traced.loss] if traced.loss else []
    named = dict.fromkeys([*signatures, "serving_default"], signature)
    with staged(export_path) as directory:
        tf.saved_model.save(module, os.fspath(directory), signatures=named)


# --- TF1 hub format ------------------------------------------------------------------------------


def _export_tf1_hub(
    traced: _Traced, signatures: Sequence[str], export_path: str | os.PathLike[str]
) -> None:
    names = _unique_names(traced.variables)
    trainable = {id(variable) for variable in traced.trainable}

    def module_fn(training: bool) -> None:
        new = {
            id(variable): tf.compat.v1.get_variable(
                names[id(variable)],
                variable.shape,
                variable.dtype,
                initializer=tf.compat.v1.zeros_initializer(),
                trainable=id(variable) in trainable,
            )
            for variable in traced.variables
        }
        images = tf.compat.v1.placeholder(tf.float32, traced.images.shape, name="images")
        features, updates = _import(traced.graph(training), [images], new)
        if training:
            keys = tf.compat.v1.GraphKeys
            for update in updates:
                tf.compat.v1.add_to_collection(keys.UPDATE_OPS, update)
            if traced.loss:
                loss, _ = _import(traced.loss.get_concrete_function(), [], new)
                tf.compat.v1.add_to_collection(keys.REGULARIZATION_LOSSES, loss)
        _attach_size(traced.images)
        for name in signatures:
            hub.add_signature(name, {"images": images}, {"default": features})

    values = {names[id(variable)]: variable.numpy() for variable in traced.variables}
    export_with_values(module_fn, values, export_path)


def _import(
    concrete: Any, arguments: Sequence[Any], variables: Mapping[int, Any]
) -> tuple[Any, list[Any]]:
    """Copies a traced function of one output into the current graph.

    Args:
      concrete: the function.
      arguments: tensors that take the place of the arguments.
      variables: id of a variable that the function uses -> what takes the variable's place.

    Returns:
      The output, and the operations that update variables.
    """
    source = concrete.graph
    output = concrete.outputs[0]
    if output.op.type == "Identity":
        # The function's last Identity waits for the updates, which in TF1 run only on demand.
        output = output.op.inputs[0]
    updates = [op for op in source.control_outputs if _UPDATES.fullmatch(op.type)]
    updates.sort(key=lambda op: op.name)  # They come in another order every time.
    handles = {id(variable.handle): variables[id(variable)] for variable in source.variables}
    placed = list(arguments)
    for outside, _ in source.captures:
        if id(outside) in handles:
            placed.append(handles[id(outside)].handle)
        elif outside.dtype == tf.resource:
            raise AuthoringError("the Keras model holds a table or another resource: only weights")
        else:
            placed.append(tf.constant(outside.numpy()))
    imported = tf.graph_util.import_graph_def(
        source.as_graph_def(),
        input_map={there.name: here for there, here in zip(concrete.inputs, placed, strict=True)},
        return_elements=[output.name, *(op.name for op in updates)],
        name="model",
    )
    return imported[0], imported[1:]


def _unique_names(variables: Iterable[Any]) -> dict[int, str]:
    """Names for the variables in a graph: eager ones may share a name, and hold any character."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    for variable in variables:
        wanted = _BAD_IN_NAME.sub("_", variable.name.partition(":")[0]).lstrip("_/-") or "variable"
        name, count = wanted, 0
        while name in taken:
            count += 1
            name = f"{wanted}_{count}"
        taken.add(name)
        names[id(variable)] = name
    return names


def _attach_size(images: tf.TensorSpec) -> None:
    _, height, width, _ = images.shape
    if height and width:
        info = hub.ImageModuleInfo()
        info.default_image_size.height = height
        info.default_image_size.width = width
        hub.attach_image_module_info(info)
