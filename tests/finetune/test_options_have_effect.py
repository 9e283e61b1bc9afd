"""No option is accepted and then ignored: it changes what is learned, or is refused."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hub_tfx import testing
from hub_tfx.errors import ConfigError
from hub_tfx.finetune import feature_columns
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.saved_model.model import TunableModel
from hub_tfx.finetune.saved_model.tunable import load_tunable
from hub_tfx.finetune.training import PAIR
from hub_tfx.testing.trainers import training_job

_CLASSES = ("a", "b", "c")
_LABELS: dict[str, Any] = {
    "classification": np.array([0, 1, 1, 2], np.int64),
    "multilabel": np.array([[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1]], np.float32),
    "regression": np.array([0.5, -1, 2, 3], np.float32),
    "similarity": np.array([0, 1, 0, 1], np.float32),
}
_OF_A_HEAD: dict[str, Any] = {
    "classes": ("c", "b", "a"),
    "class_weights": {"b": 5.0},
    "hidden": (3,),
    "dropout": 0.5,
    "weight_decay": 0.1,
}
"""Options that say what is on top of a module, and a value that is not the default."""
_REFUSED = {
    "classification": set(),
    "multilabel": set(),
    "regression": {"classes", "class_weights"},
    "similarity": set(_OF_A_HEAD),
}


def options_of(task: str, **options: Any) -> dict[str, Any]:
    pair = {"pair": "other"} if task == "similarity" else {}
    return {"task": task, "seed": 1, **pair, **options}


@pytest.fixture(scope="module")
def loss(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., float]:
    """The loss of one batch, before the first step."""
    folder = tmp_path_factory.mktemp("text")
    base = testing.text_module(folder / "1", "saved_model", dim=2)
    texts = list(testing.WORDS[:4])

    def compute(task: str, **options: Any) -> float:
        has_classes = task in ("classification", "multilabel")
        classes = options.pop("classes", _CLASSES if has_classes else ())
        inputs = {"inputs": texts}
        if task == "similarity":
            inputs[PAIR + "inputs"] = texts[::-1]
        labels = _LABELS[task]
        given = options_of(task, **options)
        job = training_job(base, folder / "work", inputs, labels, classes, **given)
        with load_tunable(base, job.signature_spec, job.config.seed) as module:
            model = TunableModel(job, module)
            logits = model.logits(inputs, True, True, np.int64(0))
            return float(job.head.loss(by_id(labels, task, classes), logits) + model.penalty(True))

    return compute


def by_id(labels: Any, task: str, classes: Sequence[str]) -> Any:
    """Labels by the names of _CLASSES as those by the classes of a config."""
    order = [classes.index(name) for name in _CLASSES] if classes else []
    if task == "classification":
        return np.array(order)[labels]
    return labels[:, order] if task == "multilabel" else labels


@pytest.mark.parametrize("task", _LABELS)
@pytest.mark.parametrize("option", _OF_A_HEAD)
def test_an_option_of_the_head_changes_the_loss_or_is_refused(
    loss: Callable[..., float], task: str, option: str
) -> None:
    value = {option: _OF_A_HEAD[option]}
    if option in _REFUSED[task]:
        with pytest.raises(ConfigError, match=rf"{option} would have no effect: task {task} "):
            FineTuneConfig("label", **options_of(task, **value))
    else:
        assert loss(task, **value) != pytest.approx(loss(task))


_OTHERS: dict[str, Any] = {
    "task": "multilabel",
    "classes": ("a", "b"),
    "class_weights": {"a": 2.0},
    "signature": "default",
    "pair": "other",
    "image_source": "path",
    "image_size": (8, 8),
    "module_learning_rate": 0.1,
    "unfreeze_after": 3,
    "warmup_steps": 3,
    "decay": "linear",
    "weight_decay": 0.1,
    "patience": 2,
}
"""What a text column cannot heed, and a value that is not the default."""


def test_each_option_is_read_by_a_text_column_or_refused() -> None:
    every = {field.name for field in fields(FineTuneConfig)}
    assert every == (feature_columns.READ | _OTHERS.keys())
    assert {"task"} == (feature_columns.READ & _OTHERS.keys())  # It reads that there is one task.


@pytest.mark.parametrize("option", _OTHERS)
def test_a_text_column_refuses_what_it_does_not_heed(option: str) -> None:
    needed = {"pair": {"task": "similarity"}, "unfreeze_after": {"freeze": True}}.get(option, {})
    config = FineTuneConfig("label", **{option: _OTHERS[option]}, **needed)
    complaint = "multilabel|similarity" if option in ("task", "pair") else f"not heed {option}"
    with pytest.raises(ConfigError, match=complaint):
        feature_columns.run_fn(_fn_args(config))


def test_a_text_column_takes_no_preprocessor_and_no_second_input() -> None:
    with pytest.raises(ConfigError, match="does not heed preprocessor"):
        feature_columns.run_fn(_fn_args(FineTuneConfig("label"), preprocessor="somewhere"))
    with pytest.raises(ConfigError, match=r"does not heed inputs \(more than one\)"):
        feature_columns.run_fn(_fn_args(FineTuneConfig("label", inputs={"a": "x", "b": "y"})))


def _fn_args(config: FineTuneConfig, **custom_config: Any) -> Any:
    given = {"fine_tune": config.to_json(), **custom_config}
    return SimpleNamespace(
        base_model="nowhere", transform_graph_path="nowhere", custom_config=given
    )
