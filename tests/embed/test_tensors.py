"""Columns to tensors and back."""

import io
import itertools

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.embed.examples import flatten, to_example_columns
from hub_tfx.embed.tensors import check_column, non_finite_rows, to_column, to_tensor
from hub_tfx.errors import ConfigError
from hub_tfx.module.spec import TensorInfo

TEXT = TensorInfo("string", (None,))
VECTOR = TensorInfo("float32", (None, 2))
IMAGE = TensorInfo("float32", (None, 4, 4, 3))
LISTS = st.lists(st.none() | st.lists(st.integers(-9, 9), max_size=4), max_size=8)


def check(values, info, type_=None, *, utf8=True):
    return check_column(pa.array(values, type_), info, "f", utf8=utf8)


@given(LISTS, st.integers(0, 3))
def test_flatten_says_where_each_row_begins_in_slices_too(rows, start):
    column = pa.array(rows, pa.list_(pa.int64())).slice(start)
    values, offsets = flatten(column)
    split = [values.to_pylist()[a:b] for a, b in itertools.pairwise(offsets)]
    assert split == [row or [] for row in rows[start:]]


@given(LISTS)
def test_what_goes_to_examples_comes_back_from_tfx_bsl(rows):
    from tfx_bsl.coders.example_coder import (
        ExamplesToRecordBatchDecoder,
        RecordBatchToExamplesEncoder,
    )

    rows = [[1], *rows]
    batch = pa.RecordBatch.from_arrays([pa.array(rows, pa.list_(pa.int64()))], ["n"])
    examples = RecordBatchToExamplesEncoder().encode(to_example_columns(batch))
    decoded = ExamplesToRecordBatchDecoder().DecodeBatch(examples).column(0).to_pylist()
    assert [row or [] for row in decoded] == [row or [] for row in rows]


@pytest.mark.parametrize(
    ("column", "as_lists"),
    [
        (pa.array(["a", None]), [[b"a"], []]),
        (pa.array([True, None]), [[1], []]),
        (pa.array([1.5, 2.5]), [[1.5], [2.5]]),
        (pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)), [[1.0, 2.0]]),
    ],
)
def test_every_column_becomes_lists_that_tf_example_holds(column, as_lists):
    batch = to_example_columns(pa.RecordBatch.from_arrays([column], ["c"]))
    assert batch.column(0).to_pylist() == as_lists


@pytest.mark.parametrize("column", [pa.array([{"a": 1}]), pa.array([[[1], [2, 3]]])])
def test_a_column_that_tf_example_cannot_hold_is_an_error_that_names_it(column):
    batch = pa.RecordBatch.from_arrays([column], ["nested"])
    with pytest.raises(ConfigError, match=r"'nested' holds (struct|list)"):
        to_example_columns(batch)


@pytest.mark.parametrize(
    ("values", "type_", "info", "rejected"),
    [
        (["a", None, ""], pa.string(), TEXT, {1: "is missing"}),
        ([[b"a"], [], None, [b"b", b"c"]], None, TEXT, {1: "missing", 2: "missing", 3: "2 values"}),
        ([b"a", b"\xff", b"\xc3\xa9"], pa.binary(), TEXT, {1: "not valid UTF-8"}),
        ([[1.0, 2.0], [1.0]], None, VECTOR, {1: "has 1 values; the input takes 2"}),
        ([[1.0, float("nan")], [1.0, 2.0]], None, VECTOR, {0: "NaN"}),
        ([[1.0, None], [1.0, 2.0]], None, VECTOR, {0: "holds a null"}),
        ([None, None], pa.null(), TEXT, {0: "missing", 1: "missing"}),
    ],
)
def test_rows_that_cannot_be_fed_are_found_with_a_reason(values, type_, info, rejected):
    reasons = check(values, info, type_)
    assert reasons.keys() == rejected.keys()
    for row, reason in rejected.items():
        assert reason in reasons[row]


def test_bytes_need_not_be_utf8_where_the_config_says_so():
    assert check([b"\xff"], TEXT, utf8=False) == {}


@pytest.mark.parametrize(
    ("values", "info"), [([1, 2], TEXT), (["a"], VECTOR), ([1.5], TensorInfo("int64", (None,)))]
)
def test_a_column_of_the_wrong_type_is_one_error_not_a_reason_a_row(values, info):
    with pytest.raises(ConfigError, match="feature 'f' holds"):
        check(values, info)


def test_numbers_take_the_shape_and_dtype_of_the_input():
    tensor = to_tensor(pa.array([list(range(48))] * 2, pa.list_(pa.int64())), IMAGE)
    assert (tensor.shape, tensor.dtype) == ((2, 4, 4, 3), np.float32)


def test_an_open_dimension_takes_what_the_rows_have():
    info = TensorInfo("int32", (None, None))
    assert to_tensor(pa.array([[1, 2, 3], [4, 5, 6]]), info).shape == (2, 3)


def test_ragged_and_sparse_inputs_keep_each_rows_length():
    column = pa.array([[1, 2], [], [3]])
    ragged = to_tensor(column, TensorInfo("int64", (None, None), "ragged"))
    sparse = to_tensor(column, TensorInfo("int64", (None, None), "sparse"))
    assert ragged.to_list() == [[1, 2], [], [3]]
    assert tf.sparse.to_dense(sparse).numpy().tolist() == [[1, 2], [0, 0], [3, 0]]


@pytest.mark.parametrize("encode", [tf.io.encode_png, tf.io.encode_jpeg])
def test_encoded_images_become_floats_from_0_to_1_of_the_inputs_size(encode):
    white = encode(np.full([6, 9, 3], 255, np.uint8)).numpy()
    column = pa.array([[white]], pa.large_list(pa.large_binary()))
    assert check_column(column, IMAGE, "image", utf8=True) == {}
    image = to_tensor(column, IMAGE)
    assert image.shape == (1, 4, 4, 3)
    np.testing.assert_allclose(image, 1.0, atol=1e-6)


def test_a_png_equals_its_own_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, [4, 4, 3], np.uint8)
    encoded = tf.io.encode_png(pixels).numpy()
    decoded = to_tensor(pa.array([encoded]), IMAGE)
    np.testing.assert_allclose(decoded[0], pixels / 255, atol=1e-6)


def test_outputs_become_fixed_size_float32_lists():
    column = to_column(tf.constant([[1, 2], [3, 4]], tf.float64), "e", 2)
    assert column.type == pa.list_(pa.float32(), 2)
    assert to_column(tf.constant([1.5, 2.5]), "e", 2).to_pylist() == [1.5, 2.5]
    assert to_column(tf.zeros([2, 1, 1, 3]), "e", 2).type.list_size == 3


def test_an_output_without_a_row_for_each_row_is_an_error():
    with pytest.raises(ConfigError, match=r"shape \[3, 2\] for 2 rows"):
        to_column(tf.zeros([3, 2]), "e", 2)


def test_rows_with_nan_in_their_embedding_are_found():
    column = to_column(tf.constant([[1.0, 2.0], [float("inf"), 0.0]]), "e", 2)
    assert list(non_finite_rows({"e": column})) == [1]


def test_parquet_keeps_fixed_size_lists():
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    table = pa.table({"e": to_column(tf.constant([[1.0, 2.0]]), "e", 1)})
    pq.write_table(table, buffer)
    assert pq.read_table(buffer).schema.field("e").type == pa.list_(pa.float32(), 2)
