"""measure: vectors of two modules in, a verdict with its numbers and reasons out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import hub_tfx
from hub_tfx.embed.manifest import ModuleRef
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.intervals import measure_scores
from hub_tfx.evaluate.names import Kind
from hub_tfx.evaluate.result import (
    Cost,
    Costs,
    Evaluation,
    Measure,
    NotMeasured,
    RowCounts,
    SanityCheck,
)
from hub_tfx.evaluate.rows import EvaluatedRows
from hub_tfx.evaluate.sample import Sample, draw_sample, finite
from hub_tfx.evaluate.sanity import Condition, examine, sanity_checks
from hub_tfx.evaluate.scoring import Found, score
from hub_tfx.evaluate.slices import find_slices
from hub_tfx.evaluate.verdict import check_threshold, decide, rule_in_words
from hub_tfx.evaluate.worse import worse_rows

_Pair = tuple[float | None, float | None]
"""A number of the candidate, and the same of the baseline."""

_UNCERTAINTY = (
    "An interval holds, in {share:.4g} of 100 samples, what all rows like these would give: it is "
    "about the choice of rows. It does not cover another training: the same module trained with "
    "another seed is another module, and only training again shows how far they lie apart. It does "
    "not cover rows of another kind, or rows that the module was trained on, if there are any "
    "among these. It holds for one measure at a time: of many slices, some lie apart by chance. "
)


def measure(
    rows: EvaluatedRows,
    config: EvaluateConfig,
    *,
    costs: Costs | None = None,
    deterministic: bool | None = None,
    module: ModuleRef | None = None,
    baseline: ModuleRef | None = None,
    provenance: Mapping[str, str] | None = None,
    checks: Sequence[SanityCheck] = (),
) -> Evaluation:
    """Measures the candidate beside the baseline, and decides; equal for equal arguments.

    Args:
      rows: vectors of both modules; without those of a baseline, the rule for a first run decides.
      config: what is measured, and what it takes to be blessed.
      costs: what both modules cost, in one run.
      deterministic: whether the candidate embeds rows twice in the same way; None if not tried.
      module, baseline: the modules.
      provenance: what else is to be told of where the rows came from.
      checks: what was found of the modules before there were vectors.
    """
    sample = draw_sample(rows, config)
    conditions = _examine(sample, config)
    found_sane = sanity_checks(conditions["candidate"], conditions.get("baseline"), deterministic)
    sanity = (*found_sane, *checks)
    used, left_out = finite(sample)
    found = score(used, config)
    measures, missing = _measures(used, found, {**_sane(conditions), **_cost(costs)}, config)
    has_baseline = rows.baseline is not None
    thresholds = tuple(
        check_threshold(limit, measures, missing, has_baseline) for limit in config.limits
    )
    verdict, reasons = decide(measures, missing, sanity, thresholds, config, has_baseline)
    return Evaluation(
        verdict=verdict,
        reasons=reasons,
        primary=config.decides,
        rule=rule_in_words(config, has_baseline),
        measures=tuple(measures),
        not_measured=tuple(missing),
        thresholds=thresholds,
        sanity=sanity,
        cost=costs,
        worse=worse_rows(used.rows, found, config),
        rows=_counts(rows, sample, found, left_out),
        uncertainty=_UNCERTAINTY.format(share=100 * config.confidence),
        config=json.loads(config.to_json()),
        version=hub_tfx.__version__,
        module=module,
        baseline=baseline,
        provenance=dict(provenance or {}),
    )


def _examine(sample: Sample, config: EvaluateConfig) -> dict[str, Condition]:
    same = None if sample.rows.content is None else sample.same
    return {w: examine(vectors, same, config.seed) for w, vectors in sample.rows.vectors.items()}


def _measures(
    used: Sample, found: Found, plain: Mapping[str, _Pair], config: EvaluateConfig
) -> tuple[list[Measure], list[NotMeasured]]:
    """Measures of all rows, then of each slice, then those that are not of rows."""
    slices, missing = find_slices(used.rows, config)
    measures = []
    for scores in found.scores.values():
        measures += measure_scores(scores, used.units, config)
    for of, is_in in slices.items():
        for scores in found.scores.values():
            if (is_in_slice := is_in[scores.rows]).any():
                measures += measure_scores(scores.of(is_in_slice), used.units, config, of)
    measures += [
        _plain(name, value, other, config)
        for name, (value, other) in plain.items()
        if value is not None
    ]
    why = "it was not measured of the module"
    without = [NotMeasured(name, why) for name, (value, _) in plain.items() if value is None]
    return measures, [*found.missing, *without, *missing]


def _sane(conditions: Mapping[str, Condition]) -> dict[str, _Pair]:
    baseline = conditions.get("baseline")
    others = {} if baseline is None else baseline.numbers
    return {name: (n, others.get(name)) for name, n in conditions["candidate"].numbers.items()}


def _cost(costs: Costs | None) -> dict[str, _Pair]:
    candidate = Cost() if costs is None else costs.candidate
    baseline = Cost() if costs is None or costs.baseline is None else costs.baseline
    others = asdict(baseline)
    return {f"cost_{name}": (value, others[name]) for name, value in asdict(candidate).items()}


def _plain(name: str, value: float, baseline: float | None, config: EvaluateConfig) -> Measure:
    return Measure(
        name=name,
        slice=None,
        n=0,
        value=float(value),
        higher_is_better=config.measures[name].higher_is_better,
        baseline=None if baseline is None else float(baseline),
        difference=None if baseline is None else float(value - baseline),
    )


def _counts(
    rows: EvaluatedRows, sample: Sample, found: Found, left_out: Mapping[str, int]
) -> RowCounts:
    total = len(rows) if rows.total is None else rows.total
    measured: dict[Kind, int] = {kind: len(of.rows) for kind, of in found.scores.items()}
    return RowCounts(
        total=total,
        sampled=len(sample.rows),
        with_label=None if rows.labels is None else measured.get("labels", 0),
        with_group=None if rows.groups is None else measured.get("pairs", 0),
        left_out={**rows.left_out, **left_out},
    )
