"""The verdict: what it takes to be blessed, and the reasons in words."""

import pytest

from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.result import Measure, NotMeasured, SanityCheck
from hub_tfx.evaluate.threshold import Threshold
from hub_tfx.evaluate.verdict import check_threshold, decide, figure, rule_in_words

CONFIG = EvaluateConfig(label="label")
SANE = SanityCheck("rows", "3", None, True)
NOT_SANE = SanityCheck("rows", "0", None, False, "there are no rows")


def primary(low, high, value=0.8, baseline=0.7, **more):
    return Measure(
        "probe_accuracy",
        None,
        200,
        value,
        True,
        baseline=baseline,
        difference=value - baseline,
        difference_interval=(low, high),
        **more,
    )


def verdict(*measures, config=CONFIG, missing=(), sanity=(SANE,), has_baseline=True):
    thresholds = [
        check_threshold(limit, measures, missing, has_baseline) for limit in config.limits
    ]
    said, reasons = decide(measures, missing, sanity, thresholds, config, has_baseline)
    return said, " ".join(reasons)


def test_better_is_blessed_with_its_numbers():
    assert verdict(primary(0.02, 0.18)) == (
        "blessed",
        "probe_accuracy is 0.800, that of the baseline 0.700: a difference of +0.100, interval "
        "0.020 to 0.180, over 200 rows. The interval is above 0: it is better.",
    )


@pytest.mark.parametrize(
    ("low", "high", "why"),
    [
        (0.0, 0.1, "does not exclude that it is no better"),
        (-0.01, 0.1, "does not exclude that it is no better"),
        (-0.2, -0.1, "It is worse."),
    ],
)
def test_equal_and_worse_are_not(low, high, why):
    said, reasons = verdict(primary(low, high))
    assert said == "not blessed"
    assert why in reasons


def test_a_margin_of_non_inferiority_may_bless_equals_by_choice():
    config = EvaluateConfig(label="label", margin=0.02)
    said, why = verdict(primary(-0.01, 0.01), config=config)
    assert (said, "above the margin of -0.02: it is no worse." in why) == ("blessed", True)
    said, why = verdict(primary(-0.03, 0.01), config=config)
    assert (said, "worse by more than the margin of 0.02" in why) == ("not blessed", True)
    assert verdict(primary(-0.05, -0.03), config=config)[1].endswith("It is worse.")
    assert "no worse than the baseline, but for this margin" in rule_in_words(config, True)


def test_what_is_not_measured_cannot_bless():
    said, why = verdict(config=EvaluateConfig())
    assert (said, "Nothing that could decide was measured" in why) == ("not blessed", True)
    missing = [NotMeasured("probe_accuracy", "no row has a label")]
    assert verdict(missing=missing) == (
        "not blessed",
        "probe_accuracy decides, and could not be measured: no row has a label.",
    )
    lone = Measure("probe_accuracy", None, 3, 1.0, True, baseline=0.0, difference=1.0)
    said, why = verdict(lone)
    assert (said, "there is no interval" in why) == ("not blessed", True)


def test_vectors_that_are_not_sane_are_never_blessed():
    said, why = verdict(primary(0.1, 0.2), sanity=(SANE, NOT_SANE))
    assert (said, why) == ("not blessed", "The vectors are not sane: there are no rows.")


def first(low, value=0.8, chance=0.5):
    return Measure("probe_accuracy", None, 20, value, True, interval=(low, 0.9), chance=chance)


def test_a_first_module_must_be_better_than_chance():
    said, why = verdict(first(0.6), has_baseline=False)
    assert (said, "better than the 0.500 of chance" in why) == ("blessed", True)
    said, why = verdict(first(0.5), has_baseline=False)
    assert (said, "does not exclude the 0.500 of chance" in why) == ("not blessed", True)
    assert "above what chance gives (there is no baseline)" in rule_in_words(CONFIG, False)


COST = Measure("cost_rows_per_s", None, 0, 100.0, True, baseline=300.0)
GERMAN = Measure("probe_accuracy", "lang=de", 50, 0.6, True, baseline=0.75)


@pytest.mark.parametrize(
    ("threshold", "is_met", "why"),
    [
        ("probe_accuracy>=0.8", True, "is 0.8 and meets the threshold probe_accuracy>=0.8."),
        ("probe_accuracy>=0.81", False, "is 0.8 and does not meet the threshold"),
        ("probe_accuracy<=0.9", True, "meets"),
        ("cost_rows_per_s>=0.5*baseline", False, "cost_rows_per_s>=0.5*baseline, here 150."),
        ("cost_rows_per_s>=0.25*baseline", True, "here 75"),
        ("probe_accuracy@lang=de>=0.7", False, "probe_accuracy of lang=de is 0.6"),
        ("probe_accuracy@lang=de>=baseline-0.2", True, "here 0.55"),
        ("probe_accuracy@lang=fr>=0.7", False, "no row has this value"),
        ("cost_load_s<=1", False, "cost_load_s was not measured, which the threshold"),
        ("zero_rows<=baseline", False, "was not measured of the baseline"),
    ],
)
def test_every_threshold_must_be_met(threshold, is_met, why):
    config = EvaluateConfig(label="label", slices=("lang",), thresholds=(threshold,))
    missing = [NotMeasured("lang=fr", "no row has this value")]
    zero = Measure("zero_rows", None, 0, 0.0, False)
    said, reasons = verdict(primary(0.1, 0.2), COST, GERMAN, zero, config=config, missing=missing)
    assert said == ("blessed" if is_met else "not blessed")
    assert why in reasons


def test_a_threshold_beside_the_baseline_does_not_hold_up_a_first_module():
    config = EvaluateConfig(label="label", thresholds=("cost_rows_per_s>=0.5*baseline",))
    said, why = verdict(first(0.6), config=config, has_baseline=False)
    assert (said, "does not apply: there is no baseline" in why) == ("blessed", True)
    found = check_threshold(Threshold.parse("cost_load_s<=1"), [], [], False)
    assert not found.met  # An absolute one is.


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0.000"),
        (0.12345, "0.123"),
        (-0.1, "-0.100"),
        (0.00012, "0.0001"),
        (31.456, "31.46"),
        (1234567.8, "1,234,568"),
        (-2000, "-2,000"),
    ],
)
def test_figures_are_for_people(value, shown):
    assert figure(value) == shown
