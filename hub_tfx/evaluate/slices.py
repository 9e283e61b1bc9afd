"""The slices of the rows that are measured apart."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.result import NotMeasured
from hub_tfx.evaluate.rows import EvaluatedRows
from hub_tfx.evaluate.threshold import Slice

Array = np.ndarray[Any, Any]


def find_slices(
    rows: EvaluatedRows, config: EvaluateConfig
) -> tuple[Mapping[str, Array], tuple[NotMeasured, ...]]:
    """The most frequent values of each feature, and those that thresholds are about.

    Returns:
      ``FEATURE=VALUE`` -> ``[n]`` bool; and what is not measured apart, and why.
    """
    slices: dict[str, Array] = {}
    missing: list[NotMeasured] = []
    asked = {limit.slice for limit in config.limits if limit.slice}
    for feature in config.slices:
        if (values := rows.slices.get(feature)) is None:
            missing.append(NotMeasured(feature, "the rows have no such feature"))
            continue
        counts = Counter(value for value in values if value is not None)
        # By number and then by name: the order of the rows says nothing.
        ranked = sorted(counts, key=lambda value: (-counts[value], value))
        needed = {of.value for of in asked if of.feature == feature}
        chosen = [
            *ranked[: config.slice_values],
            *sorted(needed & {*ranked[config.slice_values :]}),
        ]
        slices |= {str(Slice(feature, value)): np.equal(values, value) for value in chosen}
        missing += _left_out(feature, counts, chosen, needed, len(values), config)
    return slices, tuple(missing)


def _left_out(
    feature: str,
    counts: Mapping[str, int],
    chosen: list[str],
    needed: set[str],
    rows: int,
    config: EvaluateConfig,
) -> Iterator[NotMeasured]:
    for value in sorted(needed - counts.keys()):
        yield NotMeasured(str(Slice(feature, value)), "no row has this value")
    if others := len(counts) - len(chosen):
        are = f"{others:,} other values of {feature}"
        why = f"only the {config.slice_values:,} most frequent are measured (slice_values)"
        yield NotMeasured(are, why)
    if without := rows - sum(counts.values()):
        yield NotMeasured(f"{feature} of {without:,} rows", "they have no value")
