"""ModuleTrainer with our run_fn: what feeds the module, and what becomes of rows that cannot."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tfx.v1 as tfx
from google.protobuf import json_format
from real_modules import save
from tfx_helpers import example, examples_artifact

from hub_tfx import testing
from hub_tfx.artifacts import HubModule, read_module, write_module
from hub_tfx.components.module_trainer.executor import Executor
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.module.inspect import inspect
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.spec import ModuleFormat

pytestmark = pytest.mark.long

_artifacts = tfx.types.standard_artifacts
Row = Mapping[str, Any]
LABEL = {"label": tf.io.FixedLenFeature([], tf.string)}


def artifact_of(module: Path | str, folder: Path) -> Any:
    """What ModuleResolver makes of a module's directory."""
    artifact = HubModule()
    artifact.uri = str(folder)
    write_module(artifact, module, {"handle": str(module)})
    return artifact


@pytest.fixture
def trained(tmp_path: Path) -> dict[str, Any]:
    """What ModuleTrainer is to fill."""
    types = {"module": HubModule, "model": _artifacts.Model, "model_run": _artifacts.ModelRun}
    made = {key: kind() for key, kind in types.items()}
    for key, artifact in made.items():
        artifact.uri = str(tmp_path / "ModuleTrainer" / key)
    return made


@pytest.fixture
def train(tmp_path: Path, transform: Any, trained: Mapping[str, Any]) -> Callable[..., Row]:
    """Runs ModuleTrainer on rows, which Transform saw; returns the properties of the module."""

    def run(base: Path, rows: Sequence[Row], features: Row, given: Row, **inputs: Any) -> Row:
        custom_config = {"label": "label", "task": "classification", "texts": [], "kept": []}
        graph, examples = transform(
            tmp_path / "transform", rows, {**features, **LABEL}, {**custom_config, **given}
        )
        transform_graph = _artifacts.TransformGraph()
        transform_graph.uri = str(graph)
        artifact = examples_artifact(tmp_path / "examples", {"train": [], "eval": []})
        for file in Path(artifact.uri).glob("*/*"):
            file.write_bytes(examples.read_bytes())
        Executor().Do(
            {
                "examples": [artifact],
                "transform_graph": [transform_graph],
                "base_module": [artifact_of(base, tmp_path / "base")],
                **inputs,
            },
            {key: [artifact] for key, artifact in trained.items()},
            {
                "config": FineTuneConfig("label", steps=2, batch_size=4).to_json(),
                "run_fn": "hub_tfx.finetune.run_fn.run_fn",
                "train_args": json_format.MessageToJson(tfx.proto.TrainArgs(num_steps=2)),
                "eval_args": json_format.MessageToJson(tfx.proto.EvalArgs(num_steps=1)),
                "custom_config": "{}",
            },
        )
        properties = trained["module"].mlmd_artifact.custom_properties.items()
        return {name: value.string_value or value.int_value for name, value in properties}

    return run


def served(trained: Mapping[str, Any], *rows: Row) -> Any:
    """Probabilities that the new serving model gives of raw rows."""
    model = tf.saved_model.load(f"{trained['model'].uri}/Format-Serving")
    raw = tf.constant([example(row).SerializeToString() for row in rows])
    return model.signatures["serving_default"](examples=raw)["probabilities"].numpy()


@pytest.mark.usefixtures("taken_on_trust")
def test_a_preprocessor_feeds_the_module_in_training_and_in_serving(
    train: Any, trained: Any, text_module_dir: Path, module_format: ModuleFormat, tmp_path: Path
) -> None:
    """It is of the other format than the module."""
    others: dict[ModuleFormat, ModuleFormat] = {"tf1_hub": "saved_model", "saved_model": "tf1_hub"}
    lower = save(
        tmp_path / "lower",
        lambda words: {"text": tf.strings.lower(words)},
        {"words": tf.TensorSpec([None], tf.string, "words")},
        others[module_format],
    )
    rows = [{"text": word.upper(), "label": "ab"[n % 2]} for n, word in enumerate(testing.WORDS)]
    properties = train(
        text_module_dir,
        rows,
        {"text": tf.io.FixedLenFeature([], tf.string)},
        {"texts": ["text"]},
        preprocessor=[artifact_of(lower, tmp_path / "first")],
    )
    assert properties["preprocessor_digest"] == Manifest.of_directory(lower).digest
    assert properties["parent_digest"] == Manifest.of_directory(text_module_dir).digest
    assert read_module(trained["module"]).spec == inspect(text_module_dir)
    upper, lower_case, other = served(trained, {"text": "CAT"}, {"text": "cat"}, {"text": "MAT"})
    np.testing.assert_array_equal(upper, lower_case)
    assert not np.array_equal(upper, other)


@pytest.mark.usefixtures("taken_on_trust")
def test_a_bad_picture_is_skipped_and_counted(
    train: Any, trained: Any, image_module_dir: Path
) -> None:
    picture = tf.io.encode_png(tf.zeros([8, 8, 3], tf.uint8)).numpy()
    rows = [{"image": [picture], "label": "ab"[n % 2]} for n in range(8)]
    rows[3] = {**rows[3], "image": [picture[:20]]}
    properties = train(
        image_module_dir, rows, {"image": tf.io.VarLenFeature(tf.string)}, {"kept": ["image"]}
    )
    counts = {name: count for name, count in properties.items() if name.startswith("rows_")}
    # Those for training and those for evaluation are the same file here, so it comes twice.
    assert counts == {"rows_train": 7, "rows_eval": 7, "rows_left_out": 2}
    assert "preprocessor_digest" not in properties
    left_out = pq.read_table(f"{trained['model_run'].uri}/left_out").to_pylist()
    assert [row["key"].rsplit(":", 1)[1] for row in left_out] == ["4", "4"]
    assert "image" in left_out[0]["reason"]
    assert served(trained, {"image": picture}).shape == (1, 2)
