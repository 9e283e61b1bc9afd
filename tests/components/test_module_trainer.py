"""ModuleTrainer: anybody's run_fn, and the module it leaves, or nothing."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tfx.v1 as tfx
from google.protobuf import json_format
from tfx_helpers import examples_artifact

from hub_tfx import testing
from hub_tfx._tfx import Channel
from hub_tfx.artifacts import HubModule, read_module
from hub_tfx.components.module_trainer.component import ModuleTrainer
from hub_tfx.components.module_trainer.executor import Executor
from hub_tfx.errors import AuthoringError, ConfigError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.run_fn import run_fn
from hub_tfx.module.inspect import inspect
from hub_tfx.module.manifest import Manifest

ROWS = [{"text": f"{word} mat", "label": n % 2} for n, word in enumerate(testing.WORDS)]
CONFIG = FineTuneConfig("label", steps=2)

ESTIMATOR_RUN_FN = """
import tensorflow as tf
import tensorflow_hub as hub

FEATURES = {
    "text": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
}


def run_fn(fn_args):
    def input_fn():
        files = tf.io.gfile.glob(fn_args.train_files)
        rows = tf.data.TFRecordDataset(files, "GZIP").repeat().batch(4)
        rows = rows.map(lambda row: tf.io.parse_example(row, FEATURES))
        return rows.map(lambda row: ({"text": row["text"]}, row["label"]))

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
    tf.estimator.train_and_evaluate(
        estimator,
        tf.estimator.TrainSpec(input_fn, max_steps=fn_args.train_steps),
        tf.estimator.EvalSpec(
            input_fn, steps=1, exporters=hub.LatestModuleExporter("tf_hub", serving_input_fn)
        ),
    )
    estimator.export_saved_model(fn_args.serving_model_dir, serving_input_fn)
"""

FREE_RUN_FN = """
def run_fn(fn_args):
    from hub_tfx import testing

    assert fn_args.base_model is None
    testing.text_module(fn_args.custom_config["module_dir"])
    testing.text_module(fn_args.serving_model_dir)
"""

KEEPING_RUN_FN = """
import shutil

def run_fn(fn_args):
    shutil.copytree(fn_args.base_model, fn_args.custom_config["module_dir"])
    shutil.copytree(fn_args.base_model, fn_args.serving_model_dir)
"""

COPYING_RUN_FN = """
import json, pathlib, shutil

def run_fn(fn_args):
    shutil.copytree({source!r}, fn_args.custom_config["module_dir"])
    shutil.copytree({source!r}, fn_args.serving_model_dir)
    pathlib.Path(fn_args.model_run_dir).mkdir(parents=True, exist_ok=True)
    metrics = {{"mine": fn_args.custom_config["number"]}}
    pathlib.Path(fn_args.model_run_dir, "metrics.json").write_text(json.dumps(metrics))
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.text_module(tmp_path_factory.mktemp("text") / "1")


@pytest.fixture
def trained(tmp_path: Path) -> Any:
    """Where the tuned module is to go."""
    artifact = HubModule()
    artifact.uri = str(tmp_path / "ModuleTrainer" / "module" / "2")
    return artifact


@pytest.fixture
def train(
    tmp_path: Path, text: Path, hub_module: Callable[..., Any], trained: Any
) -> Callable[..., dict[str, str]]:
    """Runs the executor with a module_file of this text; returns the properties of the module."""

    def run(
        code: str,
        custom_config: str = "{}",
        config: FineTuneConfig = CONFIG,
        base: bool = True,
        **parameters: str,
    ) -> Any:
        (tmp_path / "my_training.py").write_text(code)
        outputs = {"module": [trained]}
        types = {"model": "Model", "model_run": "ModelRun"}
        for key, name in types.items():
            artifact = getattr(tfx.types.standard_artifacts, name)()
            artifact.uri = str(tmp_path / "ModuleTrainer" / key / "2")
            outputs[key] = [artifact]
        examples = [
            examples_artifact(tmp_path / f"examples{span}", {"train": ROWS, "eval": ROWS}, span)
            for span in (3, 1)
        ]
        Executor().Do(
            {"examples": examples, "base_module": [hub_module(text)] if base else []},
            outputs,
            {
                "config": config.to_json(),
                "module_file": str(tmp_path / "my_training.py"),
                "train_args": json_format.MessageToJson(tfx.proto.TrainArgs(num_steps=2)),
                "eval_args": json_format.MessageToJson(tfx.proto.EvalArgs(num_steps=1)),
                "custom_config": custom_config,
                **parameters,
            },
        )
        properties = trained.mlmd_artifact.custom_properties.items()
        return {name: value.string_value or value.int_value for name, value in properties}

    return run


def test_an_estimator_with_latest_module_exporter_works_unchanged(
    train: Any, trained: Any, text: Path
) -> None:
    properties = train(ESTIMATOR_RUN_FN)
    tuned = read_module(trained)
    assert tuned.spec == inspect(text)
    assert tuned.digest == properties["digest"] != properties["parent_digest"]
    assert "frozen" not in properties
    assert properties["parent_digest"] == Manifest.of_directory(text).digest
    assert properties["spans"] == "[1, 3]"


@pytest.mark.usefixtures("taken_on_trust")
def test_a_module_in_module_dir_is_taken_with_its_metrics(
    train: Any, trained: Any, text: Path
) -> None:
    properties = train(COPYING_RUN_FN.format(source=str(text)), '{"number": 0.25}')
    assert read_module(trained).digest == Manifest.of_directory(text).digest
    assert properties["metric_mine"] == "0.25"


def test_a_run_fn_that_leaves_no_module_publishes_nothing(train: Any, trained: Any) -> None:
    with pytest.raises(AuthoringError, match=r"run_fn left no module: .*LatestModuleExporter"):
        train("def run_fn(fn_args):\n    pass\n")
    assert not Path(trained.uri).exists()


def test_a_run_fn_that_leaves_no_model_publishes_nothing(train: Any, trained: Any) -> None:
    code = KEEPING_RUN_FN.replace("fn_args.serving_model_dir", "fn_args.eval_model_dir")
    with pytest.raises(AuthoringError, match=r"run_fn left no model: it saves .*serving_model_dir"):
        train(code)
    assert not Path(trained.uri).exists()


@pytest.mark.usefixtures("taken_on_trust")
def test_a_module_whose_bytes_are_its_parents_is_frozen(
    train: Any, trained: Any, text: Path
) -> None:
    properties = train(KEEPING_RUN_FN)
    assert properties["digest"] == properties["parent_digest"]
    assert properties["frozen"] == 1


@pytest.mark.parametrize(
    ("end", "error"),
    [("", AuthoringError), ("raise SystemExit(0)", SystemExit)],
    ids=["killed export", "exit"],
)
def test_what_is_half_done_is_not_published(
    train: Any, trained: Any, text: Path, end: str, error: type[BaseException]
) -> None:
    """A killed LatestModuleExporter leaves temp-*; a run_fn may end the process in the middle."""
    code = f"""
import shutil

def run_fn(fn_args):
    folder = fn_args.model_run_dir + "/export/tuned/temp-1700000000/module"
    shutil.copytree({str(text)!r}, folder)
    {end}
"""
    with pytest.raises(error):
        train(code)
    assert not Path(trained.uri).exists()


def test_another_module_than_its_parent_publishes_nothing(
    train: Any, trained: Any, tmp_path: Path
) -> None:
    other = testing.text_module(tmp_path / "other", dim=3)
    with pytest.raises(AuthoringError, match=r"was float32.*in the tuned module"):
        train(COPYING_RUN_FN.format(source=str(other)), '{"number": 1}')
    assert not Path(trained.uri).exists()


def module_fn() -> None:
    text = tf.compat.v1.placeholder(tf.string, [None])
    table = tf.compat.v1.get_variable("table", [8, 2])
    hub.add_signature(inputs=text, outputs=tf.gather(table, tf.strings.length(text)))


@pytest.mark.usefixtures("taken_on_trust")
def test_without_a_base_a_run_fn_gets_what_module_fn_builds(train: Any, trained: Any) -> None:
    properties = train(KEEPING_RUN_FN, base=False, module_fn=f"{__name__}.module_fn")
    assert properties["module_fn"] == f"{__name__}.module_fn"
    assert not {"handle", "parent_digest", "parent_handle"} & properties.keys()
    assert read_module(trained).spec.signature().outputs["default"].shape == (None, 2)


@pytest.mark.usefixtures("taken_on_trust")
def test_a_base_is_preferred_to_module_fn(train: Any, text: Path) -> None:
    properties = train(KEEPING_RUN_FN, module_fn=f"{__name__}.module_fn")
    assert properties["parent_digest"] == Manifest.of_directory(text).digest
    assert "module_fn" not in properties


@pytest.mark.usefixtures("taken_on_trust")
def test_a_run_fn_of_ones_own_may_do_without_any_base(train: Any, trained: Any, text: Path) -> None:
    properties = train(FREE_RUN_FN, base=False)
    assert read_module(trained).digest == Manifest.of_directory(text).digest
    assert not {"handle", "parent_digest", "parent_handle", "module_fn"} & properties.keys()


def test_the_default_run_fn_wants_a_base() -> None:
    fn_args = SimpleNamespace(
        base_model=None, custom_config={"fine_tune": CONFIG.to_json()}, transform_graph_path="x"
    )
    with pytest.raises(ConfigError, match="needs a module to start from: give base_module or"):
        run_fn(fn_args)


def test_another_format_than_the_parents_publishes_nothing(train: Any, trained: Any) -> None:
    with pytest.raises(ConfigError, match=r"saved_model does not fit: .* has tf1_hub"):
        train(KEEPING_RUN_FN, module_format="saved_model")
    assert not Path(trained.uri).exists()


def make(**options: Any) -> ModuleTrainer:
    examples = Channel(type=tfx.types.standard_artifacts.Examples)
    defaults = {"base_module": Channel(type=HubModule), "config": CONFIG}
    return ModuleTrainer(examples, **(defaults | options))


@pytest.mark.parametrize(
    "options", [{"run_fn": "a.f"}, {"module_file": "a.py"}, {"module_fn": "a.f"}]
)
def test_a_base_may_be_missing_where_something_stands_in_for_it(options: dict[str, str]) -> None:
    assert "base_module" not in make(base_module=None, **options).inputs


def test_a_trainer_that_starts_from_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"needs base_module, .* or module_fn"):
        make(base_module=None)


def test_a_trainer_that_starts_from_two_things_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"takes one of base_module, .*, and module_fn"):
        make(module_fn="a.f")
    optional = Channel(type=HubModule).as_optional()
    assert make(base_module=optional, module_fn="a.f").spec.exec_properties["module_fn"] == "a.f"


def test_run_fn_and_module_file_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="takes run_fn or module_file, not both"):
        make(run_fn="a.run_fn", module_file="a.py")


def test_the_config_is_checked_when_the_pipeline_is_made() -> None:
    with pytest.raises(ConfigError, match="unknown key 'labels'"):
        make(config='{"labels": "topic"}')


@pytest.mark.parametrize(
    ("options", "run_fn"),
    [
        ({}, "hub_tfx.finetune.run_fn.run_fn"),
        ({"run_fn": "mine.run_fn"}, "mine.run_fn"),
        ({"module_file": "mine.py"}, None),
    ],
)
def test_ours_is_the_run_fn_unless_another_is_given(options: Any, run_fn: str | None) -> None:
    properties = make(**options).spec.exec_properties
    assert properties.get("run_fn") == run_fn
    assert FineTuneConfig.from_json(properties["config"]) == CONFIG
