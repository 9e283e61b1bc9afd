"""Folds, the linear probe and the vote of neighbours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.embed.report.survey import unit_vectors
from hub_tfx.evaluate.folds import deal_folds
from hub_tfx.evaluate.labels import rows_to_classify
from hub_tfx.evaluate.probe import cross_validate, linear_probe, neighbours_vote, scaled
from hub_tfx.evaluate.scores import codes_of

ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=40)


@given(ROWS, st.integers(2, 6), st.integers(0, 99))
def test_equal_rows_share_a_fold_and_classes_are_spread(rows, folds, seed):
    classes = codes_of([label for label, _ in rows])
    same = codes_of(rows)  # Rows are equal with their labels.
    dealt = deal_folds(classes, same, folds, seed)
    assert dealt.tolist() == deal_folds(classes, same, folds, seed).tolist()
    for number in np.unique(same):
        assert len(set(dealt[same == number])) == 1
    for number in np.unique(classes):
        different = len(np.unique(same[classes == number]))
        assert len(set(dealt[classes == number])) == min(folds, different)


def test_folds_depend_on_the_seed():
    classes, same = np.zeros(100, int), np.arange(100)
    one, other = (deal_folds(classes, same, 5, seed) for seed in (0, 1))
    assert one.tolist() != other.tolist()
    assert np.bincount(one).tolist() == np.bincount(other).tolist() == [20] * 5


@pytest.mark.parametrize("predict", [linear_probe("logistic"), linear_probe("ridge")])
def test_a_probe_tells_what_a_line_can_tell(predict):
    rng = np.random.default_rng(0)
    classes = rng.integers(3, size=300)
    vectors = (np.eye(5)[classes] + 0.1 * rng.normal(size=(300, 5))).astype(np.float32)
    folds = deal_folds(classes, np.arange(300), 5, 0)
    assert (cross_validate(vectors, classes, folds, predict) == classes).all()


@pytest.mark.parametrize("predict", [linear_probe("logistic"), neighbours_vote(1)])
def test_nothing_is_measured_on_what_it_was_learned_from(predict):
    """Labels by chance, each row three times: whoever has seen the others knows them all."""
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(100, 60)), 3, axis=0).astype(np.float32)
    classes = np.repeat(rng.integers(2, size=100), 3)
    vectors = unit_vectors(vectors)

    def accuracy(same):
        folds = deal_folds(classes, same, 5, 0)
        return (cross_validate(vectors, classes, folds, predict) == classes).mean()

    assert accuracy(np.arange(300)) > 0.75
    assert accuracy(np.arange(300) // 3) < 0.65


def test_neighbours_vote_and_the_nearest_decides_a_tie():
    angles = np.radians([10, 20, 30, 40])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    query = np.array([[1, 0]], np.float32)
    assert neighbours_vote(4)(vectors, np.array([2, 0, 0, 1]), query).tolist() == [0]
    assert neighbours_vote(4)(vectors, np.array([1, 0, 0, 1]), query).tolist() == [1]
    assert neighbours_vote(9)(vectors, np.array([0, 3, 3, 3]), query).tolist() == [3]


def test_numbers_whose_squares_are_beyond_float32_are_no_trouble():
    rng = np.random.default_rng(0)
    classes = rng.integers(2, size=100)
    vectors = (np.eye(2)[classes] + 0.1 * rng.normal(size=(100, 2))).astype(np.float32) * 1e38
    folds = deal_folds(classes, np.arange(100), 5, 0)
    for predict, held in (
        (linear_probe("logistic"), scaled(vectors)),
        (neighbours_vote(5), unit_vectors(vectors)),
    ):
        assert (cross_validate(held, classes, folds, predict) == classes).all()


def classified(labels, same=None):
    given = np.array(labels, object)
    rows, why = rows_to_classify(given, np.arange(len(labels)) if same is None else np.array(same))
    return rows.tolist(), why


def test_rows_are_classified_whose_class_other_rows_have():
    assert classified(["a", "b", None, "a", "b", "c"]) == ([0, 1, 3, 4], "")
    # Two equal rows are one, from which nothing else can be learned.
    assert classified(["a", "b", "a", "b", "c", "c"], [0, 1, 2, 3, 4, 4])[0] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ([], "no row has a label"),
        ([None, None], "no row has a label"),
        (["a", "a", None], "all 2 rows with a label are of one class, 'a'"),
        (["a", "b", "c"], "of 3 classes, 3 have a single row"),
        (["a", "a", "b"], "of 2 classes, 1 have a single row"),
    ],
)
def test_why_there_is_nothing_to_classify(labels, why):
    rows, said = classified(labels)
    assert rows == []
    assert said.startswith(why)
