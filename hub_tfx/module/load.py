"""Module directory -> one callable, the same for both formats.

The one place in this folder that runs a graph.
"""

import importlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_hub as hub
from tensorflow.python.framework import type_spec_registry
from tensorflow.python.framework.extension_type import AnonymousExtensionType

from hub_tfx.errors import ConfigError, NotAModuleError
from hub_tfx.module.inspect import call_arguments, inspect, signature_parts
from hub_tfx.module.nests import Record, call_with, map_arguments, name_outputs
from hub_tfx.module.spec import CALL, ModuleSpec, SignatureSpec, TensorInfo, fed_by


class LoadedModule:
    """One signature of a loaded module: call it with a dict of tensors, get a dict of tensors.

    Attributes:
      spec: of the whole module.
      signature: the name of the signature that is called.
      preprocessor: the module whose outputs feed this one, or None.
      loaded: what TensorFlow Hub gave.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        signature: str | None = None,
        preprocessor: "LoadedModule | None" = None,
        tags: Iterable[str] | None = None,
    ):
        """Loads one variant.

        Args:
          path: the module's directory.
          signature: its name, ``__call__`` for the callable object; the default one if None.
          preprocessor: a module that takes the inputs in this one's place, and feeds it.
          tags: of the variant; None for the one for inference.

        Raises:
          NotAModuleError: the directory holds no module, or one that TensorFlow cannot load.
          SignatureError: the module has no such tag set or signature, or the preprocessor cannot
            feed it.
        """
        self.spec: ModuleSpec = inspect(path).tagged(tags)
        self.signature = signature or self.spec.default_signature
        self.signature_spec: SignatureSpec = self.spec.signature(self.signature)
        infos = self.signature_spec.inputs
        self._flags = dict.fromkeys(infos.keys() - self.signature_spec.fed_inputs.keys(), False)
        self.preprocessor = preprocessor
        self._fed_by = (
            fed_by(self.signature_spec, preprocessor.signature_spec) if preprocessor else {}
        )
        self.loaded = _load(Path(path), self.spec)
        if self.signature == CALL:
            self._arguments = call_arguments(path)
            self._function = self._call_object
        else:
            self._parts = signature_parts(path, self.signature, self.spec.tags[0])
            self._function = self._call_signature

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Runs the signature without training behaviour.

        Args:
          inputs: input key -> tensor or what converts to one; SparseTensor or RaggedTensor where
            the signature has them. Those of the preprocessor where there is one. An input that
            switches training behaviour on may be left out.

        Returns:
          output key -> eager tensor.
        """
        if self.preprocessor is not None:
            preprocessed = self.preprocessor(inputs)
            inputs = {key: preprocessed[output] for key, output in self._fed_by.items()}
        infos = self.signature_spec.inputs
        given = self._flags | dict(inputs)
        tensors = {key: as_input(value, infos[key]) for key, value in given.items()}
        return name_outputs(self._function(tensors))

    def _call_signature(self, tensors: Mapping[str, Any]) -> Any:
        arguments: dict[str, Any] = {}
        for key, tensor in tensors.items():
            # Their parts are what a signature takes.
            if key in self._parts:
                parts = tf.nest.flatten(tensor, expand_composites=True)
                arguments |= zip(self._parts[key].parts, parts, strict=True)
            elif isinstance(tensor, tf.SparseTensor):
                arguments[f"{key}_indices"] = tensor.indices
                arguments[f"{key}_values"] = tensor.values
                arguments[f"{key}_dense_shape"] = tensor.dense_shape
            elif isinstance(tensor, tf.RaggedTensor):
                for n, part in enumerate(tf.nest.flatten(tensor, expand_composites=True)):
                    arguments[f"{key}_component_{n}"] = part
            else:
                arguments[key] = tensor
        return self.loaded.signatures[self.signature](**arguments)

    def _call_object(self, tensors: Mapping[str, Any]) -> Any:
        def value(key: str, leaf: Any) -> Any:
            return tensors[key] if isinstance(leaf, TensorInfo) else leaf

        arguments = map_arguments(self._arguments, value)
        return call_object(self.loaded, arguments)


def call_object(loaded: Any, arguments: Mapping[str, Any]) -> Any:
    """Calls a loaded object with nests of tensors, as ``map_arguments`` makes them."""
    given = {name: _with_extension_types(nest) for name, nest in arguments.items()}
    return call_with(loaded, given)


def as_input(value: Any, info: TensorInfo) -> Any:
    """A tensor, or what converts to one, with the dtypes of an input."""
    if info.kind == "dense":
        return tf.convert_to_tensor(value, info.dtype)
    if info.kind == "ragged":
        value = value.with_row_splits_dtype(info.row_splits)
    return value if value.dtype == info.dtype else tf.cast(value, info.dtype)


def _with_extension_types(nest: Any) -> Any:
    """The nest with an ExtensionType for each Record: of its own class if that is registered."""
    if isinstance(nest, Record):
        try:
            extension_type = type_spec_registry.lookup(nest.type).value_type
        except ValueError:
            extension_type = AnonymousExtensionType
        return extension_type(**{name: _with_extension_types(v) for name, v in nest.items()})
    if isinstance(nest, dict):
        return {name: _with_extension_types(value) for name, value in nest.items()}
    if isinstance(nest, (list, tuple)) and not hasattr(nest, "_fields"):
        return type(nest)(_with_extension_types(value) for value in nest)
    return nest


def load(
    path: str | os.PathLike[str],
    signature: str | None = None,
    preprocessor: LoadedModule | None = None,
    tags: Iterable[str] | None = None,
) -> LoadedModule:
    """Loads a module's directory; see LoadedModule."""
    return LoadedModule(path, signature, preprocessor, tags)


def import_packages(names: Iterable[str]) -> None:
    """Imports packages that register what a module needs, such as its ops.

    Raises:
      ConfigError: one cannot be imported.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            raise ConfigError(
                f"the package {name} (--import) cannot be imported: {type(error).__name__}: "
                f"{error}; install it where the module is run"
            ) from error


def _load(path: Path, spec: ModuleSpec) -> Any:
    """Loads the spec's first variant."""
    tags = list(spec.tags[0]) if len(spec.variants) > 1 else None
    try:
        return hub.load(str(path), tags)
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, tf.errors.OpError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if "not registered" in reason or "has been registered" in reason:
            reason += " (import the package that registers it first: --import PACKAGE)"
        raise NotAModuleError(f"{path}: TensorFlow cannot load it: {reason}") from error
