"""Sanity of vectors: what is found, and what is wrong."""

import warnings

import numpy as np
import pytest

from hub_tfx.evaluate.sanity import examine, sanity_checks

RNG = np.random.default_rng(0)
SOUND = RNG.normal(size=(100, 8)).astype(np.float32)


def condition(vectors, same=None):
    vectors = np.asarray(vectors, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return examine(vectors, None if same is None else np.asarray(same), 0)


def what_is_wrong(vectors, same=None, deterministic=None):
    checks = sanity_checks(condition(vectors, same), None, deterministic)
    return [check.why for check in checks if check.passed is False]


def test_nothing_is_wrong_with_sound_vectors():
    assert what_is_wrong(SOUND, same=np.arange(100), deterministic=True) == []
    found = condition(SOUND)
    assert (found.rows, found.dimensions, found.zero, found.dead) == (100, 8, 0, 0)
    assert found.norms[1] == pytest.approx(np.median(np.linalg.norm(SOUND, axis=1)), rel=1e-5)
    assert abs(found.pair_cosine) < 0.1


def with_rows(value, number):
    vectors = SOUND.copy()
    vectors[:number] = value
    return vectors


@pytest.mark.parametrize(
    ("vectors", "why"),
    [
        (with_rows(np.nan, 3), "3 of 100 vectors hold NaN or infinity"),
        (with_rows(np.inf, 1), "1 of 100 vectors hold NaN or infinity"),
        (with_rows(0, 51), "51 of 100 vectors are all zeros"),
        (np.ones((10, 4)), "nearly all vectors point one way: mean cosine 1.000000"),
        (np.zeros((10, 4)), "all vectors are equal"),
        (SOUND * 1e-6 + 1, "nearly all vectors point one way: mean cosine 1.000000"),
        (np.zeros((0, 4)), "there are no rows"),
        (np.zeros((3, 0)), "vectors are empty"),
        (np.full((5, 2), np.nan), "5 of 5 vectors hold NaN or infinity"),
    ],
)
def test_tells_what_is_wrong(vectors, why):
    assert why in what_is_wrong(vectors)


@pytest.mark.parametrize(
    "vectors", [with_rows(0, 50), SOUND * 1e37, SOUND[:1], SOUND[:, :1], SOUND * 1e-38]
)
def test_what_is_odd_may_still_be_right(vectors):
    assert what_is_wrong(vectors) == []


def test_equal_rows_must_have_equal_vectors_but_for_rounding():
    same = np.arange(100) // 2
    equal = np.repeat(SOUND[:50], 2, axis=0)
    assert what_is_wrong(equal, same) == []
    assert what_is_wrong(equal * (1 + 1e-5 * RNG.normal(size=equal.shape)), same) == []
    equal[7] = equal[0]
    assert what_is_wrong(equal, same) == ["1 rows have another vector than an equal row"]


def test_a_module_that_embeds_twice_otherwise_is_not_sane():
    assert what_is_wrong(SOUND, deterministic=False) == [
        "the same rows had other vectors the second time"
    ]


def test_the_effective_rank_is_the_number_of_directions_that_are_used():
    directions = np.linalg.qr(RNG.normal(size=(64, 3)))[0]
    inside = RNG.normal(size=(500, 3)) @ directions.T
    assert condition(inside).effective_rank == pytest.approx(3, abs=0.1)
    assert condition(RNG.normal(size=(3000, 8)) + 5).effective_rank == pytest.approx(8, abs=0.1)
    assert condition(RNG.normal(size=(10, 500))).effective_rank == pytest.approx(9, abs=0.5)


def test_dead_dimensions_are_counted_and_the_baseline_is_shown_beside():
    dead = SOUND.copy()
    dead[:, :2] = 7
    checks = sanity_checks(condition(dead), condition(SOUND), None)
    [found] = [check for check in checks if check.name == "dimensions that never change"]
    assert (found.candidate, found.baseline, found.passed) == ("2", "0", None)
