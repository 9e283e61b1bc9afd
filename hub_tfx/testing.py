"""Tiny real modules for tests, ours and yours. Everything heavy is imported when it is used."""

import os
from collections.abc import Sequence
from pathlib import Path

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

    layers = tf.keras.layers

    def weights(seed: int) -> tf.keras.initializers.Initializer:
        return tf.keras.initializers.GlorotUniform(seed)

    with tf.init_scope():
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
