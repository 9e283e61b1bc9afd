"""Plots as SVG whose bytes depend on nothing but the numbers."""

import base64
import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from hub_tfx._text import printable, shortened

Table = list[tuple[str, str]]

_BINS = 41
"""An odd number, so that equal numbers are in the middle of one."""
_LEAST_SPREAD = 0.01
"""Width of a histogram, as a share of the largest number."""
_LEGEND_CHARS = 24
_MANY_POINTS = 2000
"""Number of points above which they are drawn as pixels."""


def histogram(values: Any, label: str) -> tuple[str, Table]:
    """A histogram of ``[n]`` numbers.

    Returns:
      A data URI of an SVG, and the same as rows of a table: (range, count).
    """
    low, high = float(np.min(values)), float(np.max(values))
    # Of numbers that are all but equal, rounding would be drawn, in bars too narrow to be seen.
    least = _LEAST_SPREAD * max(abs(low), abs(high)) or 1.0
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    counts, edges = np.histogram(np.asarray(values, np.float64), _BINS, (low, high))
    return bars(edges, counts, label)


def bars(edges: Any, counts: Any, label: str, *, log: bool = False) -> tuple[str, Table]:
    """``histogram`` of numbers that are counted already; ``log`` has an axis in powers of two."""
    drawing, axis = figure(5.2, 2.6)
    axis.bar(edges[:-1], counts, np.diff(edges), align="edge", color="#3b6ea8")
    if log:
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.set_xlabel(label)
    axis.set_ylabel("count")
    rows = [
        (f"{low:.4g} to {high:.4g}", f"{count:,}")
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
        if count
    ]
    return data_uri(drawing), rows


def scatter(points: Any, shares: tuple[float, ...], groups: Sequence[str] = ()) -> str:
    """A data URI that shows points on two principal components, with their variances.

    Args:
      points: ``[n, 2]``.
      shares: share of the variance along each component.
      groups: name of the group of each point; each has a colour, and there are ten at most.
    """
    drawing, axis = figure(5.2, 5.2)
    style = {"s": 6, "alpha": 0.5, "linewidths": 0, "rasterized": len(points) > _MANY_POINTS}
    if not groups:
        axis.scatter(*points.T, **style)
    else:
        _scatter_groups(axis, points, groups, style)
    for name, share in zip(("x", "y"), shares, strict=False):
        number = 1 if name == "x" else 2
        getattr(axis, f"set_{name}label")(f"component {number} ({share:.1%} of the variance)")
    return data_uri(drawing)


def _scatter_groups(axis: Any, points: Any, groups: Sequence[str], style: dict[str, Any]) -> None:
    of_point = np.asarray(groups, object)
    names = sorted(set(groups))
    for number, name in enumerate(names):
        axis.scatter(*points[of_point == name].T, color=f"C{number}", label=str(number), **style)
    legend = axis.legend(markerscale=3, fontsize="small")
    # Set as they are: matplotlib would take $ for mathematics, and leave out names with a _.
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(as_drawn(name, _LEGEND_CHARS))


def as_drawn(name: str, chars: int) -> str:
    """A name that a user gave, for a drawing."""
    return printable(shortened(name, chars))


def figure(width: float, height: float) -> tuple[Any, Any]:
    """An empty drawing of a size in inches, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), layout="constrained", dpi=120)
    FigureCanvasAgg(drawing)
    axis = drawing.subplots()
    axis.grid(alpha=0.3)
    axis.set_axisbelow(True)
    return drawing, axis


def data_uri(drawing: Any) -> str:
    """A drawing as an SVG in a data URI; equal drawings have equal bytes."""
    import matplotlib

    drawn = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "hub_tfx"}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # The font may lack letters of a name.
        drawing.savefig(drawn, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}"
