"""Modules that take as a tensor whether this is training."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow as tf
from real_modules import save

from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.features import Features
from hub_tfx.finetune.saved_model.tunable import load_tunable
from hub_tfx.module.inspect import inspect
from hub_tfx.module.spec import ModuleFormat

INPUTS = {"text": tf.TensorSpec([None], tf.string), "training": tf.TensorSpec([], tf.bool)}
SCHEMA = pa.schema([("text", pa.string()), ("topic", pa.string())])


def make(path: Path, format: ModuleFormat) -> Path:
    def function(text: Any, training: Any) -> Any:
        lengths = tf.cast(tf.strings.length(text), tf.float32)[:, None] * tf.ones([1, 2])
        return tf.where(training, -lengths, lengths)

    return Path(save(path / format, function, INPUTS, format))


def test_the_flag_is_the_mode_of_training(tmp_path: Path) -> None:
    path = make(tmp_path, "saved_model")
    spec = inspect(path)
    features = Features.of(FineTuneConfig(label="topic"), spec, SCHEMA)
    assert features.inputs == {"text": "text"}
    with load_tunable(path, spec.signature(), 0) as module:
        texts = {"text": tf.constant(["abc"])}
        assert module(texts, training=False).numpy().tolist() == [[3.0, 3.0]]
        assert module(texts, training=True).numpy().tolist() == [[-3.0, -3.0]]


def test_a_tf1_module_with_the_flag_is_not_trained(tmp_path: Path) -> None:
    spec = inspect(make(tmp_path, "tf1_hub"))
    with pytest.raises(ConfigError, match="has a graph variant for that"):
        Features.of(FineTuneConfig(label="topic"), spec, SCHEMA)
