"""hub's feature columns in canned Estimators, on modules that our cache resolved."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tfx.v1 as tfx
from google.protobuf import json_format
from tfx_helpers import example

from hub_tfx import testing
from hub_tfx.artifacts import HubModule, read_module, write_module
from hub_tfx.components.module_trainer import executor
from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.feature_columns import run_fn
from hub_tfx.module.inspect import inspect
from hub_tfx.module.load import load
from hub_tfx.store.cache import ModuleCache

pytestmark = pytest.mark.long

WORDS = testing.WORDS
TEXTS = [f"{one} {other}" for one in WORDS for other in WORDS]
HAS_DOG = np.array([int("dog" in text) for text in TEXTS], np.int64)
_artifacts = tfx.types.standard_artifacts


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Where the cache has a module."""
    folder = tmp_path_factory.mktemp("cached")

    def resolve(make: Callable[[Path], Path]) -> str:
        base = make(folder / make.__name__)
        return str(ModuleCache(folder / "cache").resolve(str(base)).path)

    return resolve


@pytest.fixture(scope="module")
def text(cache: Any) -> str:
    return cache(testing.text_module)


def train_canned(column: Any, folder: Path, features: Any, labels: Any) -> Any:
    """A canned Estimator with one column, trained until it knows all rows."""

    def rows() -> Any:
        return tf.data.Dataset.from_tensor_slices((features, labels)).map(split_words).batch(16)

    estimator = tf.compat.v1.estimator.DNNClassifier(
        (8,),
        [column],
        optimizer=lambda: tf.compat.v1.train.AdamOptimizer(0.05),
        activation_fn=tf.nn.tanh,  # Units of ReLU may be dead from the start.
        config=tf.estimator.RunConfig(str(folder), tf_random_seed=1),
    )
    estimator.train(lambda: rows().repeat(), max_steps=80)
    assert estimator.evaluate(rows)["accuracy"] == 1
    return estimator


def has_learned(estimator: Any, base: str) -> bool:
    """Whether the words of the column's module have other vectors than those of the base."""
    (name,) = (n for n in estimator.get_variable_names() if n.endswith("/embeddings"))
    parent = tf.train.load_variable(f"{base}/variables/variables", "embeddings")
    return bool(np.abs(estimator.get_variable_value(name) - parent).max() > 0.1)


def split_words(features: dict[str, Any], label: Any) -> tuple[dict[str, Any], Any]:
    """Adds ``words``, sparse, where there is ``text``."""
    if "text" in features:
        words = tf.sparse.from_dense(tf.strings.split(features["text"]))
        features = features | {"words": words}
    return features, label


def test_a_text_column_learns(text: str, tmp_path: Path) -> None:
    column = hub.text_embedding_column("text", text, trainable=True)
    assert has_learned(train_canned(column, tmp_path, {"text": TEXTS}, HAS_DOG), text)


def test_a_column_of_words_learns(text: str, tmp_path: Path) -> None:
    column = hub.sparse_text_embedding_column("words", text, "sqrtn", None, trainable=True)
    assert has_learned(train_canned(column, tmp_path, {"text": TEXTS}, HAS_DOG), text)


def test_an_image_column_is_learned_on(cache: Any, tmp_path: Path) -> None:
    column = hub.image_embedding_column("image", cache(testing.image_module))
    labels = np.arange(32) % 2
    noise = np.random.default_rng(0).uniform(size=(32, 8, 8, 3))
    images = (0.2 * noise + 0.6 * labels[:, None, None, None]).astype(np.float32)
    train_canned(column, tmp_path, {"image": images}, labels.astype(np.int64))


# --- Our run_fn, through ModuleTrainer ----------------------------------------------------------


@pytest.fixture(scope="module")
def transformed(transform: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A TransformGraph, and the Examples it made."""
    folder = tmp_path_factory.mktemp("transformed")
    scalar = tf.io.FixedLenFeature([], tf.string)
    rows = [
        {"text": text.encode(), "topic": (b"rest", b"pet")[label]}
        for text, label in zip(TEXTS, HAS_DOG, strict=True)
    ]
    graph, file = transform(
        folder,
        rows,
        {"text": scalar, "topic": scalar},
        {"label": "topic", "task": "classification", "texts": ["text"], "kept": []},
    )
    examples, transform_graph = _artifacts.Examples(), _artifacts.TransformGraph()
    examples.uri, transform_graph.uri = str(folder / "examples"), str(graph)
    examples.split_names = '["train", "eval"]'
    for split in ("train", "eval"):
        folder = Path(examples.uri, f"Split-{split}")
        folder.mkdir(parents=True)
        (folder / "data.gz").write_bytes(file.read_bytes())
    return transform_graph, examples


@pytest.fixture
def train(text: str, transformed: tuple[Any, Any], tmp_path: Path) -> Callable[..., Any]:
    """Runs ModuleTrainer's executor; returns its artifacts by output key."""

    def run(config: FineTuneConfig) -> dict[str, Any]:
        base = HubModule()
        outputs = {
            "module": HubModule(),
            "model": _artifacts.Model(),
            "model_run": _artifacts.ModelRun(),
        }
        for key, artifact in {"base": base, **outputs}.items():
            artifact.uri = str(tmp_path / key)
        write_module(base, Path(text), {"handle": text})
        graph, examples = transformed
        executor.Executor().Do(
            {"examples": [examples], "base_module": [base], "transform_graph": [graph]},
            {key: [artifact] for key, artifact in outputs.items()},
            {
                "config": config.to_json(),
                "run_fn": "hub_tfx.finetune.feature_columns.run_fn",
                "train_args": json_format.MessageToJson(tfx.proto.TrainArgs(num_steps=1)),
                "eval_args": json_format.MessageToJson(tfx.proto.EvalArgs(num_steps=1)),
                "custom_config": "{}",
            },
        )
        return outputs

    return run


OPTIONS = {"steps": 60, "batch_size": 16, "learning_rate": 0.05, "eval_every": 30}


def test_the_tuned_module_is_the_one_that_the_estimator_uses(train: Any, text: str) -> None:
    outputs = train(FineTuneConfig("topic", hidden=(4,), **OPTIONS))
    tuned = read_module(outputs["module"])
    assert tuned.spec == inspect(text)
    vectors, parents = (
        load(path)({"default": TEXTS})["default"].numpy() for path in (tuned.path, text)
    )
    assert np.abs(vectors - parents).max() > 0.1

    run_dir = outputs["model_run"].uri
    head = tf.train.load_checkpoint(run_dir)

    def dense(values: Any, name: str) -> Any:
        kernel, bias = (head.get_tensor(f"dnn/{name}/{part}") for part in ("kernel", "bias"))
        return values @ kernel + bias

    logits = dense(np.maximum(dense(vectors, "hiddenlayer_0"), 0), "logits")[:, 0]
    serving = tf.saved_model.load(str(Path(outputs["model"].uri, "Format-Serving")))
    raw = [example({"text": f" {text}\n"}).SerializeToString() for text in TEXTS]
    answer = serving.signatures["predict"](examples=tf.constant(raw))
    np.testing.assert_allclose(answer["logits"].numpy()[:, 0], logits, rtol=1e-3, atol=1e-4)
    metrics = json.loads(Path(run_dir, "metrics.json").read_text())
    assert metrics["global_step"] == 60
    assert metrics["accuracy"] == ((logits > 0) == HAS_DOG).mean() == 1


@pytest.mark.usefixtures("taken_on_trust")
def test_a_frozen_column_leaves_the_module_as_it_was(train: Any, text: str) -> None:
    tuned = read_module(train(FineTuneConfig("topic", freeze=True, **OPTIONS))["module"])
    vectors = [load(path)({"default": TEXTS})["default"].numpy() for path in (tuned.path, text)]
    np.testing.assert_array_equal(*vectors)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (FineTuneConfig("topic", task="regression"), "is for task classification, not regression"),
        (FineTuneConfig("topic", inputs={"default": "body"}), "no feature 'body'; .* text, topic"),
        (FineTuneConfig("text"), "vocabulary 'text' of the Transform graph has 0 classes"),
    ],
)
def test_what_it_cannot_learn_is_one_error(train: Any, config: Any, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        train(config)


def test_it_needs_a_base_module_and_a_transform_graph() -> None:
    config = {"fine_tune": FineTuneConfig("topic").to_json()}
    arguments = SimpleNamespace(base_model=None, transform_graph_path="graph", custom_config=config)
    with pytest.raises(ConfigError, match="a base_module and a transform_graph"):
        run_fn(arguments)
