"""Intervals: by a paired bootstrap over rows or groups of rows."""

import numpy as np
import pytest
from scipy.stats import norm

from hub_tfx.evaluate import intervals
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.intervals import measure_scores
from hub_tfx.evaluate.scores import RowValues, Scores

CONFIG = EvaluateConfig(label="label")


def measured(candidate, baseline=None, units=None, config=CONFIG, name="probe_accuracy"):
    values = RowValues(
        np.asarray(candidate, float), None if baseline is None else np.asarray(baseline, float)
    )
    rows = np.arange(len(values.candidate))
    units = rows if units is None else np.asarray(units)
    [measure] = measure_scores(Scores(rows, {name: values}), units, config)
    return measure


def test_an_interval_is_about_that_of_the_normal_distribution():
    right = np.random.default_rng(0).random(1000) < 0.8
    found = measured(right)
    reach = norm.ppf(0.975) * right.std() / np.sqrt(1000)
    assert found.interval == pytest.approx(
        (found.value - reach, found.value + reach), abs=0.1 * reach
    )
    assert (found.n, found.units, found.baseline, found.difference) == (1000, 1000, None, None)


def test_what_both_modules_get_wrong_widens_no_difference():
    rng = np.random.default_rng(0)
    hard = rng.random(1000) < 0.5
    other = measured(hard, hard ^ (rng.random(1000) < 0.02))
    low, high = other.difference_interval
    assert high - low < 0.03
    assert other.interval[1] - other.interval[0] > 0.05


def test_rows_of_a_group_are_drawn_together():
    """A hundred rows, each ten times: they say no more than a hundred rows do."""
    right = np.random.default_rng(0).random(100) < 0.5
    alone = measured(right)
    repeated = measured(np.repeat(right, 10), units=np.repeat(np.arange(100), 10))
    assert repeated.interval == pytest.approx(alone.interval)
    assert (repeated.n, repeated.units) == (1000, 100)


@pytest.mark.parametrize(("better", "is_better"), [(2, False), (5, False), (8, True)])
def test_a_few_rows_that_agree_leave_doubt(better, is_better):
    """As the exact sign test has it: of five rows in five, chance would give one in 32."""
    candidate, baseline = np.ones(200), np.ones(200)
    baseline[:better] = 0
    assert (measured(candidate, baseline).difference_interval[0] > 0) == is_better
    few = measured(candidate[:better], baseline[:better])
    assert (few.difference_interval[0] > 0) == is_better


def test_one_row_has_no_interval():
    found = measured([1.0], [0.0])
    assert (found.interval, found.baseline_interval, found.difference_interval) == (None,) * 3
    assert (found.value, found.difference) == (1.0, 1.0)
    assert measured([1.0, 1.0], units=[4, 4]).interval is None


def test_equal_seeds_draw_equally_however_many_are_drawn_at_one_time(monkeypatch):
    right, wrong = (np.random.default_rng(n).random(50) < 0.7 for n in (0, 1))
    one = measured(right, wrong)
    assert measured(right, wrong) == one
    other = measured(right, wrong, config=EvaluateConfig(label="label", seed=1))
    assert other.interval != one.interval
    assert other.interval == pytest.approx(one.interval, abs=0.05)
    monkeypatch.setattr(intervals, "_DRAWN_AT_ONCE", 7 * 52)
    assert measured(right, wrong).difference_interval == one.difference_interval


def test_a_wide_confidence_gives_a_wide_interval():
    right = np.random.default_rng(0).random(200) < 0.7
    narrow = measured(right, config=EvaluateConfig(label="label", confidence=0.5)).interval
    wide = measured(right, config=EvaluateConfig(label="label", confidence=0.99)).interval
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
