"""Nearest rows, and the measures that rest on them, against plain and slow references."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score
from sklearn.neighbors import NearestNeighbors

from hub_tfx.embed.report.survey import unit_vectors
from hub_tfx.evaluate import neighbours
from hub_tfx.evaluate.agreement import agreement_scores
from hub_tfx.evaluate.neighbours import nearest
from hub_tfx.evaluate.retrieval import retrieval_scores


def some_vectors(rows, dimensions=6, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(rows, dimensions))
    return unit_vectors(vectors.astype(np.float32))


def to_each_other(vectors, k):
    return nearest(vectors, vectors, k, np.arange(len(vectors)))


@pytest.mark.parametrize("block", [1, 40, 1 << 24])
def test_neighbours_are_those_of_brute_force_however_large_blocks_are(monkeypatch, block):
    monkeypatch.setattr(neighbours, "_BLOCK_NUMBERS", block)
    vectors, queries = some_vectors(40), some_vectors(25, seed=1)
    slow = NearestNeighbors(n_neighbors=7, metric="cosine", algorithm="brute").fit(vectors)
    assert nearest(queries, vectors, 7).tolist() == slow.kneighbors(queries)[1].tolist()
    # Without queries, a row is not its own neighbour.
    assert to_each_other(vectors, 7).tolist() == slow.kneighbors()[1].tolist()


@given(st.integers(1, 12), st.integers(1, 15), st.integers(0, 3))
def test_of_equally_near_rows_the_first_ones_are_taken(rows, k, seed):
    # Corners of a cube: cosines are exact, and many are equal.
    corners = np.random.default_rng(seed).integers(0, 2, (rows, 4)) * 2.0 - 1
    vectors = (corners / 2).astype(np.float32)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    expected = np.argsort(-cosines, axis=1, kind="stable")[:, : min(k, rows - 1)]
    assert to_each_other(vectors, k).tolist() == expected.tolist()


def test_a_single_row_has_no_neighbour():
    assert to_each_other(some_vectors(1), 5).shape == (1, 0)


def slow_measures(vectors, groups, k):
    """Recall, reciprocal rank and nDCG of each row that has another one of its group."""
    cosines = vectors @ vectors.T
    for row, group in enumerate(groups):
        others = [n for n in range(len(groups)) if n != row]
        right = [groups[n] == group and group is not None for n in others]
        if not any(right):
            continue
        order = sorted(range(len(others)), key=lambda n: -cosines[row, others[n]])[:k]
        found = [right[n] for n in order]
        recall = sum(found) / min(k, sum(right))
        rank = next((1 / (at + 1) for at, is_right in enumerate(found) if is_right), 0.0)
        yield row, recall, rank, ndcg_score([right], [cosines[row, others]], k=k)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.none() | st.sampled_from("abcd"), min_size=3, max_size=12),
    st.integers(1, 14),
    st.integers(0, 1000),
)
def test_retrieval_is_that_of_the_slow_reference(groups, k, seed):
    vectors = some_vectors(len(groups), seed=seed)
    found = retrieval_scores(np.array(groups, object), to_each_other(vectors, k), None, k, 0)
    expected = [*slow_measures(vectors, groups, k)]
    assert found.rows.tolist() == [row for row, *_ in expected]
    for at, name in enumerate((f"recall@{k}", f"mrr@{k}", f"ndcg@{k}"), 1):
        values = [numbers[at] for numbers in expected]
        np.testing.assert_allclose(found.values[name].candidate, values, atol=1e-12)


def test_chance_is_what_groups_find_that_are_dealt_at_random():
    groups = np.array([f"g{row // 2}" for row in range(400)], object)
    near = to_each_other(some_vectors(400), 10)
    chances = {n: v.chance for n, v in retrieval_scores(groups, near, None, 10, 0).values.items()}
    assert chances["recall@10"] == pytest.approx(10 / 399, rel=0.2)
    harmonic = sum(1 / rank for rank in range(1, 11))
    assert chances["mrr@10"] == pytest.approx(harmonic / 399, rel=0.3)
    gains = sum(1 / math.log2(rank + 1) for rank in range(1, 11))
    assert chances["ndcg@10"] == pytest.approx(gains / 399, rel=0.3)


def test_a_turned_space_keeps_its_neighbours_and_not_its_cosines():
    vectors = some_vectors(50)
    turned = np.roll(vectors, 1, axis=1)
    near = (to_each_other(vectors, 10), to_each_other(turned, 10))
    values = agreement_scores((turned, vectors), near, 10).values
    assert values["overlap@10"].candidate.tolist() == [1.0] * 50
    assert values["old_new_cosine"].candidate.mean() < 0.5
    same = agreement_scores((vectors, vectors), near, 10).values
    np.testing.assert_allclose(same["old_new_cosine"].candidate, 1, atol=1e-6)


def test_the_overlap_is_the_share_of_neighbours_that_stay():
    new, old = np.array([[1, 2], [0, 2], [1, 0]]), np.array([[2, 1], [2, 1], [2, 2]])
    vectors = some_vectors(3), some_vectors(3, dimensions=2)
    values = agreement_scores(vectors, (new, old), 2).values
    assert values["overlap@2"].candidate.tolist() == [1.0, 0.5, 0.0]
    assert "old_new_cosine" not in values  # Their dimensions differ.
