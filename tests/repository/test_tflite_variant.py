"""`--variant tflite`: a TensorFlow Lite model that was run beside the module, or a reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from hub_tfx import testing
from hub_tfx.errors import VariantError
from hub_tfx.module.create import text_embedding_module
from hub_tfx.module.load import load
from hub_tfx.module.spec import ModuleFormat
from hub_tfx.repository.variants import child


def _run(folder: Path, **inputs: Any) -> dict[str, Any]:
    interpreter = tf.lite.Interpreter(model_path=str(folder / "model.tflite"))
    outputs: dict[str, Any] = interpreter.get_signature_runner("serving_default")(**inputs)
    return outputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_text_modules_of_both_formats_look_words_up_in_constants(
    text_module_dir: Path, folder: Path
) -> None:
    found = child.tflite(text_module_dir, folder)
    assert found["needs_flex"]
    assert found["largest_difference"] < 1e-6
    texts = ["The cat sat.", "", "a dog unheard of"]
    expected = load(text_module_dir, "default")({"default": texts})["default"]
    given = _run(folder, default=np.array(texts, object))["default"]
    np.testing.assert_allclose(given, expected, atol=1e-6)
    assert np.any(given[0])


def test_image_modules_of_both_formats_need_nothing_of_tensorflow(
    image_module_dir: Path, folder: Path
) -> None:
    found = child.tflite(image_module_dir, folder, select_ops=False)
    assert not found["needs_flex"]
    assert found["largest_difference"] < 1e-5
    images = np.random.default_rng(0).uniform(size=(3, 8, 8, 3)).astype(np.float32)
    expected = load(image_module_dir, "default")({"images": images})["default"]
    np.testing.assert_allclose(_run(folder, images=images)["default"], expected, atol=1e-5)


def test_the_same_module_gives_the_same_bytes(text_module_dir: Path, folder: Path) -> None:
    made = []
    for _ in range(2):
        child.tflite(text_module_dir, folder)
        made.append((folder / "model.tflite").read_bytes())
    assert made[0] == made[1]


def test_tables_with_buckets_for_unknown_words(module_format: ModuleFormat, folder: Path) -> None:
    module = folder.parent / "module"
    text_embedding_module(
        testing.WORDS,
        testing.text_vectors(),
        module,
        format=module_format,
        num_oov_buckets=3,
        oov_seed=1,
    )
    assert child.tflite(module, folder)["largest_difference"] < 1e-6
    texts = ["cat unheard", "never seen"]
    expected = load(module, "default")({"default": texts})["default"]
    given = _run(folder, default=np.array(texts, object))["default"]
    np.testing.assert_allclose(given, expected, atol=1e-6)
    assert np.all(np.any(given, axis=1))


def test_two_tables_of_different_types(folder: Path) -> None:
    module = tf.Module()

    def table(keys: list[Any], values: list[Any], default: Any) -> Any:
        filled = tf.lookup.KeyValueTensorInitializer(keys, tf.constant(values))
        return tf.lookup.StaticHashTable(filled, default)

    module.number = table(["a", "b"], [1, 2], 0)
    module.other = table(["a", "b"], [0.25, 0.5], -1.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
    def call(words: Any) -> Any:
        return {"number": module.number[words], "other": module.other[words]}

    module.__call__ = call
    tf.saved_model.save(module, str(folder.parent / "module"))
    child.tflite(folder.parent / "module", folder)
    given = _run(folder, words=np.array(["b", "a", "c"], object))
    np.testing.assert_array_equal(given["number"], [2, 1, 0])
    np.testing.assert_array_equal(given["other"], [0.5, 0.25, -1.0])


def _with_table(path: Path, table: Any, call: Callable[[Any, Any], Any]) -> Path:
    module = tf.Module()
    module.table = table

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
    def lookup(words: Any) -> Any:
        return {"out": call(module.table, words)}

    module.__call__ = lookup
    tf.saved_model.save(module, str(path))
    return path


def test_tables_that_cannot_be_constants_are_refused(folder: Path) -> None:
    filled = tf.lookup.KeyValueTensorInitializer(["a", "b"], tf.constant([1, 2], tf.int64))
    static = tf.lookup.StaticHashTable(filled, 0)
    mutable = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)

    def in_a_branch(table: Any, words: Any) -> Any:
        none = tf.zeros(tf.shape(words), tf.int64)
        return tf.cond(tf.size(words) > 1, lambda: table.lookup(words), lambda: none)

    branch = _with_table(folder.parent / "branch", static, in_a_branch)
    with pytest.raises(VariantError, match="inside a loop or a branch"):
        child.tflite(branch, folder)
    changing = _with_table(folder.parent / "changing", mutable, lambda t, words: t.lookup(words))
    with pytest.raises(VariantError, match=r"calls may change \(MutableHashTableV2\) is not kept"):
        child.tflite(changing, folder)


def test_ops_that_tensorflow_lite_lacks_are_named_where_they_are_not_allowed(
    text_module_dir: Path, folder: Path
) -> None:
    with pytest.raises(VariantError, match=r"has no op .*StringLower.*; .* by select_ops"):
        child.tflite(text_module_dir, folder, select_ops=False)
    assert list(folder.iterdir()) == []


def test_sparse_inputs_are_refused(folder: Path) -> None:
    module = tf.Module()

    @tf.function(input_signature=[tf.SparseTensorSpec([None, 3], tf.float32)])
    def call(numbers: Any) -> Any:
        return {"out": tf.sparse.reduce_sum(numbers, 1)}

    tf.saved_model.save(module, str(folder.parent / "module"), signatures={"default": call})
    with pytest.raises(VariantError, match="is a sparse tensor, which TensorFlow Lite does not"):
        child.tflite(folder.parent / "module", folder)
