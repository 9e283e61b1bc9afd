"""What it takes to train again."""

from dataclasses import dataclass
from typing import Annotated

from hub_tfx._config import JobConfig, Range


@dataclass(frozen=True, kw_only=True)
class RetrainConfig(JobConfig):
    """When a module is trained again.

    Attributes:
      min_new_rows: how many rows the spans must have that are new or rewritten. A new base module
        is enough without them.
      stop_on_anomalies: whether nothing is learned while ExampleValidator finds anomalies.
    """

    NAME = "retrain config"

    min_new_rows: Annotated[int, Range(least=0)] = 0
    stop_on_anomalies: bool = True
