"""A reusable SavedModel that learns: called for training, and written again with other weights.

A tuned module is its parent's files with another checkpoint in ``variables/``: graph, signatures,
assets and what Keras noted are the parent's, byte for byte. ``tf.saved_model.save`` of the loaded
object would wrap every function once more in each generation, and lose Keras' own files.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_hub as hub
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph
from tensorflow.python.framework import op_def_registry

from hub_tfx.errors import AuthoringError, NotAModuleError
from hub_tfx.finetune.training import Inputs
from hub_tfx.module.create.export import staged
from hub_tfx.module.files import SAVED_MODEL
from hub_tfx.module.inspect import call_arguments, inspect
from hub_tfx.module.load import as_input, call_object
from hub_tfx.module.nests import map_arguments, name_outputs, training_constants
from hub_tfx.module.spec import CALL, SignatureSpec, TensorInfo, is_training_flag
from hub_tfx.store.fetch.local import copy_files

_VARIABLES = Path("variables", "variables")
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_VALUE = "VARIABLE_VALUE"
# It holds a hash of the checkpoint, which is another one now; nothing needs it to load a model.
_FINGERPRINT = "fingerprint.pb"


class TunableModule:
    """The callable object of a loaded module, its output that is learned from, and its weights.

    Attributes:
      loaded: what ``hub.load`` gave.
      variables: key in the module's checkpoint -> variable.
      trainable: those variables that the module's author wants trained: its
        ``trainable_variables``, or where it was saved without that list, as a plain tf.Module is,
        all that were made trainable.
      width: size of a vector; None where the module does not say.
    """

    def __init__(self, path: Path, spec: SignatureSpec, source: Path):
        """See ``load_tunable``, which makes it from a seeded ``source``."""
        self._path = path
        self._output = _output(path, spec)
        self.width = _width(path, self._output, spec.outputs[self._output])
        self._arguments = call_arguments(path)
        try:
            self.loaded = hub.load(os.fspath(source))
        except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
            raise NotAModuleError(f"{path}: TensorFlow cannot load it: {error}") from error
        self.variables = _variables_by_key(self.loaded, path)
        held = {id(variable) for variable in self.variables.values()}
        listed = getattr(self.loaded, "trainable_variables", None)
        self.trainable = [
            variable
            for variable in (self.variables.values() if listed is None else listed)
            if variable.trainable or listed is not None
        ]
        if any(id(variable) not in held for variable in self.trainable):
            raise AuthoringError(f"{path}: a trainable variable is not in the module's checkpoint")

    def __call__(self, inputs: Inputs, training: bool) -> Any:
        """Input key -> tensor in, vectors ``[batch, width] float32`` out.

        Raises:
          AuthoringError: ``__call__`` cannot be applied so; ``training`` then tells why.
        """

        def value(key: str, leaf: Any) -> Any:
            if not isinstance(leaf, TensorInfo):
                return leaf
            return training if is_training_flag(key, leaf) else as_input(inputs[key], leaf)

        arguments = map_arguments(self._arguments, value)
        arguments |= dict.fromkeys(training_constants(arguments), training)
        try:
            result = call_object(self.loaded, arguments)
        except ValueError as error:
            reason = str(error).strip().partition("\n")[0]
            raise AuthoringError(
                f"{self._path}: the module cannot be called with training={training}: {reason}"
            ) from error
        return tf.cast(name_outputs(result)[self._output], tf.float32)

    def regularization(self) -> Any:
        """Sum of the module's own losses: a scalar."""
        losses = getattr(self.loaded, "regularization_losses", None) or ()
        return tf.add_n([tf.zeros([]), *(tf.cast(loss(), tf.float32) for loss in losses)])

    def write(self, destination: Path) -> None:
        """Writes the module with its present weights to a new directory.

        Raises:
          OutputError: ``destination`` is taken or cannot be written.
        """
        with staged(destination) as directory:
            _copy_but_variables(self._path, directory)
            values = _checkpoint_values(self._path) | self.variables
            tf.raw_ops.SaveV2(
                prefix=os.fspath(directory / _VARIABLES),
                tensor_names=list(values),
                shape_and_slices=[""] * len(values),
                tensors=[tf.convert_to_tensor(value) for value in values.values()],
            )


@contextmanager
def load_tunable(path: Path, spec: SignatureSpec, seed: int) -> Iterator[TunableModule]:
    """Loads a module whose dropout and other random numbers follow from the seed.

    Args:
      path: its directory.
      spec: of its ``__call__``.
      seed: of random numbers.

    Raises:
      AuthoringError: there are several outputs and none is ``default``, or it is not a vector.
      NotAModuleError: it cannot be loaded.
    """
    with _seeded(path, seed) as source:  # Assets are read from there when the module is saved.
        yield TunableModule(path, spec, source)


def check_tunable(path: Path, signature: str) -> None:
    """Raises AuthoringError unless it is the ``__call__`` of a TF2 SavedModel that is to learn."""
    if inspect(path).format != "saved_model":
        raise AuthoringError(
            f"{path} has the TF1 hub format, which learns in hub_tfx.finetune.tf1_hub.trainer"
        )
    if signature != CALL:
        raise AuthoringError(
            f"{path}: the signature {signature!r} of a TF2 SavedModel cannot be fine-tuned, only "
            f"its callable object {CALL!r}: a signature has no training mode and no losses"
        )


def _output(path: Path, spec: SignatureSpec) -> str:
    if len(spec.outputs) == 1:
        return next(iter(spec.outputs))
    if "default" in spec.outputs:
        return "default"
    raise AuthoringError(
        f"{path}: the module gives {', '.join(spec.outputs)}: one of them must be `default` to be "
        "learned from"
    )


def _width(path: Path, key: str, info: TensorInfo) -> int | None:
    shape = (None, None) if info.shape is None else info.shape
    if len(shape) != 2 or not info.dtype.startswith(("float", "bfloat")):
        raise AuthoringError(
            f"{path}: the output {key!r} is {info}, not one vector of numbers a row: end the "
            "module with pooling or a reshape"
        )
    return shape[1]


def _copy_but_variables(module: Path, directory: Path) -> None:
    for item in sorted(module.iterdir()):
        if item.is_dir():
            (directory / item.name).mkdir()
            if item.name != _VARIABLES.parent.name:
                copy_files(item, directory / item.name)
        elif item.name != _FINGERPRINT:
            shutil.copyfile(item, directory / item.name)


# --- Weights ------------------------------------------------------------------------------------


def _variables_by_key(loaded: Any, path: Path) -> dict[str, Any]:
    """Walks a loaded module beside the object graph in its checkpoint, by the names of children."""
    reader = tf.train.load_checkpoint(os.fspath(path / _VARIABLES))
    nodes = TrackableObjectGraph.FromString(reader.get_tensor(_OBJECT_GRAPH)).nodes
    view = tf.train.TrackableView(loaded)
    variables: dict[str, Any] = {}
    seen = set()
    pending = [(0, loaded)]
    while pending:
        node, item = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        for attribute in nodes[node].attributes:
            if attribute.name == _VALUE and isinstance(item, tf.Variable):
                variables[attribute.checkpoint_key] = item
        children = view.children(item)
        pending += [
            (child.node_id, children[child.local_name])
            for child in nodes[node].children
            if child.local_name in children
        ]
    return dict(sorted(variables.items()))


def _checkpoint_values(path: Path) -> dict[str, Any]:
    """All that a module's checkpoint holds: weights, tables, Keras' optimizer, the object graph."""
    reader = tf.train.load_checkpoint(os.fspath(path / _VARIABLES))
    dtypes = reader.get_variable_to_dtype_map()
    return {key: tf.constant(reader.get_tensor(key), dtypes[key]) for key in sorted(dtypes)}


# --- Random numbers -----------------------------------------------------------------------------


@contextmanager
def _seeded(path: Path, seed: int) -> Iterator[Path]:
    """A directory to load the module from, so that its random numbers are the same every time.

    Modules are traced without seeds as a rule. An op without one draws it when it first runs, and
    neither ``tf.random.set_seed`` nor anything else can tell it which: it must be in the graph.
    """
    file = path / SAVED_MODEL
    message = SavedModel.FromString(file.read_bytes()) if file.exists() else None
    if message is None or not _set_seeds(message, seed):
        yield path
        return
    with tempfile.TemporaryDirectory() as name:
        for item in path.iterdir():
            if item != file:
                Path(name, item.name).symlink_to(item.resolve())
        Path(name, file.name).write_bytes(message.SerializeToString(deterministic=True))
        yield Path(name)


def _set_seeds(message: Any, seed: int) -> int:
    """Gives every random op that has no seed one of its own; returns how many there were."""
    count = 0
    for graph in message.meta_graphs:
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                if _wants_seed(node):
                    count += 1
                    node.attr["seed"].i, node.attr["seed2"].i = seed, count
    return count


def _wants_seed(node: Any) -> bool:
    definition = op_def_registry.get(node.op)
    if definition is None or not {"seed", "seed2"} <= {item.name for item in definition.attr}:
        return False
    attributes: Mapping[str, Any] = node.attr  # Defaults, which are 0, are left out when saved.
    return not any(name in attributes and attributes[name].i for name in ("seed", "seed2"))
