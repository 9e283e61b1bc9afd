"""What it takes to train again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from hub_tfx._config import JobConfig, Range
from hub_tfx.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RetrainConfig(JobConfig):
    """When a module is trained again.

    Attributes:
      min_new_rows: how many rows the spans must have that are new or rewritten. A new base module
        is enough without them, and so is drift.
      drift: name of a feature -> how far it may be from what was learned last: the infinity norm of
        a text, the Jensen-Shannon divergence of a number, both from 0 to 1. One that is farther is
        a reason to train though there are fewer than min_new_rows.
      stop_on_anomalies: whether nothing is learned while ExampleValidator finds anomalies.
      max_anomalies: how many anomalies of all splits stop nothing.
    """

    NAME = "retrain config"
    LATER = ("drift", "max_anomalies")

    min_new_rows: Annotated[int, Range(least=0)] = 0
    drift: Mapping[str, Annotated[float, Range(least=0, most=1)]] = field(default_factory=dict)
    stop_on_anomalies: bool = True
    max_anomalies: Annotated[int, Range(least=0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_anomalies and not self.stop_on_anomalies:
            raise ConfigError(
                "max_anomalies says how many anomalies stop nothing, and without stop_on_anomalies "
                "none does: leave one of the two out"
            )
