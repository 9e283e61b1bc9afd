"""Numbers about vectors, on vectors where they are known."""

import base64
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tfx.embed.report import plots
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


def test_the_report_on_feature_maps_takes_little_memory(monkeypatch):
    """7 x 7 x 320 numbers a row: the matrix of their covariances alone would be 0.9 GiB."""
    monkeypatch.setattr(survey_module, "_SAMPLE_NUMBERS", 1 << 23)
    dims, rows = 7 * 7 * 320, 1200
    rng = np.random.default_rng(0)
    batches = (rng.standard_normal((50, dims), np.float32) for _ in range(rows // 50))
    tracemalloc.start()
    try:
        found = measure_vectors(batches, rows)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.3e9
    assert (found.dimensions, len(found.norms)) == (dims, rows)
    assert 100 < len(found.sample) == len(found.projection) < rows
    assert set(found.sample.tolist()) <= set(choose_sample(rows).tolist())


@pytest.mark.parametrize(("rows", "dims"), [(300, 20), (20, 300), (5, 2), (2, 5), (1, 1), (40, 1)])
def test_the_projection_is_that_of_a_singular_value_decomposition(rows, dims):
    vectors = np.random.default_rng(3).normal(size=(rows, dims)) * 0.7 ** np.arange(dims)
    found = looked_at(vectors)
    centred = vectors - vectors.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    shares = values[:2] ** 2 / max((values**2).sum(), 1e-30)
    assert found.explained_variance == pytest.approx(shares, abs=1e-3)
    for n in range(min(2, len(values))):
        along = np.abs(left[:, n] * values[n])
        atol = 0.02 * along.max() + 1e-6
        np.testing.assert_allclose(np.abs(found.projection[:, n]), along, atol=atol)


def test_vectors_near_the_largest_float_are_measured():
    found = looked_at([[3e38, 0], [0, 3e38], [-3e38, 1]])
    assert found.norms.tolist() == pytest.approx([3e38, 3e38, 3e38])
    assert np.isfinite(found.projection).all()
    assert np.isfinite(found.cosines).all()


@pytest.mark.parametrize(
    "values",
    [
        np.ones(500, np.float32),
        np.ones(500, np.float32) + np.linspace(-1e-7, 1e-7, 500, dtype=np.float32),
        np.zeros(3),
        np.full(4, 3e38),
        np.array([-5.0]),
    ],
)
def test_a_histogram_of_equal_numbers_has_a_bar_that_can_be_seen(values):
    drawn, rows = plots.histogram(values, "norm")
    assert [count for _, count in rows] == [f"{len(values)}"]
    svg = base64.b64decode(drawn.partition(",")[2]).decode()
    bars = re.findall(r'<path d="M ([\d.]+) [\d.]+ \nL ([\d.]+) [\d.]+ \nL', svg)
    assert any(float(right) - float(left) > 3 for left, right in bars)


@settings(deadline=None, max_examples=10)
@given(st.lists(st.floats(-(2.0**90), 2.0**90, width=32), min_size=1, max_size=30))
def test_a_histogram_counts_all_numbers(values):
    _, rows = plots.histogram(np.array(values, np.float32), "norm")
    assert sum(int(count) for _, count in rows) == len(values)
