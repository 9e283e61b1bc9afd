"""Our run_fn on what Transform made: features that are no texts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from tfx_helpers import example

from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.deliver import read_rows
from hub_tfx.finetune.run_fn import run_fn
from hub_tfx.module.create import module
from hub_tfx.module.spec import ModuleFormat

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("taken_on_trust")]

POINTS = np.random.default_rng(0).normal(size=(32, 2)).astype(np.float32)


def scaling_module(path: Path, module_format: ModuleFormat) -> Path:
    """Input ``point`` float32 ``[batch, 2]``, each of the two times a weight."""
    if module_format == "tf1_hub":

        def module_fn() -> None:
            point = tf.compat.v1.placeholder(tf.float32, [None, 2])
            ones = tf.compat.v1.ones_initializer()
            scale = tf.compat.v1.get_variable("scale", [2], initializer=ones)
            hub.add_signature(inputs={"point": point}, outputs={"default": scale * point})

        return module(module_fn, None, path).path
    saved = tf.train.Checkpoint(scale=tf.Variable([1.0, 1.0]))
    saved.trainable_variables = [saved.scale]
    saved.__call__ = tf.function(
        lambda point: saved.scale * point, [tf.TensorSpec([None, 2], name="point")]
    )
    tf.saved_model.save(saved, str(path))
    return path


@pytest.fixture
def train(transform: Any, tmp_path: Path) -> Callable[..., Path]:
    """Runs run_fn on points and the sum of their coordinates; returns the serving model."""

    def run(
        base: Path, points: list[Any], unlabelled: Sequence[Any] = (), steps: int = 100
    ) -> Path:
        spec = {
            "point": tf.io.VarLenFeature(tf.float32),  # As a schema without shapes has it.
            "total": tf.io.VarLenFeature(tf.float32),
        }
        graph, examples = transform(
            tmp_path / "transform",
            [
                *({"point": point, "total": [sum(point)]} for point in points),
                *({"point": point, "total": []} for point in unlabelled),
            ],
            spec,
            {"label": "total", "task": "regression", "texts": [], "kept": ["point"]},
        )
        options = {"steps": steps, "batch_size": 8, "learning_rate": 0.1, "eval_every": 100}
        config = FineTuneConfig("total", task="regression", **options).to_json()
        serving = tmp_path / "serving"
        run_fn(
            SimpleNamespace(
                base_model=str(base),
                transform_graph_path=str(graph),
                train_files=[str(examples)],
                eval_files=[str(examples)],
                model_run_dir=str(tmp_path / "run"),
                serving_model_dir=str(serving),
                custom_config={"fine_tune": config, "module_dir": str(tmp_path / "module")},
            )
        )
        return serving

    return run


def test_features_that_are_kept_are_served_as_they_were_trained_on(
    train: Any, module_format: ModuleFormat, tmp_path: Path
) -> None:
    base = scaling_module(tmp_path / "point", module_format)
    served = tf.saved_model.load(str(train(base, POINTS.tolist()))).signatures["serving_default"]
    raw = [example({"point": point}).SerializeToString() for point in [[1.0, 0.5], [0.0, -2.0]]]
    answer = served(examples=tf.constant(raw))["value"].numpy()
    np.testing.assert_allclose(answer, [1.5, -2], atol=0.1)


def test_a_row_of_another_length_or_without_a_label_is_left_out_with_the_reason(
    train: Any, module_format: ModuleFormat, tmp_path: Path
) -> None:
    base = scaling_module(tmp_path / "point", module_format)
    train(base, [*POINTS.tolist(), [1.0, 2.0, 3.0]], unlabelled=[[1.0, 2.0]], steps=1)
    assert read_rows(tmp_path / "run") == {"train": 32, "eval": 32, "left_out": 4}
    reasons = set(pq.read_table(tmp_path / "run" / "left_out")["reason"].to_pylist())
    assert reasons == {
        "feature 'point' has 3 values; the input takes 2 a row",
        "label 'total' is missing or not a number",
    }
