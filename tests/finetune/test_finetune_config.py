"""FineTuneConfig, and what follows from it: losses by task, learning rates by step."""

import json
import math
import re
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.heads import Head
from hub_tfx.finetune.schedule import factor, is_stalled, module_factor

_rates = st.floats(0, 1e3)
_counts = st.integers(1, 10**6)


def config_of(task: str, **options: Any) -> FineTuneConfig:
    """A config without what would have no effect."""
    if task == "regression":
        options |= {"classes": (), "class_weights": {}}
    if options["freeze"]:
        options["module_learning_rate"] = None
    return FineTuneConfig(task=task, **options)


configs = st.builds(
    config_of,
    label=st.text(),
    task=st.sampled_from(["classification", "multilabel", "regression"]),
    classes=st.lists(st.text()).map(tuple),
    class_weights=st.dictionaries(st.text(), _rates),
    signature=st.none() | st.text(),
    inputs=st.dictionaries(st.text(), st.text()),
    hidden=st.lists(_counts).map(tuple),
    dropout=st.floats(0, 1, exclude_max=True),
    steps=_counts,
    learning_rate=_rates,
    module_learning_rate=st.none() | _rates,
    freeze=st.booleans(),
    decay=st.sampled_from(["none", "linear", "cosine"]),
    patience=st.none() | _counts,
    seed=st.integers(0, 2**31 - 1),
)


@given(configs)
def test_a_config_survives_json(config: FineTuneConfig) -> None:
    assert FineTuneConfig.from_json(config.to_json()) == config
    assert list(json.loads(config.to_json())) == sorted(json.loads(config.to_json()))


def test_what_json_leaves_out_has_its_default() -> None:
    assert FineTuneConfig.from_json('{"label": "topic"}') == FineTuneConfig("topic")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("label: topic", "is not JSON"),
        ("[]", "not an object"),
        ("{}", "`label` is missing"),
        ('{"label": "a", "epochs": 3}', r"unknown key 'epochs'; the keys are .*warmup_steps"),
        ('{"label": "a", "steps": 0}', "steps takes a whole number from 1, not 0"),
        ('{"label": "a", "hidden": 8}', "hidden takes a list of whole numbers from 1, not 8"),
    ],
)
def test_json_that_is_no_config_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        FineTuneConfig.from_json(text)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"task": "ranking"}, "task takes classification, .* or similarity, not 'ranking'"),
        ({"decay": "steep"}, "decay takes none, linear or cosine, not 'steep'"),
        ({"unfreeze_after": 5}, "unfreeze_after needs freeze"),
        (
            {"freeze": True, "module_learning_rate": 0.1},
            "module_learning_rate has no effect on a module that is frozen for good",
        ),
        ({"task": "similarity"}, "pair names the second feature of task similarity: give it"),
        ({"pair": "other"}, "pair names the second feature of task similarity: give it"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        FineTuneConfig("topic", **options)


WRONG = {
    "label": [None, 3],
    "classes": [None, "ab", (1,), [1]],
    "class_weights": [None, [("a", 1)], {"a": None}, {"a": -1.0}, {"a": math.nan}, {1: 1.0}],
    "signature": [0],
    "inputs": [None, {"default": 0}],
    "pair": [0],
    "text_encoding": [None, "latin-1"],
    "image_source": [None, "url"],
    "image_size": [8, (8,), (0, 8), (8.0, 8)],
    "imports": [None, "text", (0,)],
    "max_dead_letter_ratio": [None, -0.1, 1.1, math.nan],
    "hidden": [None, 8, (0,), [0], (8.0,), (True,)],
    "dropout": [None, "0", -0.1, 1, math.nan],
    "steps": [None, "9", 0, 9.0, True],
    "batch_size": [None, 0, 9.0],
    "threads": [0, 1.5, "many"],
    "learning_rate": [None, "1", -1.0, math.nan, math.inf, True],
    "module_learning_rate": ["1", -0.1, math.nan],
    "freeze": [None, 1, "yes"],
    "unfreeze_after": [-1, 0.5],
    "warmup_steps": [None, -1, 0.1],
    "weight_decay": [None, -1.0, math.nan],
    "eval_every": [None, 0],
    "eval_steps": [0, -1, 1.0],
    "patience": [0, -1, 1.5],
    "seed": [None, -1, 2**31, 0.5],
    "allow_signature_changes": [None, 0],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values])
def test_a_value_of_another_type_or_out_of_range_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} takes .+, not {re.escape(repr(value))}$"):
        FineTuneConfig(**({"label": "topic", "freeze": True} | {name: value}))


def test_no_option_goes_unchecked() -> None:
    assert {*WRONG, "task", "decay"} == {field.name for field in fields(FineTuneConfig)}


def test_a_module_learns_at_the_rate_of_the_head_unless_it_has_one() -> None:
    assert FineTuneConfig("a", learning_rate=0.5).module_lr == 0.5
    assert FineTuneConfig("a", learning_rate=0.5, module_learning_rate=0.0).module_lr == 0.0


# --- Losses --------------------------------------------------------------------------------------


def loss(labels: Any, logits: Any, classes: tuple[str, ...] = (), **options: Any) -> float:
    head = Head.of(FineTuneConfig("label", **options), classes)
    return float(head.loss(np.asarray(labels), np.asarray(logits, np.float32)))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def cross_entropy(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(logits)) - labels * logits


LOGITS = np.array([[0.5, -1.0, 2.0], [0.0, 1.5, -0.5]])


def test_the_loss_of_classes_is_their_cross_entropy() -> None:
    expected = -log_softmax(LOGITS)[[0, 1], [2, 0]].mean()
    np.testing.assert_allclose(loss([2, 0], LOGITS, ("a", "b", "c")), expected, rtol=1e-6)


def test_two_classes_share_one_logit() -> None:
    assert Head.of(FineTuneConfig("label"), ("no", "yes")).units == 1
    logits = np.array([0.5, -2.0])
    expected = cross_entropy(np.array([1, 0]), logits).mean()
    np.testing.assert_allclose(loss([1, 0], logits[:, None], ("no", "yes")), expected, rtol=1e-6)


def test_class_weights_weigh_the_rows() -> None:
    losses = -log_softmax(LOGITS)[[0, 1], [2, 0]]
    weighted = loss([2, 0], LOGITS, ("a", "b", "c"), class_weights={"a": 3.0})
    np.testing.assert_allclose(weighted, (losses[0] + 3 * losses[1]) / 4, rtol=1e-6)
    assert loss([2, 0], LOGITS, ("a", "b", "c"), class_weights={"a": 0.0, "c": 0.0}) == 0


def test_the_loss_of_several_labels_is_the_mean_over_them() -> None:
    labels = np.array([[1, 0, 1], [0, 0, 0]], np.float32)
    losses, weights = cross_entropy(labels, LOGITS), np.array([1, 5, 1])
    plain = loss(labels, LOGITS, ("a", "b", "c"), task="multilabel")
    np.testing.assert_allclose(plain, losses.mean(), rtol=1e-6)
    options = {"task": "multilabel", "class_weights": {"b": 5.0}}
    weighted = loss(labels, LOGITS, ("a", "b", "c"), **options)
    np.testing.assert_allclose(weighted, (losses * weights).mean(), rtol=1e-6)


def test_the_loss_of_a_number_is_its_squared_error() -> None:
    labels = np.array([1.0, 3.0], np.float32)
    assert loss(labels, [[2.0], [0.0]], task="regression") == pytest.approx((1 + 9) / 2)


def test_pairs_that_belong_together_go_to_1_and_others_below_a_half() -> None:
    options = {"task": "similarity", "pair": "other"}
    together, apart = np.ones(1, np.float32), np.zeros(1, np.float32)
    assert loss(together, [0.2], **options) == pytest.approx(0.64)
    assert loss(apart, [0.9], **options) == pytest.approx(0.16)
    assert loss(apart, [0.4], **options) == 0


# --- Learning rates ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "factors"),
    [
        ({}, {0: 1, 99: 1}),
        ({"warmup_steps": 10}, {0: 0.1, 4: 0.5, 9: 1, 50: 1}),
        ({"decay": "linear"}, {0: 1, 25: 0.75, 50: 0.5, 100: 0, 200: 0}),
        ({"decay": "cosine"}, {0: 1, 50: 0.5, 100: 0}),
        ({"decay": "linear", "warmup_steps": 20}, {9: 0.5, 20: 1, 60: 0.5, 100: 0}),
        ({"warmup_steps": 200, "decay": "linear"}, {99: 0.5}),
    ],
)
def test_rates_rise_while_it_warms_up_and_then_decay(options: Any, factors: Any) -> None:
    config = FineTuneConfig("a", steps=100, **options)
    found = {step: float(factor(config, step)) for step in factors}
    assert found == pytest.approx(factors, abs=1e-6)


def test_a_frozen_module_learns_once_it_is_unfrozen() -> None:
    frozen = FineTuneConfig("a", steps=100, freeze=True)
    late = FineTuneConfig("a", steps=100, freeze=True, unfreeze_after=50, decay="linear")
    assert float(module_factor(frozen, 99)) == 0
    assert [float(module_factor(late, step)) for step in (0, 49, 50)] == [0, 0, 0.5]
    assert float(module_factor(FineTuneConfig("a"), 0)) == 1


# --- When to stop --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "options", "stops"),
    [
        ([1.0, 1.0, 1.0], {}, False),
        ([1.0, 0.5, 0.6], {"patience": 2}, False),
        ([0.5, 0.5, 0.6], {"patience": 2}, True),
        ([math.nan, 2.0, 3.0], {"patience": 2}, False),
        ([0.5, 0.6, 0.7, 0.8], {"patience": 2, "freeze": True}, True),
        ([0.5, 0.6, 0.7, 0.8], {"patience": 2, "freeze": True, "unfreeze_after": 30}, False),
        ([0.5, 0.6, 0.7, 0.8], {"patience": 2, "freeze": True, "unfreeze_after": 20}, True),
    ],
)
def test_patience_starts_when_the_module_learns(losses: Any, options: Any, stops: bool) -> None:
    """With an evaluation every 10 steps."""
    history = [(10 * n, {"loss": loss}) for n, loss in enumerate(losses, 1)]
    assert is_stalled(FineTuneConfig("a", **options), history) is stops
