"""How far the examples have drifted from those that were learned from, as TFDV measures it."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from hub_tfx.errors import ConfigError
from hub_tfx.retrain.decision import Drift

Statistics = Mapping[str, statistics_pb2.DatasetFeatureStatisticsList]
"""Split -> the statistics of its examples."""
_Measure = Literal["infinity norm", "Jensen-Shannon divergence"]
_TYPES = {
    statistics_pb2.FeatureNameStatistics.INT: schema_pb2.INT,
    statistics_pb2.FeatureNameStatistics.FLOAT: schema_pb2.FLOAT,
}
"""Type of a number in statistics -> the same in a schema."""


def kept(statistics: Statistics, thresholds: Mapping[str, float]) -> Statistics:
    """What the next run needs of statistics: the features that have a threshold.

    Raises:
      ConfigError: no split has one of the features, or it is neither text nor a number.
    """
    made = {split: _only(of, thresholds) for split, of in statistics.items()}
    there = {name for of in made.values() for name in _features(of)}
    for feature in thresholds:
        if feature not in there:
            known = ", ".join(sorted({n for of in statistics.values() for n in _features(of)}))
            raise ConfigError(
                f"drift names the feature {feature!r}, which the examples do not have: name one of "
                f"{known or 'theirs; they have none'}"
            )
    return made


def measured(now: Statistics, before: Statistics, thresholds: Mapping[str, float]) -> list[Drift]:
    """The drift of each feature that both have, in the split where it is largest.

    Args:
      now: statistics of the examples.
      before: those of the examples that were learned from.
      thresholds: feature -> the distance from which on it counts as drifted.

    Raises:
      ConfigError: a feature is neither text nor a number.
    """
    found: dict[str, Drift] = {}
    for split in sorted(now.keys() & before.keys()):
        for drift in _of_split(split, now[split], before[split], thresholds):
            if drift.feature not in found or drift.distance > found[drift.feature].distance:
                found[drift.feature] = drift
    return [found[feature] for feature in thresholds if feature in found]


def _of_split(
    split: str,
    now: statistics_pb2.DatasetFeatureStatisticsList,
    before: statistics_pb2.DatasetFeatureStatisticsList,
    thresholds: Mapping[str, float],
) -> Iterator[Drift]:
    """What TFDV measures, which says nothing of a feature that is missing in one of the two."""
    import tensorflow_data_validation as tfdv

    features = _features(now)
    schema, measures = schema_pb2.Schema(), dict[str, _Measure]()
    for feature in thresholds.keys() & features.keys() & _features(before).keys():
        measures[feature] = _compare(schema, features[feature])
    if not measures:
        return
    found = tfdv.validate_statistics(now, schema, previous_statistics=before)
    for info in found.drift_skew_info:
        name = ".".join(info.path.step)
        for measurement in info.drift_measurements:
            if math.isfinite(measurement.value):
                yield Drift(name, measurement.value, thresholds[name], measures[name], split)


def _compare(schema: schema_pb2.Schema, feature: Any) -> _Measure:
    """Has a schema compare a feature; the threshold is ours to judge by, so that all is told."""
    name = _name(feature)
    added = schema.feature.add(name=name, type=_TYPES.get(feature.type, schema_pb2.BYTES))
    if feature.HasField("string_stats"):
        added.drift_comparator.infinity_norm.threshold = 0.0
        return "infinity norm"
    if feature.type in _TYPES:
        added.drift_comparator.jensen_shannon_divergence.threshold = 0.0
        return "Jensen-Shannon divergence"
    raise ConfigError(
        f"drift names the feature {name!r}, which is neither text nor a number: name one that is"
    )


def _only(
    statistics: statistics_pb2.DatasetFeatureStatisticsList, wanted: Mapping[str, float]
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """The statistics of some features."""
    made = statistics_pb2.DatasetFeatureStatisticsList()
    for dataset in statistics.datasets:
        copied = made.datasets.add()
        copied.CopyFrom(dataset)
        del copied.features[:]
        copied.features.extend(f for f in dataset.features if _name(f) in wanted)
    return made


def _features(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> dict[str, Any]:
    return {_name(f): f for dataset in statistics.datasets for f in dataset.features}


def _name(feature: Any) -> str:
    return str(feature.name) or ".".join(feature.path.step)
