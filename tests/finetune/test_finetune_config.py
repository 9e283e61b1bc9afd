"""FineTuneConfig, and what follows from it: losses by task, learning rates by step."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.heads import Head
from hub_tfx.finetune.schedule import factor, module_factor

_rates = st.floats(0, 1e3)
_counts = st.integers(1, 10**6)
configs = st.builds(
    FineTuneConfig,
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
    seed=st.integers(),
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
        ('{"label": "a", "steps": 0}', "steps must be at least 1"),
    ],
)
def test_json_that_is_no_config_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        FineTuneConfig.from_json(text)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"task": "ranking"}, "task is one of classification, .*not 'ranking'"),
        ({"decay": "steep"}, "decay is one of none, linear, cosine"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"eval_every": 0}, "eval_every must be at least 1"),
        ({"learning_rate": -1.0}, "learning_rate cannot be negative"),
        ({"module_learning_rate": -0.1}, "module_learning_rate cannot be negative"),
        ({"dropout": 1.0}, "dropout is a share below 1"),
        ({"unfreeze_after": 5}, "unfreeze_after needs freeze"),
        ({"task": "similarity"}, "pair names the second feature"),
        ({"pair": "other"}, "pair names the second feature"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        FineTuneConfig("topic", **options)


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
