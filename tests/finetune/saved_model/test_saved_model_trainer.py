"""Fine-tuning of reusable SavedModels: what is learned, what is kept, and what comes out."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from hub_tfx import testing
from hub_tfx.errors import AuthoringError
from hub_tfx.finetune.heads import Head
from hub_tfx.finetune.saved_model.trainer import train
from hub_tfx.finetune.training import PAIR, Progress, Trained, TrainingJob
from hub_tfx.module.create import text_embedding_module
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
_OPTIONS = {"steps": 60, "batch_size": 8, "eval_every": 30}


def make_job(
    base: Path,
    work_dir: Path,
    inputs: Mapping[str, Any],
    labels: Any,
    classes: tuple[str, ...] = ("no", "yes"),
    **options: Any,
) -> TrainingJob:
    return training_job(base, work_dir, inputs, labels, classes, **(_OPTIONS | options))


def alternating(base: Path) -> dict[str, int]:
    """Word -> label that no threshold on the words' 1-d vectors tells apart."""
    vectors = load(base)({"inputs": list(WORDS)})["default"].numpy()[:, 0]
    return {WORDS[n]: i % 2 for i, n in enumerate(np.argsort(vectors))}


def text_job(base: Path, work_dir: Path, **options: Any) -> TrainingJob:
    labels = alternating(base)
    texts, values = list(labels), np.array(list(labels.values()), np.int64)
    return make_job(base, work_dir, {"inputs": texts}, values, **options)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.text_module(tmp_path_factory.mktemp("text") / "1", "saved_model", dim=1)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.image_module(tmp_path_factory.mktemp("image") / "1", "saved_model")


@pytest.fixture(scope="module")
def tuned_text(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(text_job(text, tmp_path_factory.mktemp("tuned"), steps=150, eval_every=75))


@pytest.fixture(scope="module")
def keras_dict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module that a Keras user saved: dict inputs, dropout, moving averages, an optimizer."""
    layers = tf.keras.layers
    inputs = {"left": layers.Input([3], name="left"), "right": layers.Input([2], name="right")}
    vectors = layers.Concatenate()([inputs["left"], inputs["right"]])
    glorot = tf.keras.initializers.GlorotUniform(seed=1)
    dense = layers.Dense(4, "tanh", kernel_initializer=glorot, kernel_regularizer="l2")
    vectors = layers.BatchNormalization(momentum=0.5)(dense(vectors))
    vectors = layers.Dropout(0.2, seed=1)(vectors)
    model = tf.keras.Model(inputs, vectors)
    model.compile("adam", "mse")
    rows = {"left": tf.ones([4, 3]), "right": tf.ones([4, 2])}
    model.fit(rows, tf.zeros([4, 4]), verbose=0)
    path = tmp_path_factory.mktemp("keras") / "1"
    model.save(path, save_format="tf")
    return path


# --- What is learned ------------------------------------------------------------------------------


def test_a_tuned_module_learns_what_a_frozen_one_cannot(
    text: Path, tuned_text: Trained, tmp_path: Path
) -> None:
    frozen = train(text_job(text, tmp_path, freeze=True, steps=150, eval_every=75))
    assert tuned_text.best_metrics["accuracy"] == 1
    assert frozen.best_metrics["accuracy"] < 0.8


def test_a_module_is_frozen_until_it_is_not(image: Path, tmp_path: Path) -> None:
    options = {"freeze": True, "steps": 30, "eval_every": 30}
    late = train(image_job(image, tmp_path / "late", unfreeze_after=29, **options))
    never = train(image_job(image, tmp_path / "never", unfreeze_after=30, **options))
    assert not changed_variables(never.newest, image)
    changed = variables_of(late.newest)
    assert not any(
        np.array_equal(changed[k], v) for k, v in variables_of(image).items() if "kernel" in k
    )


def test_learning_rates_of_module_and_head_are_separate(text: Path, tmp_path: Path) -> None:
    options = {"steps": 20, "eval_every": 20}
    slow = text_job(text, tmp_path / "slow", module_learning_rate=1e-6, **options)
    head = text_job(
        text, tmp_path / "head", learning_rate=0.0, module_learning_rate=0.05, **options
    )
    (before,), (slowly,), (fast,) = (
        variables_of(path).values() for path in (text, train(slow).newest, train(head).newest)
    )
    assert 0 < np.abs(slowly - before).max() < 1e-4
    assert np.abs(fast - before).max() > 0.05


def test_learning_rates_warm_up(text: Path, tmp_path: Path) -> None:
    """Adam's first step is as long as the learning rate."""
    options = {"steps": 1, "eval_every": 1, "learning_rate": 0.1}
    (before,) = variables_of(text).values()
    moved = []
    for name, warmup in (("cold", 0), ("warm", 10)):
        trained = train(text_job(text, tmp_path / name, warmup_steps=warmup, **options))
        (after,) = variables_of(trained.newest).values()
        moved.append(np.abs(after - before).max())
    assert moved == pytest.approx([0.1, 0.01], rel=0.01)


def test_the_losses_of_a_module_are_learned_from(tmp_path: Path) -> None:
    """The vector of a word that is in no text shrinks by them alone."""
    after = []
    for factor in (0.0, 1.0):
        base = text_embedding_module(
            ["cat", "dog", "unseen"],
            [[1.0], [2.0], [3.0]],
            tmp_path / f"base-{factor}",
            format="saved_model",
            l2_regularization=factor,
        ).path
        labels = np.array([0, 1], np.int64)
        job = make_job(base, tmp_path / f"{factor}", {"inputs": ["cat", "dog"]}, labels)
        after.append(load(train(job).newest)({"inputs": ["unseen"]})["default"].numpy().item())
    assert after[0] == 3
    assert after[1] < 2


def test_weights_of_the_head_decay(text: Path, tmp_path: Path) -> None:
    losses = [
        train(
            text_job(text, tmp_path / str(decay), weight_decay=decay, hidden=(4,), freeze=True)
        ).metrics["loss"]
        for decay in (0.0, 10.0)
    ]
    assert losses[0] < losses[1] == pytest.approx(np.log(2), abs=0.02)


def test_pairs_share_one_module(text: Path, tmp_path: Path) -> None:
    module = testing.text_module(tmp_path / "base", "saved_model", dim=3)
    first = ["cat", "cat", "dog", "dog"]
    second = ["dog", "mat", "mat", "cat"]
    labels = np.array([1, 0, 0, 1], np.float32)
    inputs = {"inputs": first, PAIR + "inputs": second}
    job = make_job(module, tmp_path / "work", inputs, labels, task="similarity", pair="other")
    trained = train(job)
    assert trained.metrics["loss"] < 0.01
    cat, dog, mat = load(trained.newest)({"inputs": ["cat", "dog", "mat"]})["default"].numpy()

    def cosine(a: Any, b: Any) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert cosine(cat, dog) > 0.9
    assert max(cosine(cat, mat), cosine(dog, mat)) < 0.6
    answer = served(trained, {"inputs": "cat", PAIR + "inputs": "dog"})
    assert answer == {"similarity": pytest.approx(cosine(cat, dog), abs=1e-5)}


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_other_tasks(text: Path, tmp_path: Path, task: str) -> None:
    values = np.array(list(alternating(text).values()), np.float32)
    labels = np.stack([values, 1 - values], 1) if task == "multilabel" else values
    job = make_job(text, tmp_path, {"inputs": list(alternating(text))}, labels, task=task)
    if task == "multilabel":
        job = replace(job, head=Head.of(job.config, ("odd", "even")))
    trained = train(job)
    first, last = trained.history[0][1], trained.history[-1][1]
    assert last["loss"] < first["loss"] < 0.7
    assert last["recall" if task == "multilabel" else "mae"] == pytest.approx(
        1 if task == "multilabel" else 0, abs=0.25
    )


# --- How it runs ---------------------------------------------------------------------------------


def test_training_leaves_the_callers_random_numbers_alone(text: Path, tmp_path: Path) -> None:
    tf.random.set_seed(5)
    np.random.seed(5)
    expected = tf.random.uniform([]).numpy(), np.random.random()
    tf.random.set_seed(5)
    np.random.seed(5)
    train(text_job(text, tmp_path, steps=1, dropout=0.5, hidden=(2,)))
    assert (tf.random.uniform([]).numpy(), np.random.random()) == expected
    tf.random.set_seed(None)  # Other tests compare with processes that set none.


def test_it_stops_when_evaluations_get_no_better(text: Path, tmp_path: Path) -> None:
    """Evaluations before it is unfrozen do not count."""
    reports: list[Progress] = []
    options = {"steps": 100, "eval_every": 10, "patience": 2, "learning_rate": 0.0}
    job = text_job(text, tmp_path, freeze=True, unfreeze_after=20, **options)
    trained = train(replace(job, report=reports.append))
    assert trained.steps == 40
    assert [step for step, _ in trained.history] == [10, 20, 30, 40]
    assert trained.best_metrics == trained.history[0][1]
    assert (trained.newest.name, trained.best.name) == ("newest", "best")
    assert [p.step for p in reports if p.metrics] == [10, 20, 30, 40]
    assert all(p.steps_per_s > 0 and (p.loss is None) == bool(p.metrics) for p in reports)


def test_events_are_written_for_tensorboard(tuned_text: Trained) -> None:
    folders = {path.parent.name for path in tuned_text.newest.parent.glob("events/*/*tfevents*")}
    assert folders == {"train", "eval"}


def test_a_resumed_run_still_has_its_best_module(text: Path, tmp_path: Path) -> None:
    """Which was evaluated before the run was cut off, and is in no newer checkpoint."""
    options = {"steps": 30, "eval_every": 10, "learning_rate": 0.0}

    def cut_off(progress: Progress) -> None:
        if progress.step > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(replace(text_job(text, tmp_path, **options), report=cut_off))
    trained = train(text_job(text, tmp_path, **options))
    assert [step for step, _ in trained.history] == [10, 20, 30]
    assert (trained.best.name, trained.best_metrics) == ("best", trained.history[0][1])


def test_a_run_that_is_over_only_writes_what_is_missing(
    text: Path, tuned_text: Trained, tmp_path: Path
) -> None:
    work_dir = tmp_path / "work"
    shutil.copytree(tuned_text.newest.parent, work_dir)
    shutil.rmtree(work_dir / "serving")
    killed = work_dir / f".newest.{uuid4().hex}.tmp"
    killed.mkdir()
    reports: list[Progress] = []
    job = text_job(text, work_dir, steps=150, eval_every=75)
    again = train(replace(job, report=reports.append))
    assert again.history == tuned_text.history
    assert again.serving.is_dir()
    assert not reports
    assert not killed.exists()


# --- What comes out ------------------------------------------------------------------------------


def test_three_generations_of_a_keras_module(keras_dict: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs = {"left": rng.normal(size=(16, 3)), "right": rng.normal(size=(16, 2))}
    rows = {key: value.astype(np.float32) for key, value in inputs.items()}
    labels = (rows["left"][:, 0] > rows["right"][:, 1]).astype(np.int64)
    parent, generations = keras_dict, [keras_dict]
    for generation in range(3):
        options = {"steps": 40, "eval_every": 40, "batch_size": 16}
        trained = train(make_job(parent, tmp_path / str(generation), rows, labels, **options))
        parent = trained.newest
        generations.append(parent)
        assert inspect(parent) == inspect(keras_dict)
        assert trained.metrics["loss"] < 0.5
    assert all(changed_variables(a, b) for a, b in pairwise(generations))
    layer = hub.KerasLayer(str(parent), trainable=True)
    assert len(layer.trainable_weights) == 4
    assert len(layer.losses) == 1
    expected = load(parent)(rows)["default"]
    np.testing.assert_array_equal(layer(rows, training=False), expected)
    again = tf.keras.models.load_model(parent)  # Keras' own files come along.
    np.testing.assert_allclose(again(rows), expected, rtol=1e-5, atol=1e-6)


def test_keras_goes_on_with_a_tuned_module(text: Path, tuned_text: Trained) -> None:
    layer = hub.KerasLayer(str(tuned_text.newest), trainable=True)
    model = tf.keras.Sequential([tf.keras.Input([], dtype=tf.string), layer])
    (tuned,) = variables_of(tuned_text.newest).values()
    (variable,) = layer.trainable_weights
    np.testing.assert_array_equal(variable, tuned)
    model.compile("sgd", "mse")
    model.fit(tf.constant(WORDS), tf.zeros([len(WORDS), 1]), epochs=3, verbose=0)
    assert np.square(variable).sum() < np.square(tuned).sum()


def test_the_behaviour_for_training_is_used_in_training_only(tmp_path: Path) -> None:
    """It has the other sign: what is learned with it is wrong everywhere else."""
    module = tf.train.Checkpoint(scale=tf.Variable([1.0, 1.0]))
    module.trainable_variables = [module.scale]
    spec = tf.TensorSpec([None, 2])
    base = save(
        module,
        tmp_path / "base",
        lambda inputs, training=False: module.scale * (-inputs if training else inputs),
        *((spec, mode) for mode in (False, True)),
    )
    inputs = {"inputs": np.array([[1, 1], [-1, -1]] * 8, np.float32)}
    for freeze, accuracy in ((False, 0), (True, 1)):
        job = make_job(base, tmp_path / str(freeze), inputs, np.array([0, 1] * 8), freeze=freeze)
        trained = train(job)
        assert trained.metrics["accuracy"] == accuracy
        assert served(trained, {"inputs": [1, 1]})["classes"] == (b"yes", b"no")[accuracy]


def test_signatures_and_callable_have_the_same_new_weights(text: Path, tuned_text: Trained) -> None:
    answers = [
        load(tuned_text.newest, name)({key: list(WORDS)})["default"].numpy()
        for name, key in (("__call__", "inputs"), ("default", "default"))
    ]
    np.testing.assert_array_equal(*answers)
    assert not np.allclose(answers[0], load(text)({"inputs": list(WORDS)})["default"])


def test_the_serving_model_answers_with_classes(text: Path, tuned_text: Trained) -> None:
    for word, label in alternating(text).items():
        answer = served(tuned_text, {"inputs": word})
        assert answer["classes"] == (b"no", b"yes")[label]
        assert answer["probabilities"].sum() == pytest.approx(1)


def test_tables_of_the_serving_function_are_saved_if_they_are_named(
    text: Path, tmp_path: Path
) -> None:
    words = tf.lookup.KeyValueTensorInitializer(["chat"], ["cat"])
    table = tf.lookup.StaticHashTable(words, "unknown")
    job = text_job(text, tmp_path, steps=2)

    def translated(examples: Any) -> Any:
        return {"inputs": table.lookup(job.serving(examples)["inputs"])}

    with pytest.raises(AuthoringError, match="give what holds them as serving_resources"):
        train(replace(job, serving=translated))
    trained = train(replace(job, serving=translated, serving_resources=table))
    plain = train(replace(job, work_dir=tmp_path / "plain"))
    answers = served(trained, {"inputs": "chat"}), served(plain, {"inputs": "cat"})
    assert answers[0]["probabilities"] == pytest.approx(answers[1]["probabilities"])


LOAD = """
import sys
from hub_tfx._quiet import quiet_libraries
quiet_libraries()
import tensorflow as tf, tensorflow_hub as hub
print(hub.load(sys.argv[1])(["cat"]).numpy().tolist())
print(sorted(tf.saved_model.load(sys.argv[2]).signatures["serving_default"].structured_outputs))
"""


def test_what_comes_out_needs_nothing_of_where_it_was_made(text: Path, tmp_path: Path) -> None:
    base, work_dir = tmp_path / "base", tmp_path / "work"
    shutil.copytree(text, base)
    trained = train(text_job(base, work_dir, steps=10))
    expected = load(trained.newest)({"inputs": ["cat"]})["default"].numpy().tolist()
    for path in (trained.newest, trained.serving):
        shutil.copytree(path, tmp_path / "moved" / path.name)
    base.rename(tmp_path / "gone")
    shutil.rmtree(work_dir)
    paths = [str(tmp_path / "moved" / name) for name in ("newest", "serving")]
    output = subprocess.run(
        [sys.executable, "-c", LOAD, *paths], check=True, capture_output=True, text=True
    ).stdout
    assert output.splitlines() == [str(expected), "['classes', 'probabilities']"]


# --- What cannot be trained ----------------------------------------------------------------------


def save(module: Any, path: Path, call: Any, *traces: Any) -> Path:
    module.__call__ = tf.function(call)
    for arguments in traces:
        module.__call__.get_concrete_function(*arguments)
    tf.saved_model.save(module, str(path))
    return path


def test_lists_and_modules_without_a_training_mode_will_do(tmp_path: Path) -> None:
    module = tf.train.Checkpoint(scale=tf.Variable([1.0, 1.0]))
    module.trainable_variables = [module.scale]
    spec = tf.TensorSpec([None, 2])
    base = save(
        module,
        tmp_path / "base",
        lambda inputs: module.scale * inputs[0] + inputs[1],
        ([spec, spec],),
    )
    rows = np.random.default_rng(0).normal(size=(2, 8, 2)).astype(np.float32)
    inputs = {"inputs_0": rows[0], "inputs_1": rows[1]}
    trained = train(make_job(base, tmp_path / "work", inputs, np.arange(8) % 2))
    assert changed_variables(trained.newest, base)


def test_a_module_that_was_not_traced_for_training_is_named(tmp_path: Path) -> None:
    module = tf.train.Checkpoint(scale=tf.Variable([1.0, 1.0]))
    module.trainable_variables = [module.scale]
    base = save(
        module,
        tmp_path / "base",
        lambda inputs, training=False: (2.0 if training else 1.0) * module.scale * inputs,
        (tf.TensorSpec([None, 2]), False),
    )
    job = make_job(
        base, tmp_path / "work", {"inputs": np.ones([4, 2], np.float32)}, np.arange(4) % 2
    )
    with pytest.raises(AuthoringError, match="cannot be called with training=True"):
        train(job)


def test_a_module_without_trainable_variables_can_only_be_frozen(tmp_path: Path) -> None:
    module = tf.train.Checkpoint(scale=tf.Variable([1.0, 1.0], trainable=False))
    base = save(
        module, tmp_path / "base", lambda inputs: module.scale * inputs, (tf.TensorSpec([None, 2]),)
    )
    inputs, labels = {"inputs": np.ones([4, 2], np.float32)}, np.arange(4) % 2
    with pytest.raises(AuthoringError, match="no trainable variable: freeze it"):
        train(make_job(base, tmp_path / "work", inputs, labels))
    assert (
        train(make_job(base, tmp_path / "frozen", inputs, labels, freeze=True, steps=1)).steps == 1
    )


def test_only_the_callable_of_a_saved_model_can_be_trained(text: Path, tmp_path: Path) -> None:
    job = text_job(text, tmp_path)
    spec = inspect(text).signature("default")
    with pytest.raises(AuthoringError, match="'default' of a TF2 SavedModel cannot be fine-tuned"):
        train(replace(job, signature="default", signature_spec=spec))


def test_pairs_on_a_frozen_module_have_nothing_to_learn(text: Path, tmp_path: Path) -> None:
    inputs = {"inputs": ["cat"], PAIR + "inputs": ["dog"]}
    options = {"task": "similarity", "pair": "other", "freeze": True}
    job = make_job(text, tmp_path, inputs, np.ones(1, np.float32), **options)
    with pytest.raises(AuthoringError, match="nothing to learn"):
        train(job)


def test_a_training_that_diverges_ends_and_exports_nothing(text: Path, tmp_path: Path) -> None:
    job = text_job(text, tmp_path, task="regression", classes=(), learning_rate=1e30)
    labels = tf.data.Dataset.from_tensors(({"inputs": ["cat"]}, [1.0]))
    with pytest.raises(AuthoringError, match=r"loss at step \d+ is (inf|nan): lower the learning"):
        train(replace(job, train=labels.repeat, evaluate=lambda: labels))
    assert not (tmp_path / "newest").exists()
