"""Features as a module takes them in training: the same that embedding feeds it."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from tfx_helpers import example

from hub_tfx.data.images import ImageDecoder
from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.features import Features
from hub_tfx.module.spec import GraphVariant, ModuleSpec, SignatureSpec, TensorInfo

IMAGES = [
    tf.io.encode_png(pixels).numpy()
    for pixels in np.random.default_rng(0).integers(0, 256, [3, 9, 7, 3], np.uint8)
]
SCHEMA = pa.schema({"image": pa.binary(), "label": pa.int64()})


def features_of(info: TensorInfo, image_size: tuple[int, int] | None = None) -> Features:
    outputs = {"default": TensorInfo("float32", (None, 4))}
    variant = GraphVariant((), {"default": SignatureSpec({"images": info}, outputs)})
    return Features.of(
        FineTuneConfig("label"), ModuleSpec("tf1_hub", (variant,), image_size), SCHEMA
    )


@pytest.mark.parametrize(
    ("info", "attached", "size"),
    [
        (TensorInfo("float32", (None, 4, 5, 3)), None, (4, 5)),
        (TensorInfo("uint8", (None, 4, 5, 1)), None, (4, 5)),
        (TensorInfo("float32", (None, None, None, 3)), (6, 6), (6, 6)),
    ],
)
def test_images_are_trained_on_bit_for_bit_as_they_are_embedded(
    info: TensorInfo, attached: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    features = features_of(info, attached)
    rows = tf.constant([example({"image": image}).SerializeToString() for image in IMAGES])
    fed = tf.function(features.parse)(rows)["images"]
    assert fed.dtype.name == info.dtype
    np.testing.assert_array_equal(fed, np.stack(ImageDecoder(info, size)(IMAGES)))


def test_images_of_any_size_are_refused_before_they_are_read() -> None:
    with pytest.raises(ConfigError, match=r"'images' .*of any size.*image_size \(--image-size"):
        features_of(TensorInfo("float32", (None, None, None, 3)))
