"""Fine-tuning of modules in TF1 hub format: what is learned, what is kept, and what comes out."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from hub_tfx import testing
from hub_tfx.errors import AuthoringError, OutputError
from hub_tfx.finetune.tf1_hub.trainer import train
from hub_tfx.finetune.training import PAIR, Trained, TrainingJob
from hub_tfx.module.create import module, text_embedding_module
from hub_tfx.module.inspect import inspect
from hub_tfx.module.load import load
from hub_tfx.testing.trainers import (
    changed_variables,
    image_job,
    served,
    training_job,
    variables_of,
)

WORDS = testing.WORDS
TEXTS = [f"{one} {other}" for one in WORDS for other in WORDS]
HAS_DOG = np.array([int("dog" in text) for text in TEXTS], np.int64)


def text_job(base: Path, work_dir: Path, **options: Any) -> TrainingJob:
    """Is there a dog in it?"""
    return training_job(base, work_dir, {"default": TEXTS}, HAS_DOG, **options)


def child_job(base: str, work_dir: str) -> TrainingJob:
    return text_job(Path(base), Path(work_dir), steps=40, eval_every=20)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.text_module(tmp_path_factory.mktemp("text") / "1", dim=2)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.image_module(tmp_path_factory.mktemp("image") / "1")


@pytest.fixture(scope="module")
def job(text: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    return text_job(text, tmp_path_factory.mktemp("tuned") / "work", steps=120, eval_every=60)


@pytest.fixture(scope="module")
def tuned(job: TrainingJob) -> Trained:
    return train(job)


# --- What is learned -----------------------------------------------------------------------------


def test_a_tuned_module_knows_what_a_frozen_one_cannot(tuned: Trained, text: Path, tmp_path: Path):
    frozen = train(text_job(text, tmp_path, steps=120, freeze=True))
    assert frozen.metrics["accuracy"] < 0.9
    assert tuned.metrics["accuracy"] == 1.0
    assert tuned.metrics["loss"] < frozen.metrics["loss"]
    assert not changed_variables(frozen.newest, text)
    assert inspect(frozen.newest) == inspect(text)


def test_serving_answers_for_serialized_examples(tuned: Trained):
    assert served(tuned, {"default": "a dog!"})["classes"] == b"yes"
    answer = served(tuned, {"default": "hello world"})
    assert answer["classes"] == b"no"
    np.testing.assert_allclose(answer["probabilities"].sum(), 1, rtol=1e-6)


def test_a_module_keeps_its_weights_until_it_is_unfrozen(text: Path, tmp_path: Path):
    options = {"steps": 20, "eval_every": 15, "freeze": True, "unfreeze_after": 10}
    trained = train(text_job(text, tmp_path, **options))
    assert [step for step, _ in trained.history] == [10, 20]
    before, after = (variables_of(tmp_path / f"model.ckpt-{step}") for step in (10, 20))
    parent = variables_of(text)
    table, moments = "module/embeddings", [n for n in before if "embeddings/adam/module" in n]
    assert before[table].tobytes() == parent["embeddings"].tobytes()
    assert len(moments) == 2
    assert not any(before[name].any() for name in moments)
    assert all(after[name].any() for name in moments)
    assert after[table].tobytes() != parent["embeddings"].tobytes()


def test_module_and_head_learn_each_at_its_own_rate(text: Path, tmp_path: Path):
    rates = {"learning_rate": 0.1, "module_learning_rate": 0.001, "warmup_steps": 10}
    trained = train(text_job(text, tmp_path, steps=1, **rates))
    step = variables_of(trained.newest)["embeddings"] - variables_of(text)["embeddings"]
    # The first step of Adam is as long as the rate, here a tenth of it by the warm-up.
    np.testing.assert_allclose(np.abs(step).max(), 0.0001, rtol=0.05)


def test_a_module_of_rate_0_is_frozen(image: Path, tmp_path: Path):
    trained = train(image_job(image, tmp_path, module_learning_rate=0.0))
    assert not changed_variables(trained.newest, image)


def test_the_losses_a_module_brings_are_trained(tmp_path: Path):
    vectors = testing.text_vectors(dim=2)
    base = text_embedding_module(WORDS, vectors, tmp_path / "base", l2_regularization=1.0).path
    labels = np.array([1, 0], np.int64)
    job = training_job(base, tmp_path / "work", {"default": ["dog", "cat"]}, labels)
    tuned = variables_of(train(job).newest)["embeddings"]
    unseen = WORDS.index("mat")
    assert np.all(np.abs(tuned[unseen]) < np.abs(vectors[unseen]))


def test_updates_run_while_the_module_learns_and_only_then(image: Path, tmp_path: Path):
    averages = {"norm/moving_mean", "norm/moving_variance"}
    assert averages <= changed_variables(train(image_job(image, tmp_path / "learns")).newest, image)
    late = train(image_job(image, tmp_path / "late", freeze=True, unfreeze_after=5))
    before = variables_of(tmp_path / "late" / "model.ckpt-5")
    assert all(np.array_equal(before[f"module/{n}"], variables_of(image)[n]) for n in averages)
    assert averages <= changed_variables(late.newest, image)


@pytest.mark.parametrize(("freeze", "accuracy"), [(False, 0), (True, 1)])
def test_the_variant_for_training_is_used_in_training_only(
    freeze: bool, accuracy: int, tmp_path: Path
):
    """It has the other sign: what is learned on it is wrong everywhere else."""

    def module_fn(training: bool) -> None:
        x = tf.compat.v1.placeholder(tf.float32, [None, 2])
        scaled = x * tf.compat.v1.get_variable("scale", initializer=[1.0, 1.0])
        outputs = {"default": -scaled if training else scaled, "other": tf.zeros([3])}
        hub.add_signature(inputs={"x": x}, outputs=outputs)

    variants = [(set(), {"training": False}), ({"train"}, {"training": True})]
    base = module(module_fn, variants, tmp_path / "base").path
    rows = np.array([[1, 1], [-1, -1]] * 8, np.float32)
    options = {"freeze": freeze, "steps": 60}
    job = training_job(base, tmp_path / "work", {"x": rows}, np.array([0, 1] * 8), **options)
    trained = train(job)
    assert trained.metrics["accuracy"] == accuracy
    assert served(trained, {"x": [1, 1]})["classes"] == (b"yes", b"no")[accuracy]


def test_a_pair_shares_the_weights_of_one_module(text: Path, tmp_path: Path):
    second = [reversed(t.split()) for t in TEXTS[:32]] + [["mat"]] * 32
    inputs = {"default": TEXTS, PAIR + "default": [" ".join(words) for words in second]}
    labels = np.array([1.0] * 32 + [0.0] * 32, np.float32)
    options = {"task": "similarity", "pair": "other", "steps": 60}
    trained = train(training_job(text, tmp_path, inputs, labels, **options))
    assert trained.metrics["auc"] > 0.95
    names = variables_of(tmp_path / "model.ckpt-60")
    assert len([name for name in names if name.endswith("embeddings")]) == 1
    same = served(trained, {"default": "the cat", PAIR + "default": "cat the"})["similarity"]
    assert same == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("task", "classes", "labels", "metric", "answer"),
    [
        ("classification", ("a", "b", "c"), np.arange(64) % 3, "accuracy", "probabilities"),
        ("multilabel", ("a", "b"), np.eye(2, dtype=np.float32)[HAS_DOG], "recall", "probabilities"),
        ("regression", (), HAS_DOG.astype(np.float32), "mae", "value"),
    ],
)
def test_every_task_has_its_metrics_and_answers(
    task: str, classes: tuple[str, ...], labels: Any, metric: str, answer: str, text, tmp_path
):
    job = training_job(text, tmp_path, {"default": TEXTS}, labels, classes, task=task, steps=3)
    trained = train(job)
    assert metric in trained.metrics
    assert np.all(np.isfinite(served(trained, {"default": "dog"})[answer]))


# --- What comes out ------------------------------------------------------------------------------


def test_the_tuned_module_has_the_variants_of_its_parent(tuned: Trained):
    assert inspect(tuned.newest).tags == ((), ("train",))


def test_hub_knows_the_tuned_module_as_it_knows_its_parent(tuned: Trained, text: Path):
    signature = hub.load(str(tuned.newest)).signatures["default"]
    expected = signature(tf.constant(["dog cat"]))["default"].numpy()
    assert not np.allclose(expected, load(text)({"default": ["dog cat"]})["default"])
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        modules = [
            hub.Module(str(path), trainable=True, tags={"train"}) for path in (text, tuned.newest)
        ]
        names = [module.variable_map.keys() for module in modules]
        output = modules[1](["dog cat"])
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(tf.compat.v1.tables_initializer())
        np.testing.assert_allclose(session.run(output), expected, rtol=1e-6)
    assert names[0] == names[1] == {"embeddings"}


def test_the_tuned_module_stands_alone(tuned: Trained, text: Path, tmp_path: Path):
    expected = load(tuned.newest)({"default": ["dog cat"]})["default"].numpy()
    moved = tmp_path / "moved"
    shutil.copytree(tuned.newest, moved)
    assert str(text).encode() not in (moved / "saved_model.pb").read_bytes()
    code = (
        "import json, sys; from hub_tfx._quiet import quiet_libraries; quiet_libraries();"
        "from hub_tfx.module.load import load;"
        "print(load(sys.argv[1])({'default': ['dog cat']})['default'].numpy().tolist())"
    )
    work_dir = tuned.newest.parents[2]
    hidden = [(path, path.with_name("hidden")) for path in (text, work_dir)]
    for path, away in hidden:
        path.rename(away)
    try:
        child = subprocess.run([sys.executable, "-c", code, moved], capture_output=True, text=True)
    finally:
        for path, away in hidden:
            away.rename(path)
    assert child.returncode == 0, child.stderr
    np.testing.assert_allclose(json.loads(child.stdout), expected, rtol=1e-6)


def test_a_tuned_module_can_be_tuned_again(tuned: Trained, text: Path, tmp_path: Path):
    again = train(text_job(tuned.newest, tmp_path, steps=3))
    assert inspect(again.newest) == inspect(text)
    assert "embeddings" in changed_variables(again.newest, tuned.newest)


def test_a_module_without_a_variant_for_training_learns_too(tmp_path: Path):
    def module_fn() -> None:
        x = tf.compat.v1.placeholder(tf.float32, [None, 2])
        hub.add_signature(inputs={"x": x}, outputs={"y": x * tf.compat.v1.get_variable("w", [2])})

    base = module(module_fn, None, tmp_path / "base").path
    rows = np.eye(2, dtype=np.float32)
    trained = train(training_job(base, tmp_path / "work", {"x": rows}, np.array([0, 1], np.int64)))
    assert changed_variables(trained.newest, base) == {"w"}


@pytest.mark.parametrize("options", [{}, {"freeze": True}])
def test_variables_only_of_the_variant_for_training_are_exported(options: Any, tmp_path: Path):
    def module_fn(training: bool) -> None:
        x = tf.compat.v1.placeholder(tf.float32, [None, 2])
        y = x * tf.compat.v1.get_variable("w", [2])
        if training:
            y += tf.compat.v1.get_variable("noise", [2], trainable=False)
        hub.add_signature(inputs={"x": x}, outputs={"y": y})

    variants = [(set(), {"training": False}), ({"train"}, {"training": True})]
    base = module(module_fn, variants, tmp_path / "base").path
    rows = np.eye(2, dtype=np.float32)
    labels = np.array([0, 1], np.int64)
    trained = train(training_job(base, tmp_path / "work", {"x": rows}, labels, **options))
    assert changed_variables(trained.newest, base) == ({"w"} if not options else set())


# --- How it goes ---------------------------------------------------------------------------------


def test_events_are_written_for_tensorboard(tuned: Trained, job: TrainingJob):
    assert list(job.work_dir.glob("events.*"))
    assert list(job.work_dir.glob("eval/events.*"))


def test_training_stops_when_evaluations_get_no_better(text: Path, tmp_path: Path):
    """Evaluations before it is unfrozen do not count."""
    options = {"learning_rate": 0.0, "steps": 100, "eval_every": 3, "patience": 2}
    job = text_job(text, tmp_path, freeze=True, unfreeze_after=6, **options)
    trained = train(job)
    assert (trained.steps, len(trained.history)) == (12, 4)
    assert trained.best.parent.name == "3"
    assert trained.serving.parent.name == "3"
    assert trained.newest.parent.name == "12"
    assert all(inspect(path) == inspect(text) for path in (trained.best, trained.newest))
    assert train(job) == trained


def test_a_finished_run_can_be_made_longer(tuned: Trained, job: TrainingJob, tmp_path: Path):
    work_dir = shutil.copytree(job.work_dir, tmp_path / "work")
    longer = replace(job, work_dir=work_dir, config=replace(job.config, steps=125))
    assert train(longer).history[:2] == tuned.history
    other = replace(job, config=replace(job.config, learning_rate=1.0))
    with pytest.raises(OutputError, match="another training, whose 'learning_rate' differs"):
        train(other)


KILLED = """
import os, signal, sys
sys.path.insert(0, {folder!r})
from hub_tfx._quiet import quiet_libraries
quiet_libraries()
from test_tf1_hub_trainer import child_job
from hub_tfx.finetune.tf1_hub import trainer

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

# Between the exports of step 40: the module is whole, there is no serving model.
export = trainer._Exporter._export
def at_40(self, estimator, export_path, checkpoint_path, step, metrics):
    if step == 40:
        type(estimator).export_saved_model = kill
    export(self, estimator, export_path, checkpoint_path, step, metrics)
trainer._Exporter._export = at_40
trainer.train(child_job(*sys.argv[1:]))
"""


def test_a_run_killed_between_two_exports_ends_as_any_other(text: Path, tmp_path: Path):
    work_dir = tmp_path / "work"
    code = KILLED.format(folder=str(Path(__file__).parent))
    arguments = [sys.executable, "-c", code, text, work_dir]
    child = subprocess.run(arguments, capture_output=True, text=True)
    assert child.returncode == -signal.SIGKILL, child.stderr
    document = json.loads((work_dir / "evaluations.json").read_text())
    assert [step for step, _ in document["history"]] == [20]
    assert list(work_dir.glob("evaluated/.40*"))
    (work_dir / "export" / "module" / "temp-1700000000").mkdir(parents=True)
    trained = train(child_job(str(text), str(work_dir)))
    whole = train(child_job(str(text), str(tmp_path / "whole")))
    assert trained.history == whole.history
    assert not changed_variables(trained.newest, whole.newest)
    assert sorted(p.name for p in work_dir.glob("evaluated/*")) == ["40"]
    assert not (work_dir / "export").exists()
    assert served(trained, {"default": "dog"}) is not None


# --- What cannot be ------------------------------------------------------------------------------


def test_nothing_exported_is_an_error(text: Path, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr(hub, "register_module_for_export", lambda *_: None)
    with pytest.raises(AuthoringError, match="nothing was exported"):
        train(text_job(text, tmp_path, steps=2))
    assert not list(tmp_path.glob("evaluated/*"))


@pytest.mark.parametrize("good_batches", [0, 5])
def test_a_loss_that_is_no_number_is_an_error(good_batches: int, image: Path, tmp_path: Path):
    """Before anything is evaluated or exported."""
    job = image_job(image, tmp_path, steps=20, eval_every=10)

    def rows() -> Any:
        bad = job.train().map(
            lambda inputs, labels: ({"images": np.nan * inputs["images"]}, labels)
        )
        return job.train().take(good_batches).concatenate(bad)

    with pytest.raises(AuthoringError, match="lower the learning rates"):
        train(replace(job, train=rows))
    assert not list(tmp_path.glob("evaluated/*"))


def test_what_cannot_learn_is_an_error(text: Path, tmp_path: Path):
    inputs = {"default": TEXTS, PAIR + "default": TEXTS}
    options = {"task": "similarity", "pair": "other", "freeze": True}
    labels = np.ones(len(TEXTS), np.float32)
    with pytest.raises(AuthoringError, match="nothing can learn"):
        train(training_job(text, tmp_path, inputs, labels, **options))

    def module_fn() -> None:
        x = tf.compat.v1.placeholder(tf.float32, [None, 2])
        hub.add_signature(inputs={"x": x}, outputs={"y": 2 * x})

    fixed = module(module_fn, None, tmp_path / "fixed").path
    rows = np.eye(2, dtype=np.float32)
    with pytest.raises(AuthoringError, match="no trainable variable"):
        train(training_job(fixed, tmp_path / "work", {"x": rows}, np.array([0, 1], np.int64)))
