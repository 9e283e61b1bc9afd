"""The Beam metrics of a job, read back from whichever runner ran it."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from apache_beam.metrics import MetricsFilter

NAMESPACE = "hub_tfx"


@dataclass(frozen=True)
class Distribution:
    """What Beam keeps of a number that was recorded ``count`` times."""

    sum: int
    count: int
    min: int
    max: int


def read_metrics(result: Any) -> dict[str, int | Distribution]:
    """Our counters and distributions by name, over all steps.

    Steps are added up since each runner names them in its own way.

    Args:
      result: the PipelineResult of a pipeline that is done.
    """
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    by_name: dict[str, list[Any]] = defaultdict(list)
    for metric in found["counters"]:  # Prism leaves out those that are zero.
        by_name[metric.key.metric.name].append(metric.result or 0)
    for metric in found["distributions"]:
        by_name[metric.key.metric.name].append(metric.result)
    return {name: _of_steps(values) for name, values in sorted(by_name.items())}


def _of_steps(values: list[Any]) -> int | Distribution:
    if isinstance(values[0], int):
        return int(sum(values))
    return Distribution(
        sum(value.sum for value in values),
        sum(value.count for value in values),
        min(value.min for value in values),
        max(value.max for value in values),
    )
