"""The verdict: blessed or not, and the reasons in words."""

from collections.abc import Iterator, Sequence

from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.result import (
    Interval,
    Measure,
    NotMeasured,
    SanityCheck,
    ThresholdResult,
    Verdict,
)
from hub_tfx.evaluate.threshold import Threshold


def rule_in_words(config: EvaluateConfig, has_baseline: bool) -> str:
    """What it takes to be blessed."""
    primary = config.decides or "a measure of labels or pairs"
    share = f"{100 * config.confidence:g}%"
    if not has_baseline:
        how = f"the {share} interval of {primary} is above what chance gives (there is no baseline)"
    elif config.margin:
        how = (
            f"the {share} interval of the paired difference of {primary} is above "
            f"-{config.margin:g}: no worse than the baseline, but for this margin"
        )
    else:
        how = (
            f"the {share} interval of the paired difference of {primary} is above 0: better than "
            "the baseline"
        )
    return f"Blessed if {how}; and the vectors are sane; and every threshold is met."


def decide(
    measures: Sequence[Measure],
    not_measured: Sequence[NotMeasured],
    sanity: Sequence[SanityCheck],
    thresholds: Sequence[ThresholdResult],
    config: EvaluateConfig,
    has_baseline: bool,
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and its reasons, those against it first.

    What is not measured cannot bless.
    """
    wrong = [check for check in sanity if check.passed is False]
    against = [f"The vectors are not sane: {check.why}." for check in wrong]
    is_better, why = _primary(measures, not_measured, config, has_baseline)
    if not is_better:
        against.append(why)
    against += [result.why for result in thresholds if not result.met]
    if against:
        return "not blessed", tuple(against)
    return "blessed", (why, *(result.why for result in thresholds))


def _primary(
    measures: Sequence[Measure],
    not_measured: Sequence[NotMeasured],
    config: EvaluateConfig,
    has_baseline: bool,
) -> tuple[bool, str]:
    """Whether the primary measure speaks for the module, and what it says."""
    name = config.decides
    if name is None:
        return False, (
            "Nothing that could decide was measured: name the feature of the labels (label), or "
            "that of the groups of rows that should find each other (pairs)."
        )
    found = next((m for m in measures if m.name == name and m.slice is None), None)
    if found is None:
        whys = [missing.why for missing in not_measured if missing.what == name]
        return False, f"{name} decides, and could not be measured: {'; '.join(whys)}."
    return _against_baseline(found, config) if has_baseline else _against_chance(found, config)


def _against_baseline(found: Measure, config: EvaluateConfig) -> tuple[bool, str]:
    assert found.baseline is not None
    assert found.difference is not None
    said = f"{found.name} is {figure(found.value)}, that of the baseline {figure(found.baseline)}"
    interval = found.difference_interval
    if interval is None:
        return False, f"{said}; {_too_few(found)}."
    low, high = interval
    said += (
        f": a difference of {signed(found.difference)}, interval {span(interval)}, over "
        f"{found.n:,} rows"
    )
    if low > -config.margin:
        words = f"above the margin of -{config.margin:g}" if config.margin else "above 0"
        return (
            True,
            f"{said}. The interval is {words}: it is {'no worse' if low <= 0 else 'better'}.",
        )
    if high < -config.margin:
        return False, f"{said}. It is worse."
    if config.margin:
        return False, f"{said}. It may be worse by more than the margin of {config.margin:g}."
    return False, f"{said}. The interval does not exclude that it is no better."


def _against_chance(found: Measure, config: EvaluateConfig) -> tuple[bool, str]:
    chance = found.chance or 0.0
    said = f"There is no baseline. {found.name} is {figure(found.value)}"
    if found.interval is None:
        return False, f"{said}; {_too_few(found)}."
    said += f", interval {span(found.interval)}, over {found.n:,} rows"
    if found.interval[0] > chance:
        return True, f"{said}: better than the {figure(chance)} of chance."
    return False, f"{said}: the interval does not exclude the {figure(chance)} of chance."


def _too_few(found: Measure) -> str:
    return f"there is no interval, because its {found.n:,} rows are one to the statistics"


def check_threshold(
    threshold: Threshold,
    measures: Sequence[Measure],
    not_measured: Sequence[NotMeasured],
    has_baseline: bool,
) -> ThresholdResult:
    """Whether a threshold is met. One beside the baseline is not asked for without one."""
    of = None if threshold.slice is None else str(threshold.slice)
    what = threshold.measure if of is None else f"{threshold.measure} of {of}"
    text = str(threshold)
    if threshold.factor is not None and not has_baseline:
        why = f"The threshold {text} does not apply: there is no baseline."
        return ThresholdResult(text, None, None, True, why)
    found = next((m for m in measures if (m.name, m.slice) == (threshold.measure, of)), None)
    if found is None:
        whys = [missing.why for missing in _about(threshold.measure, of, not_measured)]
        why = f"{what} was not measured, which the threshold {text} needs{_because(whys)}."
        return ThresholdResult(text, None, None, False, why)
    bound = threshold.bound(found.baseline)
    if bound is None:
        why = f"{what} was not measured of the baseline, which the threshold {text} needs."
        return ThresholdResult(text, found.value, None, False, why)
    is_met = threshold.is_met(found.value, bound)
    verb = "meets" if is_met else "does not meet"
    beside = f", here {bound:.6g}" if threshold.factor is not None else ""
    why = f"{what} is {found.value:.6g} and {verb} the threshold {text}{beside}."
    return ThresholdResult(text, found.value, bound, is_met, why)


def _about(
    measure: str, of: str | None, not_measured: Sequence[NotMeasured]
) -> Iterator[NotMeasured]:
    return (missing for missing in not_measured if missing.what in (measure, of))


def _because(whys: Sequence[str]) -> str:
    return f": {'; '.join(whys)}" if whys else ""


def figure(value: float) -> str:
    """A number for a person."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 1:
        return f"{value:.4g}"
    return f"{value:.3f}" if abs(value) >= 0.0005 or value == 0 else f"{value:.1g}"


def signed(value: float) -> str:
    """A difference for a person."""
    return f"{'+' if value > 0 else ''}{figure(value)}"


def span(interval: Interval) -> str:
    """An interval for a person."""
    return f"{figure(interval[0])} to {figure(interval[1])}"
