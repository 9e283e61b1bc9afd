"""scikit-learn's handwritten digits, and a network that learns them.

The 1,797 images of 8 x 8 pixels come with scikit-learn: the test part of Alpaydin and Kaynak's
"Optical Recognition of Handwritten Digits" (UCI Machine Learning Repository, 1998).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from sklearn.datasets import load_digits

OLD, NEW = range(5), range(5, 10)
"""The digits that the module is made from, and those that it is transferred to."""

_SIZE = 8
_BATCH = 64
_HELD_OUT = 0.1
_TURNS = 4


@dataclass(frozen=True)
class Digits:
    """Images and what they show.

    Attributes:
      images: ``[rows, 8, 8] uint8``.
      labels: ``[rows] int64``, 0 to 9.
    """

    images: Any
    labels: Any

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> "Digits":
        return Digits(self.images[rows], self.labels[rows])

    def of(self, digits: Sequence[int]) -> "Digits":
        """Those of some digits only."""
        return self[np.isin(self.labels, digits)]

    def split(self, per_class: int, seed: int) -> tuple["Digits", "Digits"]:
        """So many rows of each digit, drawn by the seed, and all others."""
        shuffled = np.random.default_rng(seed).permutation(len(self))
        drawn = np.concatenate(
            [shuffled[self.labels[shuffled] == label][:per_class] for label in set(self.labels)]
        )
        return self[np.sort(drawn)], self[np.setdiff1d(shuffled, drawn)]

    def pixels(self) -> Any:
        """``[rows, 8, 8, 3] float32`` in [0, 1]: what an image module takes."""
        return np.repeat(self.images[..., None] / 255, 3, axis=-1).astype(np.float32)

    def write_parquet(self, path: str | os.PathLike[str]) -> None:
        """Columns ``image``, a PNG file, and ``digit``."""
        files = [tf.io.encode_png(image[..., None]).numpy() for image in self.images]
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"image": files, "digit": self.labels}), path)


def read_digits() -> Digits:
    """All 1,797 of them."""
    bunch = load_digits()
    # Grey in 17 steps, counted from 0.
    return Digits(np.round(bunch.images * (255 / 16)).astype(np.uint8), bunch.target)


def feature_network(seed: int) -> Any:
    """A convolutional network with fresh weights: images ``[batch, 8, 8, 3]`` to 256 features."""
    tf.keras.utils.set_random_seed(seed)
    layers = tf.keras.layers
    stack = [tf.keras.Input((_SIZE, _SIZE, 3))]
    for filters in (32, 64):
        for _ in range(2):
            stack += [
                layers.Conv2D(filters, 3, padding="same", use_bias=False),
                # The default of 0.99 is for thousands of steps.
                layers.BatchNormalization(momentum=0.9),
                layers.ReLU(),
            ]
        stack.append(layers.MaxPool2D())
    return tf.keras.Sequential([*stack, layers.Flatten()], name="digits")


def learn_features(digits: Digits, *, epochs: int = 60, seed: int = 0) -> tuple[Any, float]:
    """Trains the network to name digits, so that its features are of use for other images too.

    Five digits are few to learn to see from. So an image that is turned by one, two or three
    quarters counts as another class, which makes four of each digit (the idea is that of Santoro
    et al., "Meta-Learning with Memory-Augmented Neural Networks", ICML 2016), and each time that
    the network sees an image, it is moved, tilted, stretched and has noise on it.

    Returns:
      The network without its head, and the head's accuracy on a tenth of the images, held out.
    """
    rows = np.random.default_rng(seed).permutation(len(digits))
    at = int(len(digits) * _HELD_OUT)
    held_out, train = digits[rows[:at]], digits[rows[at:]]
    features = feature_network(seed)
    classes = int(digits.labels.max()) + 1
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            layers.RandomRotation(0.04, fill_mode="constant"),
            layers.RandomTranslation(0.12, 0.12, fill_mode="constant"),
            layers.RandomZoom((-0.15, 0.15), (-0.15, 0.15), fill_mode="constant"),
            layers.GaussianNoise(0.15),
            features,
            layers.Dense(_TURNS * classes),
        ]
    )
    steps = epochs * _TURNS * len(train) // _BATCH
    model.compile(
        tf.keras.optimizers.legacy.Adam(tf.keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    images = [np.rot90(train.pixels(), turn, (1, 2)) for turn in range(_TURNS)]
    labels = [train.labels + turn * classes for turn in range(_TURNS)]
    model.fit(np.concatenate(images), np.concatenate(labels), _BATCH, epochs=epochs, verbose=0)
    upright = model.predict(held_out.pixels(), verbose=0)[:, :classes]
    return features, float(np.mean(upright.argmax(axis=1) == held_out.labels))
