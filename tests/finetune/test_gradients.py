"""Modules that were saved without gradients of their own: one error before training, or a head."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow.python.framework import ops

from hub_tfx.errors import AuthoringError
from hub_tfx.finetune.job import trainer_of
from hub_tfx.module.create import module
from hub_tfx.module.gradients import unsaved_gradients
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.module.spec import ModuleFormat
from hub_tfx.testing.trainers import training_job

X = tf.TensorSpec([None, 4], tf.float32, "x")


def save(
    path: Path,
    module_format: ModuleFormat,
    function: Callable[[Any, Any], Any],
    *,
    with_gradients: bool = False,
) -> Path:
    """A module ``function(x, w)`` with the weights ``[4, 4]``, as another process finds it."""
    _save(path, module_format, function, with_gradients)
    for name in unsaved_gradients(path):
        ops.gradient_registry._registry.pop(name)
    return path


def _save(
    path: Path,
    module_format: ModuleFormat,
    function: Callable[[Any, Any], Any],
    with_gradients: bool,
) -> None:
    weights = tf.random.stateless_normal([4, 4], [1, 2])
    if module_format == "tf1_hub":
        values = weights.numpy()

        def module_fn() -> None:
            x = tf.compat.v1.placeholder(tf.float32, [None, 4])
            w = tf.compat.v1.get_variable("w", initializer=values)
            hub.add_signature(None, {"x": x}, function(x, w))

        module(module_fn, None, path)
        return
    saved = tf.train.Checkpoint()
    saved.w = tf.Variable(weights)
    saved.variables = saved.trainable_variables = [saved.w]
    saved.__call__ = tf.function(lambda x, training=False: function(x, saved.w))
    for training in (False, True):
        saved.__call__.get_concrete_function(X, training=training)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=with_gradients)
    tf.saved_model.save(saved, str(path), options=options)


def train(path: Path, work_dir: Path, **options: Any) -> Any:
    x = np.random.default_rng(0).normal(size=[32, 4]).astype(np.float32)
    labels = (x[:, 0] > 0).astype(np.int64)
    job = training_job(path, work_dir, {"x": x}, labels, **options)
    return trainer_of(ResolvedModule.of_directory(path))(job)


def swish(x: Any, w: Any) -> Any:
    return tf.nn.swish(x @ w)


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory, module_format: ModuleFormat) -> Path:
    return save(tmp_path_factory.mktemp(module_format) / "m", module_format, swish)


@pytest.mark.parametrize("options", [{}, {"freeze": True, "unfreeze_after": 5}])
def test_it_is_one_error_before_the_first_step(
    without: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    why = r"cannot be trained: it was saved without .*CustomGradient.*--freeze"
    with pytest.raises(AuthoringError, match=why):
        train(without, tmp_path, **options)
    assert not list(tmp_path.glob("**/*ckpt*"))


def test_a_head_is_trained_on_it_as_it_is(without: Path, tmp_path: Path) -> None:
    trained = train(without, tmp_path, freeze=True, steps=40, eval_every=20)
    first, last = (metrics["loss"] for _, metrics in trained.history)
    assert last < first


def test_a_module_that_has_its_gradients_is_trained(tmp_path: Path) -> None:
    path = save(tmp_path / "m", "saved_model", swish, with_gradients=True)
    assert unsaved_gradients(path) == ()
    train(path, tmp_path / "work")


def test_what_is_not_on_the_way_to_the_weights_does_not_matter(
    tmp_path: Path, module_format: ModuleFormat
) -> None:
    path = save(tmp_path / "m", module_format, lambda x, w: tf.stop_gradient(tf.nn.swish(x)) @ w)
    assert unsaved_gradients(path)
    train(path, tmp_path / "work")


def test_an_operation_that_has_no_gradient_anywhere_is_named(
    tmp_path: Path, module_format: ModuleFormat
) -> None:
    def counted(x: Any, w: Any) -> Any:
        return tf.raw_ops.Bincount(
            arr=tf.cast(x[:, 0], tf.int32), size=4, weights=tf.reduce_sum(x @ w, 1)
        )[None] + tf.zeros_like(x)

    path = save(tmp_path / "m", module_format, counted)
    assert unsaved_gradients(path) == ()
    with pytest.raises(AuthoringError, match=r"its operation Bincount has no gradient.*--freeze"):
        train(path, tmp_path / "work")
