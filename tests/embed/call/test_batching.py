"""Which rows go into which call, and that they come back in order."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.embed.call.batching import CallLimits, embed_rows, make_batches
from hub_tfx.embed.call.bound import BoundModule
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
    calls = make_batches(row_bytes, max_rows, max_bytes)
    assert sorted(row for call in calls for row in call.tolist()) == list(range(len(sizes)))
    for call in calls:
        assert 1 <= len(call) <= max_rows
        assert len(call) == 1 or len(call) * row_bytes[call].max() <= max_bytes


def test_rows_of_like_size_go_together():
    assert [c.tolist() for c in make_batches(np.array([9, 1, 8, 2]), 2, 99)] == [[1, 3], [2, 0]]


def test_rows_that_fit_into_one_call_keep_their_order():
    assert [c.tolist() for c in make_batches(np.array([9, 1, 8, 2]), 4, 99)] == [[0, 1, 2, 3]]


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return load(text_module(tmp_path_factory.mktemp("m") / "text"))


def test_rows_keep_their_order_whatever_call_they_were_in(module):
    texts = [("cat " * n).strip() for n in (5, 1, 4, 2, 3, 9, 7)] + [None]
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts)})
    bound = BoundModule(module, EmbedConfig(), batch.schema)
    one, many = (
        embed_rows(bound, bound.checked(batch), CallLimits(rows, 1 << 20, 60)) for rows in (100, 2)
    )
    assert (one.calls, many.calls) == ((7,), (2, 2, 2, 1))
    assert many.rows.tolist() == one.rows.tolist() == list(range(7))
    assert list(many.rejected) == [7]
    np.testing.assert_allclose(
        many.columns["embedding"].flatten().to_numpy(),
        one.columns["embedding"].flatten().to_numpy(),
    )


class Greedy(tf.Module):
    """Runs out of memory on more than 8 rows, and always on the row `much`."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, inputs):
        asked = tf.logical_or(tf.size(inputs) > 8, tf.reduce_any(inputs == b"much"))
        scratch = tf.random.uniform([tf.where(asked, tf.constant(1 << 50, tf.int64), 1)])
        return tf.cast(tf.strings.length(inputs), tf.float32)[:, None] + 0 * scratch[0]


class Slow(tf.Module):
    """Never ends on more than 8 rows, nor on the row `forever`."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, inputs):
        endless = tf.logical_or(tf.size(inputs) > 8, tf.reduce_any(inputs == b"forever"))
        (turns,) = tf.while_loop(lambda n: tf.logical_or(n < 1, endless), lambda n: [n + 1], [0])
        return tf.cast(tf.strings.length(inputs), tf.float32)[:, None] + 0.0 * float(turns)


def bound_to(module, path):
    tf.saved_model.save(module, str(path))
    return BoundModule(load(path), EmbedConfig(), pa.schema([("inputs", pa.string())]))


@pytest.fixture(scope="module", params=[Greedy, Slow])
def costly(request, tmp_path_factory):
    return bound_to(request.param(), tmp_path_factory.mktemp(request.param.__name__) / "module")


def batch_of(*texts):
    return pa.RecordBatch.from_pydict({"inputs": pa.array(texts)})


def test_a_call_that_is_too_much_is_halved_and_later_calls_start_at_what_was_not(costly):
    limits = CallLimits(20, 1 << 20, 0.5)
    done = embed_rows(costly, costly.checked(batch_of(*["a"] * 20)), limits)
    assert (len(done.rows), done.calls, done.rejected) == (20, (20,), {})
    assert limits.rows == 5
    again = embed_rows(costly, costly.checked(batch_of(*["a"] * 20)), limits)
    assert (len(again.rows), again.calls) == (20, (5, 5, 5, 5))


def test_a_row_that_is_too_much_by_itself_is_rejected_and_calls_stay_as_large(costly):
    limits = CallLimits(8, 1 << 20, 0.5)
    done = embed_rows(costly, costly.checked(batch_of("a", "much", "forever", "b")), limits)
    assert limits.rows == 8
    ((row, reason),) = done.rejected.items()
    assert {1: "OOM", 2: "it took longer than 0.5 s"}[row] in reason
    assert sorted([*done.rows, row]) == [0, 1, 2, 3]
