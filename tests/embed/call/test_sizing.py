"""Which rows go into which call, and how many are found to be fastest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.embed.call.sizing import CallSizes, make_calls
from hub_tfx.embed.config import EmbedConfig


@given(
    st.lists(st.integers(0, 1000), max_size=60),
    st.integers(1, 20),
    st.integers(1, 5000),
    st.booleans(),
)
def test_each_row_is_in_one_call_that_is_not_too_large(sizes, most, max_bytes, is_fixed):
    row_bytes = np.array(sizes, np.int64)
    calls = list(make_calls(row_bytes, CallSizes(most, is_fixed=is_fixed), max_bytes))
    assert sorted(row for call in calls for row in call.tolist()) == list(range(len(sizes)))
    for call in calls:
        assert 1 <= len(call) <= most
        assert len(call) == 1 or len(call) * row_bytes[call].max() <= max_bytes


def calls_of(row_bytes, most, max_bytes=99):
    sizes = CallSizes(most, is_fixed=True)
    return [call.tolist() for call in make_calls(np.array(row_bytes), sizes, max_bytes)]


def test_rows_of_like_size_go_together_the_largest_first():
    assert calls_of([9, 1, 8, 2], 2) == [[2, 0], [1, 3]]


def test_rows_that_fit_into_one_call_keep_their_order():
    assert calls_of([9, 1, 8, 2], 4) == [[0, 1, 2, 3]]


def settled(seconds_of, row_bytes=100, sizes=None, most=2048):
    """Rows of a call once they no longer change, where a call takes seconds_of(rows)."""
    sizes = sizes or CallSizes(most)
    for _ in range(100):
        rows = sizes.rows(row_bytes)
        sizes.took(row_bytes, rows, seconds_of(rows))
    return sizes.rows(row_bytes)


@pytest.mark.parametrize(
    ("seconds_of", "least", "most"),
    [
        (lambda rows: 1e-3 + 5e-6 * rows, 2048, 2048),  # A light module: a call costs most.
        (lambda rows: 0.02 * rows, 4, 4),  # Each row costs the same: no memory for nothing.
        (lambda rows: 0.05 + 0.003 * rows, 64, 512),  # Something between.
        (lambda rows: (0.004 if rows <= 32 else 0.009) * (rows + 8), 16, 32),  # Out of a cache.
        (lambda rows: 5.0 * rows, 4, 4),  # Very slow: something is seen after a few rows.
    ],
    ids=["light", "linear", "between", "out of a cache", "slow"],
)
def test_calls_find_the_size_that_is_worth_it(seconds_of, least, most):
    rows = settled(seconds_of)
    assert least <= rows <= most
    best = min(seconds_of(2**n) / 2**n for n in range(2, 12))
    assert seconds_of(rows) / rows < 1.2 * best


def test_one_slow_call_of_a_size_decides_nothing():
    slow_once = iter([10.0])
    assert settled(lambda rows: (next(slow_once, 1.0) if rows == 64 else 1.0) * 0.06) == 2048


def test_rows_of_other_sizes_have_calls_of_their_own_which_begin_near_what_is_known():
    sizes = CallSizes()
    assert settled(lambda rows: 0.1 + 0.001 * rows, 100, sizes) >= 256
    known = sizes.rows(100)
    assert (sizes.rows(50), sizes.rows(200), sizes.rows(1 << 20)) == (known, known // 4, 4)
    assert settled(lambda rows: 0.02 * rows, 50_000, sizes) == 4
    assert sizes.rows(100) == known


def test_what_runs_out_of_memory_is_not_tried_again():
    sizes = CallSizes()
    assert sizes.rows(10) == 4
    settled(lambda rows: 1e-3, 10, sizes)
    sizes.lower(100)
    assert sizes.rows(10) == 100
    assert settled(lambda rows: 1e-3, 10, sizes) == 100
    assert settled(lambda rows: 1e-3, 10_000, sizes) <= 100


def test_a_size_that_was_asked_for_is_kept():
    sizes = CallSizes.of(EmbedConfig(batch_size=7))
    assert settled(lambda rows: 1e-3, sizes=sizes) == 7
    assert not CallSizes.of(EmbedConfig()).is_fixed
