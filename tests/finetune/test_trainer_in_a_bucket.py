"""ModuleTrainer whose artifacts lie on a filesystem that is not this machine's, as gs:// is."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tfx.v1 as tfx
from google.protobuf import json_format

from hub_tfx import testing
from hub_tfx.artifacts import HubModule, read_module, write_module
from hub_tfx.components.module_trainer.executor import Executor
from hub_tfx.errors import AuthoringError, OutputError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.spec import ModuleFormat
from hub_tfx.testing.remote import RemoteFileSystem

pytestmark = pytest.mark.long

_artifacts = tfx.types.standard_artifacts
ROWS = [
    {"text": f"{one} {other}".encode(), "topic": b"pet" if "dog" in (one, other) else b"rest"}
    for one in testing.WORDS
    for other in testing.WORDS
]
OPTIONS = {"steps": 4, "batch_size": 16, "learning_rate": 0.1, "eval_every": 2}


@dataclass
class Bucket:
    """What a step finds there, and what it leaves.

    Attributes:
      folder: where it really lies.
      opened: paths of the files that were opened, in order.
    """

    folder: Path
    opened: list[str]

    def artifact(self, kind: Any, name: str) -> Any:
        made = kind()
        made.uri = f"remote://{name}"
        return made

    def files(self, name: str) -> set[str]:
        return {
            str(path.relative_to(self.folder / name))
            for path in (self.folder / name).rglob("*")
            if path.is_file()
        }


@pytest.fixture(scope="module")
def transformed(transform: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A Transform graph, and the file of Examples that it made."""
    scalar = tf.io.VarLenFeature(tf.string)
    rows = [{name: [value] for name, value in row.items()} for row in ROWS]
    rows.append({"text": [b"of no topic"], "topic": []})
    custom_config = {"label": "topic", "task": "classification", "texts": ["text"], "kept": []}
    folder = tmp_path_factory.mktemp("transformed")
    return transform(folder, rows, {"text": scalar, "topic": scalar}, custom_config)


@pytest.fixture
def bucket(
    transformed: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bucket]:
    """With the Transform graph and the Examples."""
    folder, (graph, examples) = tmp_path / "bucket", transformed
    opened: list[str] = []
    really_open = RemoteFileSystem.open

    def open_and_tell(self: Any, path: str, *arguments: Any, **options: Any) -> Any:
        opened.append(path)
        return really_open(self, path, *arguments, **options)

    monkeypatch.setattr(RemoteFileSystem, "open", open_and_tell)
    monkeypatch.chdir(tmp_path)
    folder.mkdir()
    for path in graph.rglob("*"):
        if path.is_file():
            target = folder / "graph" / path.relative_to(graph)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    for split in ("train", "eval"):
        (folder / "examples" / f"Split-{split}").mkdir(parents=True)
        (folder / "examples" / f"Split-{split}" / "data.gz").write_bytes(examples.read_bytes())
    with RemoteFileSystem.at(folder):
        yield Bucket(folder, opened)


@pytest.fixture
def train(bucket: Bucket, tmp_path: Path) -> Callable[..., Any]:
    """Runs ModuleTrainer's executor; returns the new module's artifact."""

    def run(base: Path, config: FineTuneConfig, **how: str) -> Any:
        module = bucket.artifact(HubModule, "base")
        write_module(module, base, {"handle": str(base)})
        bucket.opened.clear()
        examples = bucket.artifact(_artifacts.Examples, "examples")
        examples.split_names = '["train", "eval"]'
        outputs = {
            "module": bucket.artifact(HubModule, "trained/module"),
            "model": bucket.artifact(_artifacts.Model, "trained/model"),
            "model_run": bucket.artifact(_artifacts.ModelRun, "trained/model_run"),
        }
        graph = bucket.artifact(_artifacts.TransformGraph, "graph")
        Executor().Do(
            {"examples": [examples], "base_module": [module], "transform_graph": [graph]},
            {key: [artifact] for key, artifact in outputs.items()},
            {
                "config": config.to_json(),
                "train_args": json_format.MessageToJson(tfx.proto.TrainArgs(num_steps=4)),
                "eval_args": json_format.MessageToJson(tfx.proto.EvalArgs(num_steps=1)),
                "custom_config": "{}",
                **how,
            },
        )
        return outputs["module"]

    return run


def check_all_of_it_is_there(bucket: Bucket, module: Any) -> None:
    """In the bucket, and nothing beside it."""
    assert read_module(module).digest != module.get_string_custom_property("parent_digest")
    assert "Format-Serving/saved_model.pb" in bucket.files("trained/model")
    assert any("events.out.tfevents" in name for name in bucket.files("trained/model_run"))
    assert [path.name for path in bucket.folder.parent.iterdir() if ":" in path.name] == []


@pytest.mark.usefixtures("taken_on_trust")
@pytest.mark.parametrize("run_fn", ["run_fn", "feature_columns"])
def test_our_run_fns_leave_module_model_and_run_in_the_bucket(
    train: Any, bucket: Bucket, tmp_path: Path, module_format: ModuleFormat, run_fn: str
) -> None:
    if (run_fn, module_format) == ("feature_columns", "saved_model"):
        pytest.skip("hub's feature columns take modules in TF1 hub format only")
    base = testing.text_module(tmp_path / "text", module_format)
    name = f"hub_tfx.finetune.{run_fn}.run_fn"
    module = train(base, FineTuneConfig("topic", **OPTIONS), run_fn=name)
    check_all_of_it_is_there(bucket, module)
    assert module.get_string_custom_property("parent_digest") == Manifest.of_directory(base).digest
    rows = json.loads((bucket.folder / "trained" / "model_run" / "rows.json").read_text())
    assert rows == {"train": 64, "eval": 64, "left_out": 2}
    assert module.get_int_custom_property("rows_left_out") == 2
    assert any(name.startswith("left_out/") for name in bucket.files("trained/model_run"))


USERS_RUN_FN = """
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_transform as tft


def run_fn(fn_args):
    spec = tft.TFTransformOutput(fn_args.transform_graph_path).transformed_feature_spec()

    def input_fn():
        files = tf.io.gfile.glob(fn_args.train_files)
        rows = tf.data.TFRecordDataset(files, "GZIP").repeat().batch(4)
        rows = rows.map(lambda row: tf.io.parse_example(row, spec))
        return rows.map(lambda row: ({"text": tf.sparse.to_dense(row["text"])[:, 0]}, [0] * 4))

    def model_fn(features, labels, mode):
        module = hub.Module(fn_args.base_model, trainable=True)
        hub.register_module_for_export(module, "tuned")
        logits = tf.compat.v1.layers.dense(module(features["text"]), 2)
        if mode == tf.estimator.ModeKeys.PREDICT:
            return tf.estimator.EstimatorSpec(mode, predictions=logits)
        loss = tf.compat.v1.losses.sparse_softmax_cross_entropy(labels, logits)
        step = tf.compat.v1.train.get_or_create_global_step()
        train_op = tf.compat.v1.train.AdamOptimizer(0.1).minimize(loss, step)
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    def serving_input_fn():
        text = tf.compat.v1.placeholder(tf.string, [None])
        return tf.estimator.export.ServingInputReceiver({"text": text}, {"text": text})

    estimator = tf.estimator.Estimator(model_fn, fn_args.model_run_dir)
    exporter = hub.LatestModuleExporter("tf_hub", serving_input_fn)
    tf.estimator.train_and_evaluate(
        estimator,
        tf.estimator.TrainSpec(input_fn, max_steps=fn_args.train_steps),
        tf.estimator.EvalSpec(input_fn, steps=1, exporters=exporter),
    )
    SAVE_THE_MODEL
"""


def users(tmp_path: Path, end: str) -> str:
    """The path of a module_file."""
    file = tmp_path / "users_training.py"
    file.write_text(USERS_RUN_FN.replace("SAVE_THE_MODEL", end))
    return str(file)


@pytest.mark.usefixtures("taken_on_trust")
def test_a_users_export_is_found_and_the_verified_module_is_the_one_that_is_trained_from(
    train: Any, bucket: Bucket, tmp_path: Path
) -> None:
    base = testing.text_module(tmp_path / "text", "tf1_hub")
    end = "estimator.export_saved_model(fn_args.serving_model_dir, serving_input_fn)"
    module = train(base, FineTuneConfig("topic"), module_file=users(tmp_path, end))
    tuned = read_module(module)
    assert tuned.digest != module.get_string_custom_property("parent_digest")
    assert any(name.endswith("saved_model.pb") for name in bucket.files("trained/model"))
    assert any("model.ckpt-4" in name for name in bucket.files("trained/model_run"))
    assert bucket.opened.count("remote://base/module/saved_model.pb") == 1


def test_without_a_model_nothing_is_uploaded(train: Any, bucket: Bucket, tmp_path: Path) -> None:
    base = testing.text_module(tmp_path / "text", "tf1_hub")
    with pytest.raises(AuthoringError, match="run_fn left no model"):
        train(base, FineTuneConfig("topic"), module_file=users(tmp_path, "pass"))
    assert not (bucket.folder / "trained").exists()


@pytest.mark.usefixtures("taken_on_trust")
def test_a_bucket_that_refuses_the_model_fails_the_step_by_name(
    train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, path: str, *arguments: Any, **options: Any) -> Any:
        if "trained/model_run" in path:
            raise OSError("no permission")
        return really_create(self, path, *arguments, **options)

    really_create = RemoteFileSystem.create
    monkeypatch.setattr(RemoteFileSystem, "create", refuse)
    base = testing.text_module(tmp_path / "text", "tf1_hub")
    end = "estimator.export_saved_model(fn_args.serving_model_dir, serving_input_fn)"
    with pytest.raises(
        OutputError, match="cannot write model_run to remote://trained/model_run: no"
    ):
        train(base, FineTuneConfig("topic"), module_file=users(tmp_path, end))
