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

from hub_tfx.errors import ConfigError, NotAModuleError
from hub_tfx.module.inspect import call_arguments, inspect
from hub_tfx.module.spec import (
    CALL,
    ModuleSpec,
    SignatureSpec,
    TensorInfo,
    fed_by,
    map_arguments,
    name_outputs,
)


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
    ):
        """Loads the variant for inference.

        Args:
          path: the module's directory.
          signature: its name, ``__call__`` for the callable object; the default one if None.
          preprocessor: a module that takes the inputs in this one's place, and feeds it.

        Raises:
          NotAModuleError: the directory holds no module, or one that TensorFlow cannot load.
          SignatureError: the module has no such signature, or the preprocessor cannot feed it.
        """
        self.spec: ModuleSpec = inspect(path)
        self.signature = signature or self.spec.default_signature
        self.signature_spec: SignatureSpec = self.spec.signature(self.signature)
        infos = self.signature_spec.inputs
        self._flags = dict.fromkeys(infos.keys() - self.signature_spec.fed_inputs.keys(), False)
        self.preprocessor = preprocessor
        self._fed_by = (
            fed_by(self.signature_spec, preprocessor.signature_spec) if preprocessor else {}
        )
        self.loaded = _load(Path(path))
        if self.signature == CALL:
            self._arguments = call_arguments(path)
            self._function = self._call_object
        else:
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
        tensors = {key: _tensor(value, infos[key]) for key, value in given.items()}
        return name_outputs(self._function(tensors))

    def _call_signature(self, tensors: Mapping[str, Any]) -> Any:
        arguments: dict[str, Any] = {}
        for key, tensor in tensors.items():
            # hub.load takes their parts for `key`.
            if isinstance(tensor, tf.SparseTensor):
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

        return self.loaded(**map_arguments(self._arguments, value))


def _tensor(value: Any, info: TensorInfo) -> Any:
    if info.kind == "dense":
        return tf.convert_to_tensor(value, info.dtype)
    if info.kind == "ragged":
        value = value.with_row_splits_dtype(info.row_splits)
    return value if value.dtype == info.dtype else tf.cast(value, info.dtype)


def load(
    path: str | os.PathLike[str],
    signature: str | None = None,
    preprocessor: LoadedModule | None = None,
) -> LoadedModule:
    """Loads a module's directory; see LoadedModule."""
    return LoadedModule(path, signature, preprocessor)


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


def _load(path: Path) -> Any:
    try:
        return hub.load(str(path))
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if "not registered" in reason or "has been registered" in reason:
            reason += " (import the package that registers it first: --import PACKAGE)"
        raise NotAModuleError(f"{path}: TensorFlow cannot load it: {reason}") from error
