"""The page about an evaluation: one self-contained HTML file, verdict first, provenance last."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from hub_tfx.embed.report.html import Plot, render_page
from hub_tfx.evaluate.plots import Line, forest
from hub_tfx.evaluate.result import Evaluation, Interval, Measure, RowCounts, SanityCheck
from hub_tfx.evaluate.verdict import figure, signed, span

_DRAWN = 60
_HEAD = ["candidate", "baseline", "difference", "rows", "chance"]


def render(evaluation: Evaluation) -> str:
    """The page."""
    of_rows = [measure for measure in evaluation.measures if measure.n]
    whole = [measure for measure in of_rows if measure.slice is None]
    whole.sort(key=lambda measure: measure.name != evaluation.primary)
    plain = [measure for measure in evaluation.measures if not measure.n]
    return render_page(
        Path(__file__).with_name("page.html.j2"),
        verdict=evaluation.verdict,
        reasons=evaluation.reasons,
        rule=evaluation.rule,
        primary=evaluation.primary,
        plots=[*_plots(evaluation, whole, of_rows)],
        head=["measure", *_HEAD],
        measures=[(measure.name, *_cells(measure)) for measure in whole],
        slice_head=["slice", *_HEAD[:-1]],
        slices=[*_slices(whole, of_rows)],
        plain=[_plain(measure) for measure in plain],
        not_measured=[(missing.what, missing.why) for missing in evaluation.not_measured],
        uncertainty=evaluation.uncertainty,
        thresholds=[(t.threshold, "yes" if t.met else "no", t.why) for t in evaluation.thresholds],
        sanity=[_check(check) for check in evaluation.sanity],
        compared=any(measure.baseline is not None for measure in whole),
        worse_head=["row", "what it is", "expected", "baseline", "candidate"],
        worse=[
            (f"{row.position:,}", row.shown, row.expected, row.before, row.after)
            for row in evaluation.worse
        ],
        rows=_rows(evaluation.rows),
        provenance=[*_provenance(evaluation)],
    )


def _cells(measure: Measure) -> tuple[str, ...]:
    rows = f"{measure.n:,}"
    if measure.units != measure.n:
        rows += f" ({measure.units:,} independent)"
    return (
        _with(measure.value, measure.interval),
        _with(measure.baseline, measure.baseline_interval),
        _difference(measure),
        rows,
        *(["-" if measure.chance is None else figure(measure.chance)] if not measure.slice else []),
    )


def _with(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return "-"
    return figure(value) + ("" if interval is None else f" ({span(interval)})")


def _difference(measure: Measure) -> str:
    if measure.difference is None:
        return "-"
    interval = measure.difference_interval
    said = "" if interval is None else f" ({span(interval)})"
    return f"{signed(measure.difference)}{said}{_in_a_word(measure)}"


def _in_a_word(measure: Measure) -> str:
    interval = measure.difference_interval
    if interval is None or measure.higher_is_better is None or interval[0] <= 0 <= interval[1]:
        return ""
    return " better" if (interval[0] > 0) == measure.higher_is_better else " worse"


def _slices(
    whole: Sequence[Measure], of_rows: Sequence[Measure]
) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    for measure in whole:
        lines = [(m.slice, *_cells(m)) for m in of_rows if m.slice and m.name == measure.name]
        if lines:
            yield measure.name, [(name or "", *cells) for name, *cells in lines]


def _plots(
    evaluation: Evaluation, whole: Sequence[Measure], of_rows: Sequence[Measure]
) -> Iterator[Plot]:
    """All measures beside the baseline, or alone without one; and the primary one by slice."""
    has_baseline = any(measure.difference is not None for measure in whole)
    what = "Difference from the baseline" if has_baseline else "Value"
    yield from _plot(f"{what}, by measure", [(m.name, m) for m in whole], evaluation, has_baseline)
    primary = [(m.slice or "all rows", m) for m in of_rows if m.name == evaluation.primary]
    if len(primary) > 1:
        alt = f"{what}, {evaluation.primary} by slice"
        yield from _plot(alt, primary[:_DRAWN], evaluation, has_baseline)


def _plot(
    alt: str,
    measures: Sequence[tuple[str, Measure]],
    evaluation: Evaluation,
    has_baseline: bool,
) -> Iterator[Plot]:
    lines = [*_lines(measures, has_baseline)]
    if not lines:
        return
    margin = float(str(evaluation.config.get("margin", 0.0)))
    border = (-margin + 0.0) if has_baseline else None
    label = "candidate minus baseline" if has_baseline else "value"
    table = [
        (line.name, figure(line.value), "-" if line.interval is None else span(line.interval))
        for line in lines
    ]
    yield Plot(alt, forest(lines, label, border), table, ("what", label, "interval"))


def _lines(measures: Sequence[tuple[str, Measure]], has_baseline: bool) -> Iterator[Line]:
    for name, measure in measures:
        if not has_baseline:
            yield Line(name, measure.value, measure.interval)
        elif measure.difference is not None:
            yield Line(name, measure.difference, measure.difference_interval)


def _plain(measure: Measure) -> tuple[str, str, str, str]:
    return measure.name, figure(measure.value), _with(measure.baseline, None), _difference(measure)


def _check(check: SanityCheck) -> tuple[str, str, str, str]:
    result = check.why or ("-" if check.passed is None else "in order")
    return check.name, check.candidate, check.baseline or "-", result


def _rows(rows: RowCounts) -> list[tuple[str, str]]:
    said = [("rows of the input", rows.total), ("rows of the sample", rows.sampled)]
    if rows.with_label is not None:
        said.append(("rows measured by their label", rows.with_label))
    if rows.with_group is not None:
        said.append(("rows measured by their group", rows.with_group))
    said += [(f"left out: {why}", number) for why, number in rows.left_out.items()]
    return [(what, f"{number:,}") for what, number in said]


def _provenance(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    for name, module in (("module", evaluation.module), ("baseline", evaluation.baseline)):
        if module is not None:
            yield name, module.handle
            yield f"{name} digest", module.digest
    for name, value in evaluation.config.items():
        if value not in (None, "", [], {}):
            yield f"config: {name}", str(value)
    yield from evaluation.provenance.items()
    yield "hub_tfx", evaluation.version
