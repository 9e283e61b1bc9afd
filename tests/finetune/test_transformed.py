"""Rows that lack a label, or what feeds the module, are left out of what Transform made, whatever
is learned: none of them becomes the number 0, or a row of no class."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from hub_tfx.finetune.collect import collect_examples
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.features import Features
from hub_tfx.finetune.transformed import label_rule, schema_of
from hub_tfx.module.spec import GraphVariant, ModuleSpec, SignatureSpec, TensorInfo

pytestmark = pytest.mark.long

TEXT = TensorInfo("string", (None,))
SIGNATURE = SignatureSpec({"text": TEXT}, {"default": TensorInfo("float32", (None, 2))})
SPEC = ModuleSpec("tf1_hub", (GraphVariant((), {"default": SIGNATURE}),))
LABELS: Mapping[str, tuple[Any, list[list[Any]]]] = {
    "classification": (tf.string, [[b"a"], [b"b"], [b"a"]]),
    "multilabel": (tf.string, [[b"a"], [b"a", b"b"], [b"b"]]),
    "regression": (tf.float32, [[0.0], [-1.5], [2.0]]),
    "similarity": (tf.int64, [[0], [1], [1]]),
}
"""Task -> type of a label, and labels."""


@pytest.mark.parametrize("task", LABELS)
def test_a_row_that_lacks_something_is_left_out_and_counted(
    task: str, transform: Any, tmp_path: Path
) -> None:
    dtype, labels = LABELS[task]
    good = [
        {"text": [b"cat %d" % n], "other": [b"dog"], "label": label}
        for n, label in enumerate(labels)
    ]
    rows = [*good, good[0] | {"label": []}, good[0] | {"text": []}]
    text = tf.io.VarLenFeature(tf.string)
    spec = {"text": text, "other": text, "label": tf.io.VarLenFeature(dtype)}
    custom_config = {"label": "label", "task": task, "texts": ["text", "other"], "kept": []}
    graph, examples = transform(tmp_path / "transform", rows, spec, custom_config)
    config = FineTuneConfig("label", task=task, pair="other" if task == "similarity" else None)
    transformed = tft.TFTransformOutput(str(graph))
    features = Features.of(config, SPEC, schema_of(transformed.transformed_feature_spec()))
    collected = collect_examples(
        {"train": [str(examples)]},
        features,
        label_rule(config, transformed),
        tmp_path / "rows",
        tmp_path / "left_out",
    )
    assert collected.rows == {"train": 3, "left_out": 2}
    reasons = pq.read_table(tmp_path / "left_out")["reason"].to_pylist()
    assert sorted(reason.partition(" is missing")[0] for reason in reasons) == [
        *("feature 'text'", "label 'label'"),
    ]
    kept = tf.data.TFRecordDataset([str(collected.paths["train"])]).as_numpy_iterator()
    found = [tf.train.Example.FromString(row).features.feature["label"] for row in kept]
    values = [list(getattr(f, f.WhichOneof("kind")).value) for f in found]
    assert sorted(map(len, values)) == sorted(map(len, labels))
    if dtype != tf.string:
        assert sorted(values) == sorted(labels)
