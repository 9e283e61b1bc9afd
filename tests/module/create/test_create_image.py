"""Image feature modules in both formats."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from hub_tfx.errors import AuthoringError, ConfigError
from hub_tfx.module.create import image_feature_module
from hub_tfx.module.load import load
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.spec import ModuleFormat, SignatureSpec, TensorInfo

layers = tf.keras.layers
IMAGES = np.random.default_rng(0).random((5, 8, 8, 3), np.float32)


@pytest.fixture(scope="module")
def model() -> Any:
    """A functional model with all that makes export hard, and weights that were trained."""
    images = tf.keras.Input([8, 8, 3])
    inner = tf.keras.Sequential([layers.Conv2D(5, 3, kernel_regularizer="l2", name="conv")])
    x = layers.Normalization(axis=-1, mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(images)
    x = layers.BatchNormalization(name="norm")(inner(x))
    x = layers.Dropout(0.5)(layers.Activation("relu")(x))
    x = layers.GlobalAveragePooling2D()(x)
    model = tf.keras.Model(images, layers.Dense(3, activity_regularizer="l2")(x))
    model.compile("adam", "mse")
    model.fit(IMAGES, np.ones([5, 3]), epochs=2, verbose=0)
    return model


@pytest.fixture(scope="module")
def exported(
    model: Any, module_format: ModuleFormat, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("exported") / "1"
    return image_feature_module(model, path, format=module_format).path


def features(path: Path, signature: str = "image_feature_vector") -> np.ndarray:
    return load(path, signature)({"images": IMAGES})["default"].numpy()


def test_the_features_are_those_of_the_keras_model(model: Any, exported: Path):
    expected = model(IMAGES, training=False).numpy()
    for signature in ("image_feature_vector", "default"):
        np.testing.assert_allclose(features(exported, signature), expected, atol=1e-6)
    np.testing.assert_allclose(hub.KerasLayer(str(exported))(IMAGES), expected, atol=1e-6)


def test_the_signature_is_the_common_image_signature(exported: Path):
    common = SignatureSpec(
        {"images": TensorInfo("float32", (None, 8, 8, 3))},
        {"default": TensorInfo("float32", (None, 3))},
    )
    signatures = load(exported, "default").spec.signatures
    assert signatures["image_feature_vector"] == signatures["default"] == common


def test_exporting_changes_no_weight_and_no_graph(model: Any, tmp_path: Path, module_format):
    before = [weight.copy() for weight in model.get_weights()]
    with tf.Graph().as_default() as graph:
        image_feature_module(model, tmp_path / "1", format=module_format)
        assert not graph.get_operations()
        assert not graph.collections
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_the_tiny_module_for_tests_works_in_both_formats(image_module_dir: Path):
    assert features(image_module_dir).shape == (5, 4)


def test_the_signatures_can_be_named(model: Any, tmp_path: Path, module_format: ModuleFormat):
    made = image_feature_module(model, tmp_path / "1", format=module_format, signatures=["pool"])
    assert set(made.spec.signatures) - {"__call__", "serving_default"} == {"pool"}


def test_a_tf1_module_exported_twice_has_one_digest(model: Any, tmp_path: Path):
    first, second = (image_feature_module(model, tmp_path / name).path for name in "ab")
    assert Manifest.of_directory(first) == Manifest.of_directory(second)


# --- Training in a TF1 graph ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def tf1_module(model: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(image_feature_module(model, tmp_path_factory.mktemp("tf1") / "1").path)


def collection(name: str) -> list:
    return tf.compat.v1.get_collection(getattr(tf.compat.v1.GraphKeys, name))


def test_the_train_variant_trains_as_keras_does(model: Any, tf1_module: str):
    copy = tf.keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy(IMAGES, training=True)
    with tf.Graph().as_default():
        module = hub.Module(tf1_module, trainable=True, tags={"train"})
        output = module({"images": IMAGES})
        moving_mean = module.variable_map["norm/moving_mean"]
        gradients = tf.gradients(tf.reduce_sum(output), collection("TRAINABLE_VARIABLES"))
        assert len(gradients) == len(model.trainable_variables)
        assert None not in gradients
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            assert not np.allclose(*(session.run(output) for _ in "ab")), "dropout should differ"
            untouched = session.run(moving_mean)
            (loss,) = session.run(collection("REGULARIZATION_LOSSES"))
            session.run(collection("UPDATE_OPS"))
            updated = session.run(moving_mean)
    np.testing.assert_array_equal(untouched, model.get_layer("norm").moving_mean)
    np.testing.assert_allclose(updated, copy.get_layer("norm").moving_mean, atol=1e-6)
    conv = model.layers[2].get_layer("conv").kernel
    assert loss == pytest.approx(0.01 * np.sum(np.square(conv)))


def test_the_plain_variant_has_no_losses_and_no_updates(model: Any, tf1_module: str):
    with tf.Graph().as_default():
        output = hub.Module(tf1_module, trainable=True)({"images": IMAGES})
        assert collection("REGULARIZATION_LOSSES") == []
        assert collection("UPDATE_OPS") == []
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            features = session.run(output)
    np.testing.assert_allclose(features, model(IMAGES, training=False), atol=1e-6)


def test_the_image_size_is_attached(tf1_module: str):
    spec = hub.load_module_spec(tf1_module)
    for tags in (set(), {"train"}):
        info = spec.get_attached_message("image_module_info", hub.ImageModuleInfo, tags=tags)
        assert (info.default_image_size.height, info.default_image_size.width) == (8, 8)


# --- Training in Keras ----------------------------------------------------------------------------


def test_keras_fine_tunes_the_saved_model(model: Any, tmp_path: Path):
    path = image_feature_module(model, tmp_path / "1", format="saved_model").path
    layer = hub.KerasLayer(str(path), trainable=True)
    assert len(layer.trainable_weights) == len(model.trainable_weights)
    conv = model.layers[2].get_layer("conv").kernel
    assert [float(loss) for loss in layer.losses] == [pytest.approx(0.01 * np.sum(np.square(conv)))]
    before = layer.get_weights()
    tuned = tf.keras.Sequential([tf.keras.Input([8, 8, 3]), layer])
    tuned.compile("sgd", "mse")
    tuned.fit(IMAGES, np.zeros([5, 3]), verbose=0)
    for old, new in zip(before, layer.get_weights(), strict=True):
        assert not np.array_equal(old, new)


# --- Models of other kinds ------------------------------------------------------------------------


def test_any_image_size_is_kept_open(tmp_path: Path, module_format: ModuleFormat):
    model = tf.keras.Sequential(
        [layers.Input([None, None, 3]), layers.Conv2D(2, 3), layers.GlobalMaxPooling2D()]
    )
    made = image_feature_module(model, tmp_path / "1", format=module_format)
    assert made.spec.signature("default").inputs["images"].shape == (None, None, None, 3)
    np.testing.assert_allclose(features(made.path), model(IMAGES), atol=1e-6)


def test_layers_of_one_name_in_nested_models_keep_their_own_weights(
    tmp_path: Path, module_format: ModuleFormat
):
    parts = [
        tf.keras.Sequential([layers.Input([8, 8, 3]), layers.Conv2D(3, 1, name="same")], name=name)
        for name in "ab"
    ]
    model = tf.keras.Sequential([layers.Input([8, 8, 3]), *parts, layers.Flatten()])
    path = image_feature_module(model, tmp_path / "1", format=module_format).path
    np.testing.assert_allclose(features(path), model(IMAGES), atol=1e-6)


def convolution() -> Any:
    return tf.keras.Sequential([layers.Input([8, 8, 3]), layers.Conv2D(2, 8), layers.Flatten()])


def built_in_a_graph() -> Any:
    with tf.Graph().as_default():
        model = convolution()
    # Keras exchanged the base classes of all its models for those of TF1: this brings them back.
    convolution()
    return model


class Failing(layers.Layer):
    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            raise KeyError("no such weight")
        return layers.Flatten()(inputs)


def failing_in_training() -> Any:
    return tf.keras.Sequential([layers.Input([8, 8, 3]), Failing()])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "model", "not <class 'str'>"),
        (lambda: tf.keras.Sequential([layers.Flatten()]), "0 known inputs"),
        (lambda: tf.keras.Sequential([layers.Input([4]), layers.Dense(2)]), r"takes \(None, 4\)"),
        (lambda: tf.keras.Sequential([layers.Input([8, 8, 1]), layers.Flatten()]), "8, 8, 1"),
        (lambda: tf.keras.Sequential([layers.Input([8, 8, 3]), layers.ReLU()]), "8, 8, 3"),
        (built_in_a_graph, "built in a TF1 graph"),
        (failing_in_training, r"(?s)cannot be traced: .*no such weight"),
    ],
)
def test_what_is_no_image_model_is_refused(
    make: Any, message: str, tmp_path: Path, module_format: ModuleFormat
):
    with pytest.raises(AuthoringError, match=message):
        image_feature_module(make(), tmp_path / "1", format=module_format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"format": "tf3"}, {"signatures": "x"}, {"signatures": []}])
def test_options_without_meaning_are_refused(model: Any, options: dict, tmp_path: Path):
    with pytest.raises(ConfigError):
        image_feature_module(model, tmp_path / "1", **options)
