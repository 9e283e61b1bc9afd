"""The rows that the candidate does worse on than the baseline, for a person to look at."""

from typing import Any

import numpy as np

from hub_tfx._text import printable, shortened
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.result import WorseRow
from hub_tfx.evaluate.rows import EvaluatedRows
from hub_tfx.evaluate.scores import RowValues
from hub_tfx.evaluate.scoring import Found

Array = np.ndarray[Any, Any]

_SHOWN_CHARS = 200
_NEIGHBOUR_CHARS = 60
_NEIGHBOURS = 3


def worse_rows(rows: EvaluatedRows, found: Found, config: EvaluateConfig) -> tuple[WorseRow, ...]:
    """At most ``config.worse_shown`` rows, those first that lost most by the primary measure."""
    if config.decides is None:
        return ()
    kind = config.measures[config.decides].kind
    scores = found.scores.get(kind)
    values = None if scores is None else scores.values[config.decides]
    if scores is None or values is None or values.baseline is None:
        return ()
    lost = values.baseline - values.candidate
    first = np.argsort(-lost, kind="stable")[: config.worse_shown]
    known = rows.labels if kind == "labels" else rows.groups
    assert known is not None
    return tuple(
        WorseRow(
            position=int(row if rows.positions is None else rows.positions[row]),
            shown=show(rows, row),
            expected=_short(known[row], _NEIGHBOUR_CHARS),
            before=_said(rows, found, values, at, row, "baseline"),
            after=_said(rows, found, values, at, row, "candidate"),
            baseline=float(values.baseline[at]),
            candidate=float(values.candidate[at]),
        )
        for at, row in zip(first.tolist(), scores.rows[first].tolist(), strict=True)
        if lost[at] > 0
    )


def _said(
    rows: EvaluatedRows, found: Found, values: RowValues, at: int, row: int, whose: str
) -> str:
    """What a module makes of a row: the class that it predicts, or the nearest rows."""
    if values.said is not None:
        return _short(values.said[whose][at], _NEIGHBOUR_CHARS)
    near = found.nearest[whose][row][:_NEIGHBOURS].tolist()
    return "; ".join(show(rows, other, _NEIGHBOUR_CHARS) for other in near)


def show(rows: EvaluatedRows, row: int, chars: int = _SHOWN_CHARS) -> str:
    """What a row is, for a person."""
    if rows.shown is None:
        return f"row {row if rows.positions is None else rows.positions[row]}"
    return _short(rows.shown[row], chars)


def _short(text: Any, chars: int) -> str:
    return shortened(printable(" ".join(str(text).split())), chars)
