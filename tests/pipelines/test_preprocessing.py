"""Which features Transform takes: texts, those that are kept, and the label."""

import json
from typing import Any

import pytest
import tensorflow as tf

from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx_pipelines.finetune_pipeline import FineTunePipelineConfig, create_pipeline
from hub_tfx_pipelines.preprocessing import preprocessing_fn

TEXT = {"text": [b" the  cat "]}
TITLE = {"title": [b"a\nb"]}
IMAGE = {"image": [b"\xff  png"]}
CLEAN = {"text": b"the cat"}


def transformed(features: dict[str, list[Any]], **chosen: Any) -> dict[str, Any]:
    """What becomes of a row besides its label, in a pipeline with these texts and kept features."""
    config = FineTunePipelineConfig(
        pipeline_name="finetune",
        pipeline_root="root",
        data_root="records",
        module="/module",
        fine_tune=FineTuneConfig("score", task="regression"),
        **chosen,
    )
    (transform,) = (c for c in create_pipeline(config).components if c.id == "Transform")
    inputs = {name: tf.constant(value) for name, value in {**features, "score": [2]}.items()}
    outputs = preprocessing_fn(inputs, json.loads(transform.exec_properties["custom_config"]))
    row = {name: tensor.numpy().tolist()[0] for name, tensor in outputs.items()}
    assert row.pop("score") == 2.0
    return row


@pytest.mark.parametrize(
    ("features", "chosen", "row"),
    [
        (TEXT | IMAGE, {}, CLEAN),
        (TEXT | IMAGE, {"kept": ("image",)}, CLEAN | {"image": b"\xff  png"}),
        (IMAGE, {"kept": ("image",)}, {"image": b"\xff  png"}),
        (TEXT | TITLE, {"texts": ("title",)}, {"title": b"a b"}),
        (TEXT | IMAGE, {"texts": (), "kept": ["image"]}, {"image": b"\xff  png"}),
    ],
)
def test_the_feature_text_is_the_default_and_need_not_be_there_where_others_are_kept(
    features: dict[str, list[Any]], chosen: dict[str, Any], row: dict[str, Any]
) -> None:
    assert transformed(features, **chosen) == row


def test_where_there_is_no_row_to_learn_from_there_is_no_feature_to_choose() -> None:
    chosen = {"label": "score", "task": "regression", "texts": None, "kept": []}
    with pytest.raises(ConfigError, match="no feature 'score'; the input has none at all"):
        preprocessing_fn({}, chosen)


@pytest.mark.parametrize(
    ("features", "chosen", "missing"),
    [
        (IMAGE, {}, "text"),
        (TEXT, {"texts": ("title",)}, "title"),
        (TEXT, {"kept": ("image",)}, "image"),
    ],
)
def test_a_feature_that_is_missing_is_named_with_those_that_there_are(
    features: dict[str, list[Any]], chosen: dict[str, Any], missing: str
) -> None:
    there = ", ".join(sorted({*features, "score"}))
    with pytest.raises(ConfigError, match=f"no feature '{missing}'; the input has {there}: "):
        transformed(features, **chosen)
