"""Small modules with the signatures of real ones, in either format."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_hub as hub

from hub_tfx.module.create import module
from hub_tfx.module.spec import ModuleFormat

SEQUENCE = 6
WIDTH = 4
TOKENS = {
    name: tf.TensorSpec([None, None], tf.int32, name)
    for name in ("input_mask", "input_type_ids", "input_word_ids")
}


def save(
    path: str | Path,
    function: Callable[..., Any],
    inputs: Mapping[str, Any],
    format: ModuleFormat = "saved_model",
    attach: Callable[[], None] = lambda: None,
) -> str:
    """Exports ``function(**inputs)``, which gives a tensor or a dict of tensors.

    Args:
      inputs: name -> TypeSpec. Of a saved_model they are positional arguments of ``__call__``.
      attach: called while the graph of a tf1_hub module is built.
    """
    if format == "tf1_hub":

        def module_fn() -> None:
            attach()
            placeholders = {name: _placeholder(spec) for name, spec in inputs.items()}
            hub.add_signature(None, placeholders, function(**placeholders))

        module(module_fn, None, path)
        return str(path)
    saved = tf.Module()
    saved.__call__ = tf.function(function, input_signature=list(inputs.values()))
    tf.saved_model.save(saved, str(path))
    return str(path)


def preprocessor(path: str | Path, format: ModuleFormat = "saved_model") -> str:
    """Text to hashed words, as many a row as ``SEQUENCE``."""

    def function(text: Any) -> dict[str, Any]:
        words = tf.strings.split(text).to_tensor(b"")
        there = tf.cast(tf.not_equal(words, b""), tf.int32)
        ids = tf.cast(tf.strings.to_hash_bucket_fast(words, 50), tf.int32) * there
        ids, mask = (
            tf.pad(t[:, :SEQUENCE], [[0, 0], [0, SEQUENCE]])[:, :SEQUENCE] for t in (ids, there)
        )
        tokens = dict(zip(sorted(TOKENS), (mask, tf.zeros_like(ids), ids), strict=True))
        return {name: tf.ensure_shape(t, [None, SEQUENCE]) for name, t in tokens.items()}

    return save(path, function, {"text": tf.TensorSpec([None], tf.string, "text")}, format)


def encoder(path: str | Path, format: ModuleFormat = "saved_model") -> str:
    """Tokens to what a transformer gives; ``__call__`` takes them as one dict."""

    def function(tokens: Mapping[str, Any]) -> dict[str, Any]:
        table = tf.reshape(tf.sin(tf.range(50.0 * WIDTH)), [50, WIDTH])
        mask = tf.cast(tokens["input_mask"], tf.float32)[:, :, None]
        sequence = tf.gather(table, tokens["input_word_ids"]) * mask
        pooled = tf.reduce_sum(sequence, axis=1)
        return {"default": pooled, "pooled_output": tf.tanh(pooled), "sequence_output": sequence}

    if format == "tf1_hub":
        return save(path, lambda **tokens: function(tokens), TOKENS, format)
    saved = tf.Module()
    saved.__call__ = tf.function(function, input_signature=[TOKENS])
    tf.saved_model.save(saved, str(path))
    return str(path)


def _placeholder(spec: Any) -> Any:
    v1 = tf.compat.v1
    if isinstance(spec, tf.SparseTensorSpec):
        return v1.sparse_placeholder(spec.dtype, spec.shape)
    if isinstance(spec, tf.RaggedTensorSpec):
        inner = spec.shape[spec.ragged_rank + 1 :]
        return v1.ragged.placeholder(spec.dtype, spec.ragged_rank, inner)
    return v1.placeholder(spec.dtype, spec.shape)
