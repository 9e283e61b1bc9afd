"""Plots as SVG whose bytes depend on nothing but the numbers."""

import base64
import io
from typing import Any

import numpy as np

Table = list[tuple[str, str]]

_BINS = 40
_MANY_POINTS = 2000
"""Number of points above which they are drawn as pixels."""


def histogram(values: Any, label: str) -> tuple[str, Table]:
    """A histogram of ``[n]`` numbers.

    Returns:
      A data URI of an SVG, and the same as rows of a table: (range, count).
    """
    counts, edges = np.histogram(values, bins=_BINS)
    return bars(edges, counts, label)


def bars(edges: Any, counts: Any, label: str, *, log: bool = False) -> tuple[str, Table]:
    """``histogram`` of numbers that are counted already; ``log`` has an axis in powers of two."""
    figure, axis = _figure(5.2, 2.6)
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
    return _data_uri(figure), rows


def scatter(points: Any, shares: tuple[float, ...]) -> str:
    """A data URI that shows ``[n, 2]`` points on two principal components, with their variances."""
    figure, axis = _figure(5.2, 5.2)
    axis.scatter(*points.T, s=6, alpha=0.5, linewidths=0, rasterized=len(points) > _MANY_POINTS)
    for name, share in zip(("x", "y"), shares, strict=False):
        number = 1 if name == "x" else 2
        getattr(axis, f"set_{name}label")(f"component {number} ({share:.1%} of the variance)")
    return _data_uri(figure)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.grid(alpha=0.3)
    axis.set_axisbelow(True)
    return figure, axis


def _data_uri(figure: Any) -> str:
    import matplotlib

    drawn = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "hub_tfx"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}"
