"""Module directory -> one callable, the same for both formats.

The one place in this folder that runs a graph.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_hub as hub

from hub_tfx.errors import NotAModuleError
from hub_tfx.module.inspect import call_arguments, inspect
from hub_tfx.module.spec import (
    CALL,
    ModuleSpec,
    SignatureSpec,
    TensorInfo,
    map_arguments,
    name_outputs,
)


class LoadedModule:
    """One signature of a loaded module: call it with a dict of tensors, get a dict of tensors.

    Attributes:
      spec: of the whole module.
      signature: the name of the signature that is called.
    """

    def __init__(self, path: str | os.PathLike[str], signature: str | None = None):
        """Loads the variant for inference.

        Args:
          path: the module's directory.
          signature: its name, ``__call__`` for the callable object; the default one if None.

        Raises:
          NotAModuleError: the directory holds no module, or one that TensorFlow cannot load.
          SignatureError: the module has no such signature.
        """
        self.spec: ModuleSpec = inspect(path)
        self.signature = signature or self.spec.default_signature
        self.signature_spec: SignatureSpec = self.spec.signature(self.signature)
        self._loaded = _load(Path(path))
        if self.signature == CALL:
            self._arguments = call_arguments(path)
            self._function = self._call_object
        else:
            self._function = self._call_signature

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Runs the signature without training behaviour.

        Args:
          inputs: input key -> tensor or what converts to one; SparseTensor or RaggedTensor where
            the signature has them.

        Returns:
          output key -> eager tensor.
        """
        infos = self.signature_spec.inputs
        tensors = {key: _tensor(value, infos[key]) for key, value in inputs.items()}
        return name_outputs(self._function(tensors))

    def _call_signature(self, tensors: Mapping[str, Any]) -> Any:
        arguments: dict[str, Any] = {}
        for key, tensor in tensors.items():
            if isinstance(tensor, tf.SparseTensor):  # hub.load takes its three parts for `key`.
                arguments[f"{key}_indices"] = tensor.indices
                arguments[f"{key}_values"] = tensor.values
                arguments[f"{key}_dense_shape"] = tensor.dense_shape
            else:
                arguments[key] = tensor
        return self._loaded.signatures[self.signature](**arguments)

    def _call_object(self, tensors: Mapping[str, Any]) -> Any:
        def value(key: str, leaf: Any) -> Any:
            return tensors[key] if isinstance(leaf, TensorInfo) else leaf

        return self._loaded(**map_arguments(self._arguments, value))


def _tensor(value: Any, info: TensorInfo) -> Any:
    if info.kind == "dense":
        return tf.convert_to_tensor(value, info.dtype)
    return tf.cast(value, info.dtype)


def load(path: str | os.PathLike[str], signature: str | None = None) -> LoadedModule:
    """Loads a module's directory; see LoadedModule."""
    return LoadedModule(path, signature)


def _load(path: Path) -> Any:
    try:
        return hub.load(str(path))
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NotAModuleError(f"{path}: TensorFlow cannot load it: {reason}") from error
