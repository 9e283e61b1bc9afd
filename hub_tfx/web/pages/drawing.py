"""Coordinates of drawings in pages. Colours and fonts are the stylesheet's."""

from collections.abc import Sequence
from dataclasses import dataclass

from hub_tfx._text import shortened
from hub_tfx.repository.facts import Metric
from hub_tfx.web.pages.graph import Graph, Node

_WIDTH, _HEIGHT = 208, 54
_GAP_X, _GAP_Y = 92, 18
_MARGIN = 2
_TITLE_CHARS, _DETAIL_CHARS = 25, 30
_PLOT = 100
_INSET = 6


@dataclass(frozen=True)
class Box:
    """A node where it is drawn, with its text cut to the width of the box."""

    node: Node
    x: float
    y: float
    title: str
    detail: str
    is_root: bool


@dataclass(frozen=True)
class Curve:
    """An edge: a path of SVG, and where its label stands."""

    path: str
    by: str
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    """A graph from left to right."""

    width: int
    height: int
    box_width: int
    box_height: int
    boxes: tuple[Box, ...]
    curves: tuple[Curve, ...]


def drawn(graph: Graph) -> Drawing:
    """The drawing of a graph: a column for each generation."""
    columns: dict[int, list[Node]] = {}
    for node in graph.nodes:
        columns.setdefault(node.generation, []).append(node)
    tallest = max(map(len, columns.values()))
    height = tallest * (_HEIGHT + _GAP_Y) - _GAP_Y
    boxes = [
        _box(graph, node, column, row, (height - (len(nodes) * (_HEIGHT + _GAP_Y) - _GAP_Y)) / 2)
        for column, (_, nodes) in enumerate(sorted(columns.items()))
        for row, node in enumerate(nodes)
    ]
    width = len(columns) * (_WIDTH + _GAP_X) - _GAP_X
    return Drawing(
        width + 2 * _MARGIN,
        height + 2 * _MARGIN,
        _WIDTH,
        _HEIGHT,
        tuple(boxes),
        _curves(graph, boxes),
    )


def _box(graph: Graph, node: Node, column: int, row: int, top: float) -> Box:
    return Box(
        node,
        _MARGIN + column * (_WIDTH + _GAP_X),
        _MARGIN + top + row * (_HEIGHT + _GAP_Y),
        shortened(node.title, _TITLE_CHARS),
        shortened(" · ".join(filter(None, (node.kind, node.detail))), _DETAIL_CHARS),
        node.id == graph.root,
    )


def _curves(graph: Graph, boxes: Sequence[Box]) -> tuple[Curve, ...]:
    at = {box.node.id: box for box in boxes}
    curves, labelled = [], set[tuple[str, float, float]]()
    for edge in graph.edges:
        left, right = at[edge.source], at[edge.target]
        x1, y1 = left.x + _WIDTH, left.y + _HEIGHT / 2
        x2, y2 = right.x, right.y + _HEIGHT / 2
        middle = (x1 + x2) / 2
        path = f"M{x1:g} {y1:g}C{middle:g} {y1:g} {middle:g} {y2:g} {x2 - 5:g} {y2:g}"
        label = (edge.by, middle, (y1 + y2) / 2 - 5)
        curves.append(Curve(path, "" if label in labelled else edge.by, *label[1:]))
        labelled.add(label)
    return tuple(curves)


@dataclass(frozen=True)
class Range:
    """A value, its interval and the value it is compared with, on a line of 100 units."""

    value: float
    low: float
    high: float
    baseline: float | None


def ranges(metrics: Sequence[Metric]) -> list[Range]:
    """A line for each metric, each on its own scale."""
    return [_range(metric) for metric in metrics]


def _range(metric: Metric) -> Range:
    low, high = metric.interval or (metric.value, metric.value)
    known = [metric.value, low, high, *([] if metric.baseline is None else [metric.baseline])]
    least, most = min(known), max(known)

    def at(number: float) -> float:
        share = (number - least) / (most - least) if most > least else 0.5
        return round(_INSET + share * (_PLOT - 2 * _INSET), 2)

    baseline = None if metric.baseline is None else at(metric.baseline)
    return Range(at(metric.value), at(low), at(high), baseline)
