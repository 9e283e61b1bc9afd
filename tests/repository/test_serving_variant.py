"""`--variant serving`: what TensorFlow Serving loads, from modules of both formats, or a reason."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from hub_tfx import testing
from hub_tfx.errors import OutputError, SignatureError, VariantError
from hub_tfx.module.create import module
from hub_tfx.module.load import load
from hub_tfx.module.proto import read_graphs
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.variants import child
from hub_tfx.repository.variants.serving import make_serving

tf1 = tf.compat.v1
_TEXTS = ["The cat sat.", "", "a dog unheard of"]


def _files(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def _served(directory: Path, **inputs: Any) -> dict[str, Any]:
    """What a server does: loads by tag and calls by name."""
    return tf.saved_model.load(str(directory), tags=["serve"]).signatures["serving_default"](
        **{key: tf.constant(value) for key, value in inputs.items()}
    )


def _methods(directory: Path) -> dict[str, str]:
    (graph,) = read_graphs(directory)
    return {name: signature.method_name for name, signature in graph.signature_def.items()}


def test_text_modules_of_both_formats_are_served(text_module_dir: Path, tmp_path: Path) -> None:
    found = child.serving(text_module_dir, tmp_path / "out")
    assert found["largest_difference"] == 0
    assert {"default", "serving_default"} <= set(found["signatures"])
    expected = load(text_module_dir, "default")({"default": _TEXTS})["default"]
    given = _served(tmp_path / "out", default=_TEXTS)["default"]
    np.testing.assert_allclose(given, expected)
    assert np.any(given)
    vocabulary = "assets/vocabulary.txt"
    assert _files(tmp_path / "out")[vocabulary] == _files(text_module_dir)[vocabulary]
    methods = _methods(tmp_path / "out")
    assert {methods["default"], methods["serving_default"]} == {"tensorflow/serving/predict"}


def test_image_modules_of_both_formats_are_served(image_module_dir: Path, tmp_path: Path) -> None:
    found = child.serving(image_module_dir, tmp_path / "out")
    assert found["largest_difference"] == 0
    assert "image_feature_vector" in found["signatures"]
    images = np.random.default_rng(0).uniform(size=(3, 8, 8, 3)).astype(np.float32)
    expected = load(image_module_dir, "default")({"images": images})["default"]
    np.testing.assert_allclose(_served(tmp_path / "out", images=images)["default"], expected)


def test_the_weights_are_the_same_files_and_the_same_module_gives_the_same_bytes(
    text_module_dir: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        child.serving(text_module_dir, tmp_path / name)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")
    weights = "variables/variables.data-00000-of-00001"
    assert _files(tmp_path / "one")[weights] == _files(text_module_dir)[weights]


def test_a_session_of_tf1_serves_it_with_its_tables_filled(
    text_module_dir: Path, tmp_path: Path
) -> None:
    child.serving(text_module_dir, tmp_path / "out")
    with tf.Graph().as_default(), tf1.Session() as session:
        graph = tf1.saved_model.load(session, ["serve"], str(tmp_path / "out"))
        signature = graph.signature_def["serving_default"]
        fed = {signature.inputs["default"].name: _TEXTS}
        given = session.run(signature.outputs["default"].name, fed)
    expected = load(text_module_dir, "default")({"default": _TEXTS})["default"]
    np.testing.assert_allclose(given, expected)


def _saved(path: Path, call: Callable[..., Any], *specs: Any, **signatures: Any) -> Path:
    saved = tf.Module()
    saved.weight = tf.Variable(2.0)
    saved.__call__ = tf.function(call(saved), input_signature=specs or None)
    named = {
        name: tf.function(call(saved), input_signature=[spec]) for name, spec in signatures.items()
    }
    tf.saved_model.save(saved, str(path), signatures=named or None)
    return path


_NUMBERS = tf.TensorSpec([None, 3], tf.float32, name="numbers")


def test_a_callable_object_without_signatures_gets_one(tmp_path: Path) -> None:
    saved = tf.Module()
    saved.weight = tf.Variable(2.0)

    @tf.function
    def call(numbers: Any, training: bool = False) -> Any:
        return {"a": numbers * saved.weight, "b": numbers if training else -numbers}

    saved.__call__ = call
    for training in (True, False):
        call.get_concrete_function(_NUMBERS, training=training)
    tf.saved_model.save(saved, str(tmp_path / "module"))
    found = child.serving(tmp_path / "module", tmp_path / "out")
    assert found["signature"] == "__call__"
    given = _served(tmp_path / "out", numbers=[[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(given["a"], [[2.0, 4.0, 6.0]])
    np.testing.assert_allclose(given["b"], [[-1.0, -2.0, -3.0]])


def test_another_signature_is_served_where_it_is_named(tmp_path: Path) -> None:
    saved = _saved(
        tmp_path / "module",
        lambda module: lambda numbers: {"out": numbers * module.weight},
        _NUMBERS,
        double=_NUMBERS,
        other=_NUMBERS,
    )
    found = child.serving(saved, tmp_path / "out", "double")
    assert found["signature"] == "double"
    assert {"double", "other", "serving_default"} <= set(found["signatures"])
    with pytest.raises(SignatureError, match="no signature 'nothing'; it has __call__, double"):
        child.serving(saved, tmp_path / "nothing", "nothing")


def test_a_saved_model_of_tf1_under_another_tag_gets_the_labels(tmp_path: Path) -> None:
    with tf.Graph().as_default(), tf1.Session() as session:
        numbers = tf1.placeholder(tf.float32, [None, 3], name="numbers")
        weight = tf1.get_variable("weight", initializer=3.0)
        session.run(tf1.global_variables_initializer())
        signature = tf1.saved_model.predict_signature_def({"x": numbers}, {"y": numbers * weight})
        builder = tf1.saved_model.Builder(str(tmp_path / "module"))
        builder.add_meta_graph_and_variables(session, ["mine"], {"vectors": signature})
        builder.save()
    assert child.serving(tmp_path / "module", tmp_path / "out")["signature"] == "vectors"
    np.testing.assert_allclose(_served(tmp_path / "out", x=[[1.0, 2.0, 3.0]])["y"], [[3, 6, 9]])


def test_a_sparse_signature_of_a_tf1_module_is_kept(tmp_path: Path) -> None:
    def module_fn() -> None:
        numbers = tf1.sparse_placeholder(tf.float32, [None, 3])
        weight = tf1.get_variable("weight", initializer=2.0)
        summed = tf.sparse.reduce_sum(numbers, 1) * weight
        hub.add_signature(inputs={"numbers": numbers}, outputs={"default": summed})

    module(module_fn, None, tmp_path / "module")
    assert child.serving(tmp_path / "module", tmp_path / "out")["largest_difference"] == 0


def test_ragged_inputs_of_a_callable_object_are_refused(tmp_path: Path) -> None:
    saved = tf.Module()
    saved.__call__ = tf.function(lambda numbers: tf.reduce_sum(numbers, 1))
    saved.__call__.get_concrete_function(tf.RaggedTensorSpec([None, None], tf.float32))
    tf.saved_model.save(saved, str(tmp_path / "module"))
    with pytest.raises(SignatureError, match=r"input .* is a ragged tensor.*name a signature"):
        child.serving(tmp_path / "module", tmp_path / "out")


def test_a_module_that_gives_something_else_each_time_is_refused(tmp_path: Path) -> None:
    saved = _saved(
        tmp_path / "m",
        lambda module: lambda numbers: {"out": numbers + tf.random.uniform([]) * module.weight},
        _NUMBERS,
    )
    with pytest.raises(ValueError, match="output out differs from the module's by up to"):
        child.serving(saved, tmp_path / "out")


def test_a_refusal_leaves_nothing(tmp_path: Path) -> None:
    resolved = ResolvedModule.of_directory(testing.minimal_module(tmp_path / "module"))
    with pytest.raises(OutputError, match="module is not empty: name another"):
        make_serving(resolved, resolved.path, timeout_s=0.01)
    with pytest.raises(VariantError, match=r"no serving variant of it: it was not done within"):
        make_serving(resolved, tmp_path / "new" / "out", timeout_s=0.01)
    assert list((tmp_path / "new").iterdir()) == []
