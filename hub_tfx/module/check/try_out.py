"""Loads a module, or runs it once on a made-up input: the child process of hermetic.py.

python -m hub_tfx.module.check.try_out DIRECTORY WANTED RESULT_FILE

where WANTED is the JSON of ``try_out``'s other arguments.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hub_tfx._quiet import quiet_libraries
from hub_tfx.errors import SignatureError
from hub_tfx.module.child import answer
from hub_tfx.module.inspect import inspect
from hub_tfx.module.spec import ModuleSpec, SignatureSpec, TensorInfo

_BATCH = 2  # Not 1: a graph that knows one row only would pass.
_PIXELS = 224  # Height and width where an image module takes any: small ones fail in deep networks.
_LENGTH = 8  # Of any other dimension that is open.
_TEXT = "The cat sat on the mat."


def main(directory: str, wanted: str, result_file: str) -> None:
    """Writes {"passed": bool, "why": str} to ``result_file``; errors of the module are results."""
    quiet_libraries()
    answer(result_file, lambda: {"why": try_out(directory, **json.loads(wanted))})


def try_out(
    directory: str,
    signatures: Sequence[str] | None = None,
    imports: Sequence[str] = (),
    tags: Sequence[str] = (),
) -> str:
    """Loads signatures of a module, or runs one, and says what came of it.

    Args:
      directory: the module's.
      signatures: those to load; None to load and run the default one.
      imports: packages to import first.
      tags: of the graph; none for the one for inference.

    Raises:
      HubTfxError: a package cannot be imported, or a signature cannot be loaded.
      ValueError: it gave something else than its signature says.
      Exception: whatever running it raises.
    """
    from hub_tfx.module.load import import_packages, load

    import_packages(imports)
    if signatures is not None:
        for name in signatures:
            load(directory, name, tags=tags)
        return f"it loads with {', '.join(signatures)}"
    name = _signature(inspect(directory).tagged(tags))
    module = load(directory, name, tags=tags)
    inputs = {key: example(info) for key, info in module.signature_spec.inputs.items()}
    outputs = module(inputs)
    _check_outputs(outputs, module.signature_spec)
    gave = ", ".join(f"{key} {_described(value)}" for key, value in sorted(outputs.items()))
    return f"{name} gave {gave}"


def example(info: TensorInfo) -> Any:
    """A tensor that a signature says it takes: two rows of a sentence, of zeros or of grey."""
    import tensorflow as tf

    shape = example_shape(info)
    dtype = tf.as_dtype(info.dtype)
    value: Any = _TEXT if dtype == tf.string else 0.5 if dtype.is_floating else 0
    dense = tf.fill(shape, tf.cast(value, dtype))
    if info.kind == "sparse":
        return tf.sparse.from_dense(dense)
    if info.kind == "ragged":
        return tf.RaggedTensor.from_tensor(dense, ragged_rank=info.ragged_rank)
    return dense


def _signature(spec: ModuleSpec) -> str:
    try:
        return spec.default_signature
    except SignatureError:
        return min(spec.signatures)


def example_shape(info: TensorInfo, rows: int = _BATCH) -> list[int]:
    """A shape that an input takes; one of unknown rank is taken to be ``[batch]``."""
    shape = (None,) if info.shape is None else info.shape
    open_size = _PIXELS if info.is_image else _LENGTH
    return [
        size if size is not None else rows if position == 0 else open_size
        for position, size in enumerate(shape)
    ]


def _check_outputs(outputs: Mapping[str, Any], signature: SignatureSpec) -> None:
    for key, info in signature.outputs.items():
        if key not in outputs:
            raise ValueError(f"the signature promises {key}, but it gave {sorted(outputs)}")
        value = outputs[key]
        if info.kind != "dense" or info.shape is None:
            continue
        if value.dtype.name != info.dtype or not value.shape.is_compatible_with(info.shape):
            raise ValueError(f"the signature promises {key} {info}, but gave {_described(value)}")


def _described(value: Any) -> str:
    dtype = getattr(getattr(value, "dtype", None), "name", type(value).__name__)
    shape = getattr(value, "shape", None)
    return f"{dtype}{'' if shape is None else list(shape)}"


if __name__ == "__main__":
    main(*sys.argv[1:])
