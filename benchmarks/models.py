"""A heavy image module and images for it, for the benchmarks that need them."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from hub_tfx.module.create import image_feature_module

IMAGE_SIZE = 224
_LARGEST = 320
_EVERY = 100


def image_module(folder: Path) -> Path:
    """A SavedModel of MobileNetV2 at 224 x 224: 1280 features, random weights."""
    model = tf.keras.applications.MobileNetV2(
        input_shape=(IMAGE_SIZE, IMAGE_SIZE, 3), weights=None, include_top=False, pooling="avg"
    )
    return image_feature_module(model, folder, format="saved_model").path


def write_images(path: Path, count: int, *, changed: bool = False) -> None:
    """Smooth random JPEGs of 224 to 320 pixels a side as gzip TFRecord: `image`, and `id`.

    Args:
      path: of the file.
      count: of images.
      changed: whether each hundredth is another one.
    """
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for n in range(count):
            seed = count + n if changed and n % _EVERY == 0 else n
            example = tf.train.Example()
            example.features.feature["image"].bytes_list.value.append(_jpeg(seed))
            example.features.feature["id"].int64_list.value.append(n)
            writer.write(example.SerializeToString())


def _jpeg(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    size = rng.integers(IMAGE_SIZE, _LARGEST, 2, endpoint=True)
    pixels = tf.image.resize(rng.integers(0, 256, [12, 12, 3]), size, "bicubic")
    noise = rng.normal(0, 4, [*size, 3])
    clipped = tf.cast(tf.clip_by_value(pixels + noise, 0, 255), tf.uint8)
    encoded: bytes = tf.io.encode_jpeg(clipped).numpy()
    return encoded
