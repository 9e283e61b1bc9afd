"""What TFX Transform made of a label and of features, in the words of training from files."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft

from hub_tfx.data.tf_example import TF_DTYPES
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.labels import LabelRule


def schema_of(feature_spec: Mapping[str, Any]) -> pa.Schema:
    """Types of transformed features, as the readers would give them."""
    types = {dtype: arrow_type for arrow_type, dtype in TF_DTYPES.items()}
    return pa.schema(
        [(name, pa.large_list(types[spec.dtype.name])) for name, spec in feature_spec.items()]
    )


def label_rule(config: FineTuneConfig, transform: tft.TFTransformOutput) -> LabelRule:
    """Which labels can be learned, as Transform gives them: ids, numbers, or 0 and 1 a class."""
    spec = transform.transformed_feature_spec()[config.label]
    has_ids = config.task in ("classification", "multilabel") and spec.dtype == tf.int64
    if not has_ids or (config.task == "multilabel" and isinstance(spec, tf.io.FixedLenFeature)):
        return LabelRule(replace(config, task="multilabel") if has_ids else config)
    words = vocabulary(config, transform) or config.classes
    known = [not config.classes or word in config.classes for word in words]
    return LabelRule(config, tuple(str(n) for n, is_known in enumerate(known) if is_known))


def vocabulary(config: FineTuneConfig, transform: tft.TFTransformOutput) -> tuple[str, ...]:
    """What Transform made of the label, by id; empty where it made none."""
    try:
        return tuple(word.decode() for word in transform.vocabulary_by_name(config.label))
    except ValueError:
        return ()
