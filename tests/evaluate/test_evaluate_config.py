"""EvaluateConfig: its JSON, what it refuses, and which measure decides."""

import pytest

from hub_tfx.errors import ConfigError
from hub_tfx.evaluate.config import EvaluateConfig

FULL = EvaluateConfig(
    label="topic",
    pairs="question",
    slices=("lang", "source"),
    primary="mrr@7",
    margin=0.01,
    thresholds=("probe_accuracy>=0.8", "knn_accuracy@lang=de>=0.7", "ndcg@7>=baseline"),
    sample_rows=500,
    folds=3,
    neighbours=7,
    probe="ridge",
    slice_values=4,
    replicates=300,
    confidence=0.9,
    seed=3,
    worse_shown=2,
)


@pytest.mark.parametrize("config", [EvaluateConfig(), FULL])
def test_json_gives_back_the_config(config):
    assert EvaluateConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("options", "decides"),
    [
        ({}, None),
        ({"label": "topic"}, "probe_accuracy"),
        ({"pairs": "question"}, "recall@10"),
        ({"pairs": "question", "neighbours": 3}, "recall@3"),
        ({"label": "topic", "pairs": "question"}, "probe_accuracy"),
        ({"label": "topic", "pairs": "question", "primary": "ndcg@10"}, "ndcg@10"),
    ],
)
def test_one_measure_decides(options, decides):
    assert EvaluateConfig(**options).decides == decides


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"primary": "knn_acuracy", "label": "l"}, "did you mean knn_accuracy?"),
        ({"primary": "knn_accuracy"}, "primary: knn_accuracy needs `label`: name the feature"),
        ({"primary": "overlap@10"}, "primary takes probe_accuracy, knn_accuracy, recall@10"),
        ({"primary": "recall@5", "pairs": "p"}, "primary: 'recall@5' is not a measure"),
        ({"thresholds": ("mrr@10>=0.5",)}, "threshold 'mrr@10>=0.5': mrr@10 needs `pairs`"),
        ({"thresholds": ("speed>=0.5",)}, "threshold 'speed>=0.5': 'speed' is not a measure"),
        ({"thresholds": ("fast",)}, "threshold 'fast' cannot be read"),
        ({"thresholds": ("overlap@10@a=b>=0",)}, "'a' is not among slices; add it there"),
        (
            {"thresholds": ("cost_load_s@a=b>=0",), "slices": ("a",)},
            "cost_load_s is not measured by slice",
        ),
        ({"margin": -0.1}, "margin takes a number from 0"),
        ({"folds": 1}, "folds takes a whole number from 2"),
        ({"confidence": 1.0}, "confidence takes a number from 0.5"),
        ({"replicates": 10}, "replicates takes a whole number from 200"),
        ({"neighbours": 0}, "neighbours takes a whole number from 1"),
    ],
)
def test_refuses_what_cannot_be_measured_before_anything_is(options, complaint):
    with pytest.raises(ConfigError) as raised:
        EvaluateConfig(**options)
    assert complaint in str(raised.value)


def test_an_unknown_key_is_refused():
    with pytest.raises(ConfigError, match="evaluate config: unknown key 'fold'"):
        EvaluateConfig.from_json('{"fold": 3}')
