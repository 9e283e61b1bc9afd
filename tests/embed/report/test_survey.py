"""Numbers about vectors, on vectors where they are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.embed.report import survey as survey_module
from hub_tfx.embed.report.survey import choose_sample, measure_vectors


def looked_at(vectors, batch=3):
    vectors = np.asarray(vectors, np.float32)
    batches = (vectors[n : n + batch] for n in range(0, len(vectors), batch))
    return measure_vectors(batches, len(vectors))


def test_counts_what_looks_wrong():
    found = looked_at([[3, 4, 7], [0, 0, 7], [3, 4, 7], [1, 0, 7]])
    assert (found.rows, found.dimensions) == (4, 3)
    assert found.dead_dimensions == 1
    assert found.duplicate_rows == 1
    assert found.zero_rows == 0
    assert looked_at([[3, 4], [0, 0]]).zero_rows == 1
    assert found.norm_percentiles[50] == pytest.approx(np.median(found.norms))


def test_the_projection_finds_the_direction_of_largest_variance():
    rng = np.random.default_rng(1)
    along = rng.normal(size=(500, 1)) * 10
    found = looked_at(along @ [[0.6, 0.8, 0]] + rng.normal(size=(500, 3)) * 0.1)
    assert found.explained_variance[0] > 0.99
    assert abs(np.corrcoef(found.projection[:, 0], along[:, 0])[0, 1]) > 0.99


def test_neighbours_are_the_nearest_by_cosine():
    vectors = np.random.default_rng(2).normal(size=(30, 4))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for row, nearest in looked_at(vectors).neighbours:
        cosines = unit @ unit[row]
        expected = [int(n) for n in np.argsort(-cosines) if n != row][:5]
        assert [other for other, _ in nearest] == expected
        assert [c for _, c in nearest] == pytest.approx(cosines[expected], abs=1e-5)


@given(st.integers(1, 200), st.integers(1, 50))
def test_however_rows_are_batched_the_numbers_are_the_same(rows, batch):
    vectors = np.random.default_rng(rows).normal(size=(rows, 3))
    one, other = looked_at(vectors, rows), looked_at(vectors, batch)
    assert one.norm_percentiles == other.norm_percentiles
    assert one.neighbours == other.neighbours
    np.testing.assert_array_equal(one.projection, other.projection)


def test_a_large_output_is_sampled(monkeypatch):
    monkeypatch.setattr(survey_module, "SAMPLE_ROWS", 20)
    vectors = np.arange(300, dtype=np.float32).reshape(100, 3)
    found = looked_at(vectors)
    assert len(found.sample) == len(set(found.sample.tolist())) == 20
    assert found.sample.tolist() == choose_sample(100).tolist() == sorted(found.sample)
    assert len(found.norms) == 100
    assert len(found.projection) == 20


def test_one_row_is_enough():
    found = looked_at([[1.0]])
    assert len(found.cosines) == 0
    assert found.neighbours == ((0, ()),)
    assert (found.duplicate_rows, found.dead_dimensions) == (0, 0)
