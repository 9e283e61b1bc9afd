"""A forest plot: numbers with their intervals, a line each."""

from collections.abc import Sequence
from dataclasses import dataclass

from hub_tfx.embed.report.plots import as_drawn, data_uri, figure
from hub_tfx.evaluate.result import Interval

_NAME_CHARS = 32
_LINE_INCHES = 0.28


@dataclass(frozen=True)
class Line:
    """One number of the plot, and its interval if it has one."""

    name: str
    value: float
    interval: Interval | None


def forest(lines: Sequence[Line], label: str, border: float | None) -> str:
    """A data URI of a drawing of the lines from top to bottom.

    Args:
      lines: at least one.
      label: what the numbers are.
      border: a number that intervals are compared with, drawn as a line.
    """
    drawing, axis = figure(5.2, 1.0 + _LINE_INCHES * len(lines))
    for at, line in enumerate(lines):
        if line.interval is not None:
            axis.hlines(at, *line.interval, color="#3b6ea8", linewidth=2)
        axis.plot([line.value], [at], marker="o", color="#3b6ea8", markersize=5)
    if border is not None:
        axis.axvline(border, color="#a03030", linewidth=1, linestyle="--")
    axis.set_yticks(range(len(lines)), [as_drawn(line.name, _NAME_CHARS) for line in lines])
    for text in axis.get_yticklabels():
        text.set_parse_math(False)
    axis.set_ylim(len(lines) - 0.5, -0.5)
    axis.set_xlabel(label)
    return data_uri(drawing)
