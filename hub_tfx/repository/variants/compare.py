"""Rows to try a variant with, and how far what it gives is from what the module gives."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from hub_tfx.module.check.try_out import example_shape
from hub_tfx.module.load import load
from hub_tfx.module.spec import SignatureSpec, TensorInfo

_ROWS = 5
_TEXTS = ("The cat sat on the mat.", "", "  Crème brûlée, 7 €!\n", "hello WORLD", "zzzunheardof")
_SEED = 0


def probe_rows(signature: SignatureSpec, words: Sequence[str] = ()) -> dict[str, Any]:
    """Made-up rows that differ, the same every time: input key -> tensor.

    Args:
      signature: what takes them.
      words: that the module is known to know, which the texts end with.
    """
    random = np.random.default_rng(_SEED)
    return {
        key: _probe(info, [f"{text} {' '.join(words)}" for text in _TEXTS], random)
        for key, info in signature.fed_inputs.items()
    }


def _probe(info: TensorInfo, texts: Sequence[str], random: np.random.Generator) -> Any:
    shape = example_shape(info, _ROWS)
    dtype = tf.as_dtype(info.dtype)
    if dtype == tf.string:
        count = int(np.prod(shape))
        dense = tf.reshape([texts[i % len(texts)] for i in range(count)], shape)
    elif dtype.is_floating:
        dense = tf.cast(random.uniform(size=shape), dtype)
    else:
        dense = tf.cast(random.integers(0, 2, shape), dtype)
    if info.kind == "sparse":
        return tf.sparse.from_dense(dense)
    if info.kind == "ragged":
        return tf.RaggedTensor.from_tensor(dense, ragged_rank=info.ragged_rank)
    return dense


def compare_with(
    module: Path,
    signature: str,
    probes: Mapping[str, Any],
    outputs: Mapping[str, Any],
    allowed: float,
) -> float:
    """The largest difference of outputs from those of a module that is fed the same.

    Args:
      module: its directory.
      signature: its signature that is called.
      probes: what it is fed; a module with one input takes it under whatever key.
      outputs: what the variant gave.
      allowed: largest difference, as a share of the output's largest number.

    Raises:
      ValueError: a number differs by more, or anything else differs at all.
    """
    loaded = load(module, signature)
    expected = loaded(probes)
    if missing := sorted(expected.keys() ^ outputs.keys()):
        raise ValueError(f"the outputs {', '.join(missing)} are not both the module's and its own")
    return max((_difference(k, expected[k], outputs[k], allowed) for k in expected), default=0.0)


def _difference(key: str, expected: Any, given: Any, allowed: float) -> float:
    expected, given = _array(expected), _array(given)
    if expected.shape != given.shape:
        raise ValueError(
            f"output {key} has shape {list(given.shape)} and {list(expected.shape)} in the module"
        )
    if not np.issubdtype(expected.dtype, np.inexact):
        if not np.array_equal(expected, given):
            raise ValueError(f"output {key} is not what the module gives for the same rows")
        return 0.0
    finite = np.isfinite(expected)
    if not np.array_equal(expected[~finite], given[~finite], equal_nan=True):
        raise ValueError(f"output {key} has NaN or infinity in other places than the module")
    if not finite.any():
        return 0.0
    found = float(np.max(np.abs(expected[finite] - given[finite])))
    if not found <= allowed * float(np.max(np.abs(expected[finite]))):
        raise ValueError(f"output {key} differs from the module's by up to {found:.3g}")
    return found


def _array(value: Any) -> Any:
    """The numbers of a tensor of any kind; complex where they are, otherwise of double length."""
    if isinstance(value, tf.RaggedTensor | tf.SparseTensor):
        flat = tf.nest.flatten(value, expand_composites=True)
        value = flat[1] if isinstance(value, tf.SparseTensor) else flat[0]
    array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    if np.issubdtype(array.dtype, np.complexfloating):
        return array
    is_float = np.issubdtype(array.dtype, np.floating) or array.dtype.name == "bfloat16"
    return array.astype(np.float64) if is_float else array
