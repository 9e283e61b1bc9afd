"""What it takes to train again, and from which spans."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from hub_tfx._config import JobConfig, Range
from hub_tfx.data.span_patterns import SpanPattern, check_patterns
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


@dataclass(frozen=True, kw_only=True)
class Window(JobConfig):
    """Which spans are read: the newest one by default.

    Attributes:
      last: how many of the newest spans.
      since: ``published`` for all spans that the version in use has not learned, be they new, late
        or rewritten, and for the newest one if there are none; ``first`` for all that there are.
    """

    NAME = "window"

    last: Annotated[int, Range(least=1)] | None = None
    since: Literal["published", "first"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.last is not None and self.since is not None:
            raise ConfigError("last and since are two ways to name spans: give one of them")

    @property
    def is_one_span(self) -> bool:
        """Whether it asks for the newest span and no more, as TFX does."""
        return self.since is None and self.last in (None, 1)


def check_window(window: Window, patterns: Sequence[SpanPattern]) -> None:
    """Raises ConfigError where a window is asked for and the patterns do not tell spans apart."""
    if not check_patterns(patterns) and not window.is_one_span:
        raise ConfigError(
            f"the pattern {patterns[0].text!r} does not tell spans apart, which a window of them "
            "needs: put {SPAN}, or {YYYY}, {MM} and {DD}, into it (input_config)"
        )
