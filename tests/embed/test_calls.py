"""Which rows go into which call, and that they come back in order."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.embed.bound import BoundModule
from hub_tfx.embed.calls import cut_into_calls, embed_rows
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.module.load import load
from hub_tfx.testing import text_module


@given(
    st.lists(st.integers(0, 1000), max_size=60),
    st.integers(1, 20),
    st.integers(1, 5000),
)
def test_each_row_is_in_one_call_that_is_not_too_large(sizes, max_rows, max_bytes):
    row_bytes = np.array(sizes, np.int64)
    calls = cut_into_calls(row_bytes, max_rows, max_bytes)
    assert sorted(row for call in calls for row in call.tolist()) == list(range(len(sizes)))
    for call in calls:
        assert 1 <= len(call) <= max_rows
        assert len(call) == 1 or len(call) * row_bytes[call].max() <= max_bytes


def test_rows_of_like_size_go_together():
    assert [c.tolist() for c in cut_into_calls(np.array([9, 1, 8, 2]), 2)] == [[1, 3], [2, 0]]


def test_rows_that_fit_into_one_call_keep_their_order():
    assert [c.tolist() for c in cut_into_calls(np.array([9, 1, 8, 2]), 4)] == [[0, 1, 2, 3]]


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return load(text_module(tmp_path_factory.mktemp("m") / "text"))


def test_rows_keep_their_order_whatever_call_they_were_in(module):
    texts = [("cat " * n).strip() for n in (5, 1, 4, 2, 3, 9, 7)] + [None]
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts)})
    bound = BoundModule(module, EmbedConfig(), batch.schema)
    one, many = embed_rows(bound, batch, 100), embed_rows(bound, batch, 2)
    assert (one.calls, many.calls) == ((7,), (2, 2, 2, 1))
    assert many.rows.tolist() == one.rows.tolist() == list(range(7))
    assert list(many.rejected) == [7]
    np.testing.assert_allclose(
        many.columns["embedding"].flatten().to_numpy(),
        one.columns["embedding"].flatten().to_numpy(),
    )
