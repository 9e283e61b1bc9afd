"""Which export of a hub.LatestModuleExporter is the newest, whatever the clock says."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow_hub import tf_utils

from hub_tfx import testing
from hub_tfx.finetune.tf1_hub.exports import newest_export

HOUR_S = 3600.0


class Clock:
    """Which each export sets back by an hour."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def time(self) -> float:
        self.now_s -= HOUR_S
        return self.now_s


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an Estimator that trained a module to step 1, 2 and 3, and exported it at each."""
    folder = tmp_path_factory.mktemp("estimator")
    base = testing.text_module(folder / "base", dim=2)

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        module = hub.Module(str(base), trainable=True)
        hub.register_module_for_export(module, "tuned")
        loss = tf.reduce_sum(module(features["text"]))
        train_op = tf.compat.v1.train.GradientDescentOptimizer(0.1).minimize(
            loss, tf.compat.v1.train.get_global_step()
        )
        return tf.estimator.EstimatorSpec(
            mode, loss=loss, train_op=train_op, predictions={"loss": loss}
        )

    def rows() -> Any:
        return tf.data.Dataset.from_tensors(({"text": ["cat dog"]}, [0])).repeat()

    def serving() -> Any:
        text = tf.compat.v1.placeholder(tf.string, [None])
        return tf.estimator.export.ServingInputReceiver({"text": text}, {"text": text})

    estimator = tf.estimator.Estimator(model_fn, str(folder / "run"))
    exporter = hub.LatestModuleExporter("hub", serving)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf_utils, "time", Clock())
        for step in (1, 2, 3):
            estimator.train(rows, max_steps=step)
            exporter.export(estimator, str(folder / "run" / "export" / "hub"))
    return folder / "run"


def table(module: Path | None) -> Any:
    return tf.train.load_variable(f"{module}/variables/variables", "embeddings")


def exports(model_dir: Path) -> list[Path]:
    """From the smallest time, which is that of the last export, to the largest."""
    return sorted(model_dir.glob("export/hub/*/tuned"))


def test_the_export_of_the_newest_checkpoint_is_taken(model_dir: Path) -> None:
    last, _, first = exports(model_dir)
    assert newest_export(model_dir.parent) == last
    trained = tf.train.load_variable(str(model_dir), "module/embeddings")
    np.testing.assert_array_equal(table(last), trained)
    assert not np.array_equal(table(first), trained)


def test_where_the_last_checkpoint_was_not_exported_the_one_before_counts(
    model_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = shutil.copytree(model_dir, tmp_path / "run")
    last, middle, _ = exports(copy)
    shutil.rmtree(last.parent)
    with caplog.at_level(logging.WARNING):
        assert newest_export(copy) == middle
    assert "not of the last checkpoint" in caplog.text


def test_without_a_checkpoint_the_largest_time_counts(
    model_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exported = shutil.copytree(model_dir / "export", tmp_path / "run" / "export")
    with caplog.at_level(logging.WARNING):
        assert newest_export(tmp_path) == exports(exported.parent)[-1]
    assert "the clock decides" in caplog.text


def test_a_killed_export_is_not_taken_for_one(model_dir: Path, tmp_path: Path) -> None:
    killed = tmp_path / "run" / "export" / "hub" / "temp-1800000000" / "tuned"
    shutil.copytree(exports(model_dir)[0], killed)
    assert newest_export(tmp_path) is None
