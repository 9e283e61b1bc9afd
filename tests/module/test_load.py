"""load: one callable for both formats, whatever tensors its signature takes."""

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from real_modules import encoder, preprocessor, save

from hub_tfx.errors import SignatureError
from hub_tfx.module.inspect import inspect
from hub_tfx.module.load import load
from hub_tfx.module.spec import ModuleFormat


def test_training_is_off_unless_the_caller_switches_it_on(
    tmp_path: Path, module_format: ModuleFormat
) -> None:
    def function(x: Any, training: Any) -> Any:
        return tf.where(training, -x, x)

    inputs = {"x": tf.TensorSpec([None], tf.float32), "training": tf.TensorSpec([], tf.bool)}
    module = load(save(tmp_path / "m", function, inputs, module_format))
    assert module({"x": [2.0]})["default"].numpy().tolist() == [2.0]
    assert module({"x": [2.0], "training": True})["default"].numpy().tolist() == [-2.0]


@pytest.mark.parametrize("row_splits", ["int32", "int64"])
def test_ragged_inputs_are_known_and_fed(
    tmp_path: Path, module_format: ModuleFormat, row_splits: str
) -> None:
    if module_format == "tf1_hub":
        row_splits = "int64"  # What tf.compat.v1.ragged.placeholder makes.
    spec = tf.RaggedTensorSpec([None, None, None, 2], tf.int32, 2, tf.as_dtype(row_splits))
    path = save(tmp_path / "m", lambda x: tf.reduce_sum(x, axis=[1, 2]), {"x": spec}, module_format)
    info = inspect(path).signature().inputs["x"]
    assert (info.kind, info.ragged_rank, info.row_splits) == ("ragged", 2, row_splits)
    rows = tf.ragged.constant([[[[1, 2], [3, 4]], []], []], ragged_rank=2, inner_shape=(2,))
    for splits in (tf.int32, tf.int64):
        given = rows.with_row_splits_dtype(splits)
        assert load(path)({"x": given})["default"].numpy().tolist() == [[4, 6], [0, 0]]


def test_a_preprocessor_takes_the_inputs(tmp_path: Path, module_format: ModuleFormat) -> None:
    first = load(preprocessor(tmp_path / "first", module_format))
    path = encoder(tmp_path / "then", module_format)
    then = load(path)
    assert then.preprocessor is None
    expected = then(first({"text": ["a b", "c"]}))
    found = load(path, preprocessor=first)({"text": ["a b", "c"]})
    for key, value in expected.items():
        tf.debugging.assert_near(found[key], value)
    with pytest.raises(SignatureError, match="cannot feed input"):
        load(path, preprocessor=then)
