"""Tiny real modules. TensorFlow is imported when one is made."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hub_tfx.module.files import SAVED_MODEL
from hub_tfx.module.spec import ModuleFormat

WORDS = ("the", "cat", "dog", "sat", "on", "mat", "hello", "world")


def text_module(
    path: str | os.PathLike[str],
    format: ModuleFormat = "tf1_hub",
    dim: int = 4,
    vocabulary: Sequence[str] = WORDS,
) -> Path:
    """Exports a text embedding module, in a second, and returns its path.

    Its vectors are random but the same every time: ``text_vectors(vocabulary, dim)``.
    """
    from hub_tfx.module.create import text_embedding_module

    vectors = text_vectors(vocabulary, dim)
    return text_embedding_module(vocabulary, vectors, path, format=format).path


def text_vectors(vocabulary: Sequence[str] = WORDS, dim: int = 4) -> list[list[float]]:
    """``[len(vocabulary), dim]``: the vectors of ``text_module``."""
    import numpy as np

    numbers = np.random.default_rng(0).normal(size=(len(vocabulary), dim))
    vectors: list[list[float]] = numbers.astype(np.float32).tolist()
    return vectors


def image_module(
    path: str | os.PathLike[str], format: ModuleFormat = "tf1_hub", size: int = 8, dim: int = 4
) -> Path:
    """Exports an image feature module of ``size`` x ``size`` pixels, and returns its path.

    It has what the real ones have: convolution, batch normalization, dropout, a weight loss.
    """
    import tensorflow as tf

    from hub_tfx.module.create import image_feature_module
    from hub_tfx.module.create.export import eagerly

    layers = tf.keras.layers

    def weights(seed: int) -> tf.keras.initializers.Initializer:
        return tf.keras.initializers.GlorotUniform(seed)

    with eagerly():
        model = tf.keras.Sequential(
            [
                layers.Input([size, size, 3]),
                layers.Conv2D(
                    dim, 3, kernel_initializer=weights(1), kernel_regularizer="l2", name="conv"
                ),
                layers.BatchNormalization(name="norm"),
                layers.Dropout(0.5, name="drop"),
                layers.GlobalAveragePooling2D(name="pool"),
                layers.Dense(dim, kernel_initializer=weights(2), name="features"),
            ]
        )
    return image_feature_module(model, path, format=format).path


def minimal_module(path: str | os.PathLike[str], dim: int = 4) -> Path:
    """Writes the least that passes for a text module, in a millisecond, and returns its path.

    It has a signature (string ``[batch]`` -> float32 ``[batch, dim]``) and no graph behind it: for
    tests that move modules about and never run them.
    """
    from tensorboard.compat.proto import types_pb2

    from hub_tfx.module.proto import saved_model_class

    saved_model: Any = saved_model_class()(saved_model_schema_version=1)
    graph = saved_model.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    signature = graph.signature_def["serving_default"]
    text, vectors = signature.inputs["text"], signature.outputs["default"]
    text.name, text.dtype = "text:0", types_pb2.DT_STRING
    text.tensor_shape.dim.add(size=-1)
    vectors.name, vectors.dtype = "vectors:0", types_pb2.DT_FLOAT
    for size in (-1, dim):
        vectors.tensor_shape.dim.add(size=size)
    path = Path(path)
    (path / "variables").mkdir(parents=True)
    (path / SAVED_MODEL).write_bytes(saved_model.SerializeToString(deterministic=True))
    (path / "variables" / "variables.index").write_bytes(b"no variables")
    return path
