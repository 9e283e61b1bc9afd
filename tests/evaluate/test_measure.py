"""From vectors to a verdict, on sound rows and on hostile ones."""

import json
import warnings

import numpy as np
import pytest

from hub_tfx.embed.manifest import ModuleRef
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.measure import measure
from hub_tfx.evaluate.result import Cost, Costs, Evaluation
from hub_tfx.evaluate.rows import EvaluatedRows

ROWS = 120


def vectors(loudness, rows=ROWS, dimensions=4, seed=0):
    """A corner for each of three classes, and noise."""
    noise = np.random.default_rng(seed).normal(size=(rows, dimensions))
    return np.eye(dimensions)[np.arange(rows) % 3] + loudness * noise


def labels(rows=ROWS):
    return [f"class {row % 3}" for row in range(rows)]


BAD, GOOD = vectors(2.0, seed=1), vectors(0.1)
QUICK = {"replicates": 200}


def evaluated(candidate, baseline=None, config=None, **given):
    config = config or EvaluateConfig(label="label", **QUICK)
    more = {name: given.pop(name) for name in ("costs", "deterministic") if name in given}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluation = measure(EvaluatedRows(candidate, baseline, **given), config, **more)
    assert Evaluation.from_json(evaluation.to_json()) == evaluation
    return evaluation


def missing(evaluation):
    return {missed.what: missed.why for missed in evaluation.not_measured}


def test_better_is_blessed_and_worse_and_equal_are_not():
    better = evaluated(GOOD, BAD, labels=labels())
    assert better.is_blessed
    assert better.primary_measure.difference > 0.3
    assert not evaluated(BAD, GOOD, labels=labels()).is_blessed
    assert not evaluated(GOOD, GOOD, labels=labels()).is_blessed
    assert not evaluated(BAD, vectors(2.0, seed=2), labels=labels()).is_blessed


def test_equal_arguments_give_equal_bytes():
    one, other = (evaluated(GOOD, BAD, labels=labels()).to_json() for _ in range(2))
    assert one == other


def test_a_first_module_is_blessed_if_it_beats_chance():
    assert evaluated(GOOD, labels=labels()).is_blessed
    by_chance = evaluated(np.random.default_rng(1).normal(size=(ROWS, 4)), labels=labels())
    assert not by_chance.is_blessed
    assert "does not exclude the 0.333 of chance" in by_chance.reasons[0]
    assert missing(by_chance)["overlap@10"] == "there is no baseline"


def test_pairs_that_find_each_other_better_are_blessed():
    rng = np.random.default_rng(0)
    middles = np.repeat(rng.normal(size=(60, 8)), 2, axis=0)
    good, bad = (middles + n * rng.normal(size=(120, 8)) for n in (0.1, 3.0))
    groups = [f"question {row // 2}" for row in range(120)]
    config = EvaluateConfig(pairs="question", **QUICK)
    better = evaluated(good, bad, config, groups=groups, shown=[f"text {n}" for n in range(120)])
    assert (better.primary, better.is_blessed) == ("recall@10", True)
    assert better.primary_measure.units == 60  # Pairs are drawn, not rows.
    worse = evaluated(bad, good, config, groups=groups, shown=[f"text {n}" for n in range(120)])
    assert not worse.is_blessed
    row = worse.worse[0]
    assert row.expected == groups[row.position]
    assert f"text {row.position ^ 1}" in row.before.split("; ")
    assert row.candidate < row.baseline


def test_the_rows_that_got_worse_are_told_with_both_predictions():
    worse = evaluated(BAD, GOOD, labels=labels(), positions=range(1000, 1000 + ROWS)).worse
    assert len(worse) == 20
    for row in worse:
        assert row.expected == row.before == f"class {(row.position - 1000) % 3}" != row.after
        assert row.shown == f"row {row.position}"
    assert evaluated(GOOD, labels=labels()).worse == ()
    few = EvaluateConfig(label="label", worse_shown=3, **QUICK)
    assert len(evaluated(BAD, GOOD, few, labels=labels()).worse) == 3


def test_everything_that_is_known_of_the_run_is_in_the_evaluation():
    costs = Costs(Cost(100.0, 1.0, 5), Cost(200.0, None, 5))
    refs = ModuleRef("https://example.org/new/1", "a" * 64), ModuleRef("old/1", "b" * 64)
    config = EvaluateConfig(label="label", thresholds=("cost_rows_per_s>=0.9*baseline",), **QUICK)
    rows = EvaluatedRows(GOOD, BAD, labels=labels(), total=500, left_out={"no text": 7})
    found = measure(
        rows, config, costs=costs, module=refs[0], baseline=refs[1], provenance={"input": "a.csv"}
    )
    assert (found.module, found.baseline, found.provenance) == (*refs, {"input": "a.csv"})
    assert (found.rows.total, found.rows.sampled, found.rows.with_label) == (500, ROWS, ROWS)
    assert found.rows.left_out == {"no text": 7}
    assert EvaluateConfig.from_json(json.dumps(found.config)) == config
    assert found.measure("cost_rows_per_s").difference == -100
    assert found.measure("cost_load_s").baseline is None
    assert "another seed" in found.uncertainty
    assert found.reasons == (
        "cost_rows_per_s is 100 and does not meet the threshold cost_rows_per_s>=0.9*baseline, "
        "here 180.",
    )


def test_a_sample_of_a_named_size_is_measured_and_groups_stay_whole():
    config = EvaluateConfig(label="label", pairs="p", sample_rows=61, **QUICK)
    groups = [f"pair {row // 2}" for row in range(ROWS)]
    found = evaluated(GOOD, BAD, config, labels=labels(), groups=groups)
    assert (found.rows.total, found.rows.sampled, found.rows.with_group) == (ROWS, 60, 60)


def test_each_slice_is_measured_apart():
    langs = ["de"] * 50 + ["fr"] * 40 + ["it"] * 20 + [None] * 10
    config = EvaluateConfig(
        label="label",
        slices=("lang", "absent"),
        slice_values=1,
        thresholds=("probe_accuracy@lang=it>=0.9", "probe_accuracy@lang=es>=0.9"),
        **QUICK,
    )
    found = evaluated(GOOD, BAD, config, labels=labels(), slices={"lang": langs})
    shown = {m.slice: m.n for m in found.measures if m.name == "probe_accuracy"}
    assert shown == {None: ROWS, "lang=de": 50, "lang=it": 20}
    assert [result.met for result in found.thresholds] == [True, False]
    assert missing(found) | {
        "1 other values of lang": "only the 1 most frequent are measured (slice_values)",
        "lang of 10 rows": "they have no value",
        "lang=es": "no row has this value",
        "absent": "the rows have no such feature",
    } == missing(found)
    assert not found.is_blessed


def test_a_hundred_slices_take_the_twenty_largest():
    rows = 400
    config = EvaluateConfig(label="label", slices=("shop",), **QUICK)
    shops = [str(row % 100) for row in range(rows)]
    found = evaluated(
        vectors(0.1, rows), vectors(2, rows), config, labels=labels(rows), slices={"shop": shops}
    )
    assert len([m for m in found.measures if m.name == "knn_accuracy"]) == 1 + 20
    assert "80 other values of shop" in missing(found)


# --- Hostile rows --------------------------------------------------------------------------------


def test_vectors_with_nan_are_never_blessed_and_the_other_rows_are_still_measured():
    broken = GOOD.copy()
    broken[:5] = np.nan
    found = evaluated(broken, BAD, labels=labels())
    assert found.reasons == ("The vectors are not sane: 5 of 120 vectors hold NaN or infinity.",)
    assert found.primary_measure.n == ROWS - 5
    assert found.rows.left_out == {"the vector of the candidate holds NaN or infinity": 5}
    # A baseline that is broken is no fault of the candidate.
    beside = evaluated(GOOD, np.where(np.isnan(broken), np.inf, BAD), labels=labels())
    assert beside.is_blessed
    assert beside.rows.left_out == {"the vector of the baseline holds NaN or infinity": 5}


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 1.0])
def test_vectors_that_say_nothing_are_not_blessed(value):
    flat = np.full((ROWS, 4), value)
    assert not evaluated(flat, labels=labels()).is_blessed
    assert not evaluated(flat, BAD, labels=labels()).is_blessed
    assert not evaluated(flat, flat, labels=labels()).is_blessed
    assert not evaluated(flat, BAD, labels=labels(), content=range(ROWS)).is_blessed


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
@pytest.mark.parametrize("has_baseline", [False, True])
def test_a_handful_of_rows_is_not_enough(rows, has_baseline):
    config = EvaluateConfig(label="label", pairs="pairs", slices=("lang",), **QUICK)
    found = evaluated(
        GOOD[:rows],
        BAD[:rows] if has_baseline else None,
        config,
        labels=["a"] * rows,
        groups=["g"] * rows,
        slices={"lang": ["de"] * rows},
        content=range(rows),
    )
    assert not found.is_blessed
    assert all(found.reasons)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["a"] * ROWS, "all 120 rows with a label are of one class, 'a'"),
        ([str(row) for row in range(ROWS)], "of 120 classes, 120 have a single row"),
        ([None] * ROWS, "no row has a label"),
        ([float("nan"), ""] * (ROWS // 2), "no row has a label"),
    ],
)
def test_labels_that_cannot_be_learned_are_the_reason(given, why):
    found = evaluated(GOOD, BAD, labels=given)
    assert not found.is_blessed
    assert why in found.reasons[0]


def test_rows_without_a_label_are_counted_and_not_measured():
    some = [None if row < 30 else label for row, label in enumerate(labels())]
    found = evaluated(GOOD, BAD, labels=some)
    assert (found.rows.with_label, found.primary_measure.n) == (90, 90)
    assert found.measure("overlap@10").n == ROWS


def test_labels_of_any_type_and_script_are_classes():
    names = ["<b>&amp;</b>", "日本\u202e", "\x1b[31m"]
    assert evaluated(GOOD, BAD, labels=[names[row % 3] for row in range(ROWS)]).is_blessed
    assert evaluated(GOOD, BAD, labels=np.arange(ROWS) % 3).is_blessed
    assert evaluated(GOOD, BAD, labels=[b"\xff%d" % (row % 3) for row in range(ROWS)]).is_blessed


def test_modules_of_other_dimensions_are_compared_but_for_their_cosine():
    found = evaluated(GOOD, vectors(2.0, dimensions=7), labels=labels())
    assert found.is_blessed
    assert missing(found)["old_new_cosine"] == "the vectors have 4 and 7 dimensions"
    assert found.measure("old_new_cosine") is None


def test_numbers_at_the_end_of_float32_are_measured_like_any_others():
    huge = evaluated(GOOD * 1e38, BAD * 1e-38, labels=labels())
    assert huge.is_blessed
    assert huge.measure("knn_accuracy") == evaluated(GOOD, BAD, labels=labels()).measure(
        "knn_accuracy"
    )
    beyond = evaluated(GOOD * 1e300, BAD, labels=labels())
    assert not beyond.is_blessed


def test_equal_rows_count_once():
    """Six rows, each twenty times, are six rows to the statistics."""
    content = np.arange(ROWS) % 6
    good, bad = GOOD[content], BAD[content]
    alone = evaluated(good, bad, labels=[f"class {n % 3}" for n in content], content=content)
    assert alone.primary_measure.units == 6
    found = evaluated(good, bad, labels=[f"class {n % 3}" for n in content])
    assert found.primary_measure.units == 6  # Without content, by their vectors.


@pytest.mark.parametrize(
    "option",
    [
        {"margin": 0.5},
        {"folds": 3},
        {"neighbours": 3},
        {"probe": "ridge"},
        {"primary": "knn_accuracy"},
        {"replicates": 300},
        {"confidence": 0.8},
        {"seed": 1},
    ],
)
def test_every_option_has_an_effect(option):
    middling = vectors(0.8, seed=3), vectors(0.8, seed=4)
    with_it = EvaluateConfig(**{"label": "label", **QUICK, **option})
    one = evaluated(*middling, labels=labels())
    other = evaluated(*middling, with_it, labels=labels())
    assert (one.measures, one.rule) != (other.measures, other.rule)


def test_labels_that_are_nearly_equal_are_different_classes():
    """NumPy's own texts would lose the zero at the end, and be as long as the longest."""
    names = ["a", "a\0", "b" * 100_000]
    found = evaluated(BAD, GOOD, labels=[names[row % 3] for row in range(ROWS)])
    assert found.primary_measure.baseline > 0.9
    assert found.primary_measure.chance == pytest.approx(1 / 3)


def test_a_module_that_is_not_deterministic_is_not_blessed():
    assert evaluated(GOOD, BAD, labels=labels(), deterministic=True).is_blessed
    assert not evaluated(GOOD, BAD, labels=labels(), deterministic=False).is_blessed


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"baseline": GOOD[:3]}, "baseline has 3 rows, and candidate has 120"),
        ({"labels": ["a"]}, "labels has 1 rows"),
        ({"slices": {"lang": ["de"]}}, "slice 'lang' has 1 rows"),
        ({"shown": []}, "shown has 0 rows"),
        ({"candidate": GOOD[0]}, "not \\[n, dim\\] numbers"),
        ({"candidate": [["a"]]}, "not \\[n, dim\\] numbers"),
    ],
)
def test_rows_that_do_not_fit_are_refused(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        EvaluatedRows(**{"candidate": GOOD, **change})
