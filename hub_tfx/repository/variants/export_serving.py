"""Module directory -> SavedModel tagged ``serve`` with ``serving_default``. Runs TensorFlow."""

import os
import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_hub import saved_model_lib

from hub_tfx.errors import NotAModuleError, SignatureError, VariantError
from hub_tfx.module.create.export import canonicalize
from hub_tfx.module.files import SAVED_MODEL, SAVED_MODEL_TEXT
from hub_tfx.module.inspect import inspect
from hub_tfx.module.load import LoadedModule, load
from hub_tfx.module.proto import read_graphs, saved_model_class
from hub_tfx.module.spec import CALL, ModuleSpec, SignatureSpec

SIGNATURE = "serving_default"
TAG = "serve"
_PREDICT = "tensorflow/serving/predict"
"""Method of a signature, without which TensorFlow Serving and BulkInferrer do not call it."""
_FINGERPRINT = "fingerprint.pb"
"""Has a number that is another one each time, and is optional."""


def export_serving(module: Path, directory: Path, signature: str | None = None) -> str:
    """Writes the SavedModel, and returns the name of the module's signature that is served.

    Raises:
      SignatureError: the module does not have this signature, or several and none is named.
      NotAModuleError: TensorFlow cannot load the module.
      Exception: whatever TensorFlow raises where it cannot write what it has loaded.
    """
    spec = inspect(module)
    name = signature or served_signature(spec)
    spec.signature(name)
    if spec.format == "tf1_hub":
        _from_tf1_hub(module, spec, name, directory)
    elif spec.tags[0] == (TAG,) and name == SIGNATURE:
        shutil.copytree(module, directory, dirs_exist_ok=True)
    elif _graph(module, spec).object_graph_def.nodes:
        _saved_again(module, name, directory)
    else:
        _relabelled(module, spec, name, directory)
    return name


def load_serving(directory: Path) -> LoadedModule:
    """What a server would load.

    Raises:
      VariantError: it cannot be loaded.
      SignatureError: there is no graph with this tag, or not this signature.
    """
    try:
        return load(directory, SIGNATURE, tags=(TAG,))
    except NotAModuleError as error:
        reason = str(error).removeprefix(f"{directory}: TensorFlow cannot load it: ")
        raise VariantError(f"what was written cannot be loaded: {reason}") from error


def served_signature(spec: ModuleSpec) -> str:
    """The signature of a module that is served where none is named; raises SignatureError."""
    return SIGNATURE if SIGNATURE in spec.signatures else spec.default_signature


def _graph(module: Path, spec: ModuleSpec) -> Any:
    return next(
        graph
        for graph in read_graphs(module)
        if tuple(sorted(graph.meta_info_def.tags)) == spec.tags[0]
    )


def _from_tf1_hub(module: Path, spec: ModuleSpec, name: str, directory: Path) -> None:
    """The graph for inference in a session, with its weights, written by TF1's own builder."""
    # What hub.Module does inside; by itself it would copy the graph for each signature.
    graph = saved_model_lib.load(os.fspath(module)).get_meta_graph_copy(set(spec.tags[0]))
    tf1 = tf.compat.v1
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.train.import_meta_graph(graph)
        if variables := tf1.global_variables():
            weights = saved_model_lib.get_variables_path(os.fspath(module))
            tf1.train.Saver(variables).restore(session, weights)
        builder = tf1.saved_model.Builder(os.fspath(directory))
        builder.add_meta_graph_and_variables(
            session,
            [TAG],
            _with_method(dict(graph.signature_def), name),
            assets_collection=tf1.get_collection(tf1.GraphKeys.ASSET_FILEPATHS),
            main_op=tf1.tables_initializer(),
        )
        builder.save()
    canonicalize(directory / SAVED_MODEL)


def _with_method(signatures: dict[str, Any], name: str) -> dict[str, Any]:
    signatures[SIGNATURE] = type(signatures[name]).FromString(signatures[name].SerializeToString())
    for signature in signatures.values():
        signature.method_name = _PREDICT
    return signatures


def _saved_again(module: Path, name: str, directory: Path) -> None:
    """The objects of a TF2 SavedModel with one more signature."""
    loaded = load(module, name)
    inputs = _dense_inputs(loaded.signature_spec)
    kept = dict(loaded.loaded.signatures)
    served = _callable(loaded, inputs) if name == CALL else kept[name]
    tf.saved_model.save(loaded.loaded, os.fspath(directory), signatures={**kept, SIGNATURE: served})
    (directory / _FINGERPRINT).unlink(missing_ok=True)


def _callable(loaded: LoadedModule, inputs: dict[str, Any]) -> Any:
    """The callable object as a signature: its inputs by key, without the one for training."""

    @tf.function(input_signature=[inputs])  # type: ignore[misc]
    def served(inputs: Any) -> Any:
        return loaded(inputs)

    return served


def _dense_inputs(signature: SignatureSpec) -> dict[str, Any]:
    for key, info in signature.fed_inputs.items():
        if info.kind != "dense":
            raise SignatureError(
                f"its input {key} is a {info.kind} tensor, which has no place in a request to a "
                "server: name a signature that takes dense ones"
            )
    return {
        key: tf.TensorSpec(info.shape, info.dtype, name=key)
        for key, info in signature.fed_inputs.items()
    }


def _relabelled(module: Path, spec: ModuleSpec, name: str, directory: Path) -> None:
    """A SavedModel of TF1, in which a server needs nothing but other labels."""
    saved_model: Any = saved_model_class()(saved_model_schema_version=1)
    graph = saved_model.meta_graphs.add()
    graph.CopyFrom(_graph(module, spec))
    del graph.meta_info_def.tags[:]
    graph.meta_info_def.tags.append(TAG)
    graph.signature_def[SIGNATURE].CopyFrom(graph.signature_def[name])
    graph.signature_def[SIGNATURE].method_name = _PREDICT
    left_out = shutil.ignore_patterns(SAVED_MODEL, SAVED_MODEL_TEXT, _FINGERPRINT)
    shutil.copytree(module, directory, ignore=left_out, dirs_exist_ok=True)
    (directory / SAVED_MODEL).write_bytes(saved_model.SerializeToString(deterministic=True))
