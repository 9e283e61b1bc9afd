"""What hub.Module promises of any module, for those that we export."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from hub_tfx import testing
from hub_tfx.module.create import module

POINTS = np.array([[1.0, 2.0], [3.0, -4.0]], np.float32)
WORDS = np.array(["cat", "dog"])
IMAGES = np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype(np.float32)


def own_module(path: Path) -> Path:
    """With two outputs."""

    def module_fn() -> None:
        point = tf.compat.v1.placeholder(tf.float32, [None, 2])
        with tf.compat.v1.variable_scope("outer"):
            scale = tf.compat.v1.get_variable("scale", initializer=[2.0, 3.0])
        scaled = scale * point
        outputs = {"default": scaled, "length": tf.norm(scaled, axis=1)}
        hub.add_signature(inputs=point, outputs=outputs)

    return module(module_fn, None, path).path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The directory of a module; each is made once."""
    folder = tmp_path_factory.mktemp("made")

    def make(function: Callable[[Path], Path]) -> str:
        path = folder / function.__name__
        return str(path if path.exists() else function(path))

    return make


every_kind = pytest.mark.parametrize(
    ("function", "rows", "names"),
    [
        (own_module, POINTS, {"outer/scale"}),
        (testing.text_module, WORDS, {"embeddings"}),
        (
            testing.image_module,
            IMAGES,
            {f"{layer}/{part}" for layer in ("conv", "features") for part in ("kernel", "bias")}
            | {f"norm/{n}" for n in ("gamma", "beta", "moving_mean", "moving_variance")},
        ),
    ],
)


@every_kind
def test_a_module_applied_twice_shares_its_weights(
    made: Any, function: Any, rows: Any, names: set[str]
) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        applied = hub.Module(made(function), trainable=True)
        outputs = applied(rows), applied(rows[::-1])
        assert len(tf.compat.v1.global_variables()) == len(names)
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(tf.compat.v1.tables_initializer())
        before, _ = session.run(outputs)
        for variable in tf.compat.v1.trainable_variables():
            session.run(tf.compat.v1.assign(variable, 0.5 * variable))
        first, second = session.run(outputs)
    assert not np.allclose(first, before)
    np.testing.assert_allclose(first, second[::-1], rtol=1e-5)


@every_kind
def test_names_of_variables_do_not_depend_on_the_scope(
    made: Any, function: Any, rows: Any, names: set[str]
) -> None:
    with tf.Graph().as_default(), tf.compat.v1.variable_scope("somewhere"):
        variables = hub.Module(made(function), name="else").variable_map
        assert set(variables) == names
        assert {f"somewhere/else/{name}" for name in names} == {
            variable.op.name for variable in variables.values()
        }


def test_all_outputs_are_had_as_a_dict(made: Any) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        applied = hub.Module(made(own_module))
        alone, outputs = applied(POINTS), applied(POINTS, as_dict=True)
        session.run(tf.compat.v1.global_variables_initializer())
        alone, outputs = session.run([alone, outputs])
    assert set(outputs) == {"default", "length"}
    np.testing.assert_array_equal(alone, POINTS * [2, 3])
    np.testing.assert_array_equal(outputs["default"], alone)
    np.testing.assert_allclose(outputs["length"], np.linalg.norm(alone, axis=1), rtol=1e-6)


def test_a_checkpoint_of_other_training_is_put_in_by_names(made: Any, tmp_path: Path) -> None:
    """With variable_map as the assignment_map of init_from_checkpoint, as hub documents it."""
    prefix = str(tmp_path / "other.ckpt")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        other = tf.compat.v1.get_variable("outer/scale", initializer=[5.0, 7.0])
        session.run(other.initializer)
        tf.compat.v1.train.Saver([other]).save(session, prefix)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        applied = hub.Module(made(own_module))
        tf.compat.v1.train.init_from_checkpoint(prefix, applied.variable_map)
        output = applied(POINTS)
        session.run(tf.compat.v1.global_variables_initializer())
        np.testing.assert_array_equal(session.run(output), POINTS * [5, 7])
