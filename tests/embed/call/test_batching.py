"""Rows come back in order, and calls that are too much are made smaller."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from hub_tfx.embed.call import batching
from hub_tfx.embed.call.batching import CallLimits, embed_rows
from hub_tfx.embed.call.bound import BoundModule
from hub_tfx.embed.call.sizing import CallSizes
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.progress import Progress
from hub_tfx.module.load import load
from hub_tfx.testing import text_module


def limits(rows, timeout_s=60.0):
    return CallLimits(CallSizes(rows, is_fixed=True), 1 << 20, timeout_s)


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return load(text_module(tmp_path_factory.mktemp("m") / "text"))


def test_rows_keep_their_order_whatever_call_they_were_in(module):
    texts = [("cat " * n).strip() for n in (5, 1, 4, 2, 3, 9, 7)] + [None]
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts)})
    bound = BoundModule(module, EmbedConfig(), batch.schema)
    one, many = (embed_rows(bound, bound.checked(batch), limits(rows)) for rows in (100, 2))
    assert (one.calls, many.calls) == ((7,), (2, 2, 2, 1))
    assert many.rows.tolist() == one.rows.tolist() == list(range(7))
    assert list(many.rejected) == [7]
    np.testing.assert_allclose(
        many.columns["embedding"].flatten().to_numpy(),
        one.columns["embedding"].flatten().to_numpy(),
    )


def allocate(is_too_much):
    """As an op does that finds no memory; oneDNN's allocator tries for 10 s each time."""
    if is_too_much:
        raise MemoryError("OOM")
    return np.float32(0)


class Greedy(tf.Module):
    """Runs out of memory on more than 8 rows, and always on the row `much`."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, inputs):
        asked = tf.logical_or(tf.size(inputs) > 8, tf.reduce_any(inputs == b"much"))
        return tf.cast(tf.strings.length(inputs), tf.float32)[:, None] + self.scratch(asked)

    def scratch(self, asked):
        return tf.numpy_function(allocate, [asked], tf.float32)


class GreedyForReal(Greedy):
    """Asks for 4 PiB."""

    def scratch(self, asked):
        return 0 * tf.random.uniform([tf.where(asked, tf.constant(1 << 50, tf.int64), 1)])[0]


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


@pytest.fixture(
    scope="module", params=[Greedy, pytest.param(GreedyForReal, marks=pytest.mark.slow), Slow]
)
def costly(request, tmp_path_factory):
    module = request.param()
    yield bound_to(module, tmp_path_factory.mktemp(request.param.__name__) / "module")
    del module  # Only now: a function of Python's lives as long as what was traced with it.


def batch_of(*texts):
    return pa.RecordBatch.from_pydict({"inputs": pa.array(texts)})


def test_a_call_that_is_too_much_is_halved_and_later_calls_start_at_what_was_not(costly):
    of_calls = limits(20, 0.5)
    done = embed_rows(costly, costly.checked(batch_of(*["a"] * 20)), of_calls)
    assert (len(done.rows), done.calls, done.rejected) == (20, (20,), {})
    assert of_calls.sizes.most == 5
    again = embed_rows(costly, costly.checked(batch_of(*["a"] * 20)), of_calls)
    assert (len(again.rows), again.calls) == (20, (5, 5, 5, 5))


def test_a_row_that_is_too_much_by_itself_is_rejected_and_calls_stay_as_large(costly):
    of_calls = limits(8, 0.5)
    done = embed_rows(costly, costly.checked(batch_of("a", "much", "forever", "b")), of_calls)
    assert of_calls.sizes.most == 8
    ((row, reason),) = done.rejected.items()
    assert {1: "OOM", 2: "it took longer than 0.5 s"}[row] in reason
    assert sorted([*done.rows, row]) == [0, 1, 2, 3]


def test_vectors_do_not_depend_on_the_sizes_that_calls_have_found(module):
    texts = [("cat dog " * (n % 7 + 1)).strip() for n in range(300)]
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts)})
    bound = BoundModule(module, EmbedConfig(), batch.schema)
    found = CallLimits.of(EmbedConfig())
    fixed, *others = (embed_rows(bound, bound.checked(batch), of) for of in (limits(300), found))
    assert found.sizes.rows(8) > 4
    for other in others:
        assert len(other.calls) > 1
        np.testing.assert_allclose(
            other.columns["embedding"].flatten().to_numpy(),
            fixed.columns["embedding"].flatten().to_numpy(),
            atol=1e-6,
        )


def test_progress_counts_each_call_when_it_is_over(module, monkeypatch):
    seen = []
    progress = Progress()
    monkeypatch.setattr(batching, "IN_THIS_PROCESS", progress)
    batch = pa.RecordBatch.from_pydict({"text": pa.array(["cat"] * 6 + [None])})
    bound = BoundModule(module, EmbedConfig(), batch.schema)
    call = bound.call
    bound.call = lambda inputs: seen.append(progress.rows) or call(inputs)
    embed_rows(bound, bound.checked(batch), limits(2))
    assert seen == [0, 2, 4]
    assert (progress.rows, progress.dead_letters, progress.done) == (6, 1, 7)
