"""Columns to tensors: which rows can be fed, and as what."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tfx.data.arrow import flatten
from hub_tfx.data.tf_example import to_example_columns
from hub_tfx.embed.call.inputs import Input
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.plan import EmbedPlan
from hub_tfx.errors import ConfigError
from hub_tfx.module.spec import TensorInfo

TEXT = TensorInfo("string", (None,))
VECTOR = TensorInfo("float32", (None, 2))
IMAGE = TensorInfo("float32", (None, 4, 4, 3))
IDS = TensorInfo("int32", (None, None))
RAGGED = TensorInfo("int64", (None, None), "ragged")
SPARSE = TensorInfo("int64", (None, None), "sparse")
EXAMPLE_BYTES = pa.large_list(pa.large_binary())
LISTS = st.lists(st.none() | st.lists(st.integers(-9, 9), max_size=4), max_size=8)


def fed_by(column_type, info, image_size=None, **config):
    plan = EmbedPlan("s", {"x": "f"}, {"x": info}, (), (), image_size)
    return Input("x", plan, EmbedConfig(**config), column_type)


def check(values, info, type_=None, **config):
    column = pa.array(values, type_)
    return fed_by(column.type, info, **config).check(column)


def tensor(values, info, type_=None):
    column = pa.array(values, type_)
    made = fed_by(column.type, info)
    assert made.check(column) == {}
    return made.to_tensor(column)


@given(LISTS, st.integers(0, 3))
def test_flatten_says_where_each_row_begins_in_slices_too(rows, start):
    column = pa.array(rows, pa.list_(pa.int64())).slice(start)
    values, offsets = flatten(column)
    split = [values.to_pylist()[a:b] for a, b in itertools.pairwise(offsets)]
    assert split == [row or [] for row in rows[start:]]


@settings(deadline=None)
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
        (pa.array([b"ab"], pa.binary(2)), [[b"ab"]]),
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
    ("column", "what"),
    [
        (pa.array([[1, None]]), "a null inside a list"),
        (pa.array([[1.0], None, [None]]), "a null inside a list"),
        (pa.array([1.0, 1e300]), "a number beyond float32"),
        (pa.array([2**63], pa.uint64()), "a value beyond int64"),
    ],
)
def test_a_value_that_tf_example_cannot_hold_does_not_become_another_one(column, what):
    batch = pa.RecordBatch.from_arrays([column], ["x"])
    with pytest.raises(ConfigError, match=f"feature 'x' holds {what}"):
        to_example_columns(batch)


def test_numbers_that_are_none_stay_so_in_tf_example():
    column = pa.array([float("inf"), float("nan"), 0.1])
    batch = to_example_columns(pa.RecordBatch.from_arrays([column], ["x"]))
    np.testing.assert_array_equal(
        batch.column(0).flatten().to_numpy(), np.array([np.inf, np.nan, 0.1], np.float32)
    )


@pytest.mark.parametrize(
    ("values", "type_", "info", "rejected"),
    [
        (["a", None, ""], pa.string(), TEXT, {1: "is missing"}),
        ([[b"a"], [], None, [b"b", b"c"]], None, TEXT, {1: "missing", 2: "missing", 3: "2 values"}),
        ([[b"a"], [b"\xff"], [b"\xc3\xa9"]], EXAMPLE_BYTES, TEXT, {1: "not valid UTF-8"}),
        ([b"a", b"\xff", b"\xc3\xa9"], pa.binary(), TEXT, {}),
        ([[1.0, 2.0], [1.0]], None, VECTOR, {1: "has 1 values; the input takes 2"}),
        ([[1.0, float("nan")], [1.0, 2.0]], None, VECTOR, {0: "NaN"}),
        ([[1.0, None], [1.0, 2.0]], None, VECTOR, {0: "holds a null"}),
        ([None, None], pa.null(), TEXT, {0: "missing", 1: "missing"}),
        ([[1], [1 << 31], [-1]], None, IDS, {1: "int32 cannot hold"}),
        ([[1], [], None], None, IDS, {1: "is missing", 2: "is missing"}),
        ([[1, 2], [], None, [3]], None, RAGGED, {2: "is missing"}),
        ([[1, 2], [3]], None, TensorInfo("int64", (None, 1), "sparse"), {0: "takes at most 1"}),
        ([0, 1, 2], None, TensorInfo("bool", (None,)), {2: "bool cannot hold"}),
        (
            [[[1, 2], [3]], [[1, 2], [3, 4]], [[1, 2]]],
            None,
            TensorInfo("int64", (None, 2, 2)),
            {0: "3 values", 2: "2 values"},
        ),
        (
            [[[1, 2, 3], [4]], [[1, 2], [3, 4]]],
            None,
            TensorInfo("int64", (None, 2, 2)),
            {0: r"lists that differ in length from int64[?, 2, 2]"},
        ),
        (
            [[[1, 2], [3]], [[1], [2]]],
            None,
            TensorInfo("int64", (None, None, None)),
            {0: "lists that differ in length"},
        ),
        (
            [[[1, 2, 3]], [[1, 2, 3], [4, 5]]],
            None,
            TensorInfo("int64", (None, None, 3), "ragged"),
            {1: "takes a multiple of 3"},
        ),
    ],
)
def test_rows_that_cannot_be_fed_are_found_with_a_reason(values, type_, info, rejected):
    reasons = check(values, info, type_)
    assert reasons.keys() == rejected.keys()
    for row, reason in rejected.items():
        assert reason in reasons[row]


def test_bytes_need_not_be_utf8_where_the_config_says_so():
    assert check([[b"\xff"]], TEXT, EXAMPLE_BYTES, text_encoding="bytes") == {}


@pytest.mark.parametrize(
    ("values", "info", "complaint"),
    [
        ([1, 2], TEXT, "holds int64, which the input 'x' string.* cannot take"),
        (["a"], VECTOR, "holds string"),
        ([1.5], TensorInfo("int64", (None,)), "holds double"),
        ([[[1.0, 2.0]]], VECTOR, "lists 2 deep; .* takes them 1 deep"),
        ([1.0], VECTOR, "lists 0 deep; .* takes them 1 deep"),
        ([[["a"]]], TEXT, "lists 2 deep; .* takes them 0 or 1 deep"),
        ([[[1]]], SPARSE, "lists 2 deep; .* takes them 0 or 1 deep"),
        ([[1]], TensorInfo("int64", (None, None, None), "ragged", 2), "1 deep; .* takes them 2"),
        ([[1]], TensorInfo("int64", (None, None, None)), "1 deep; .* takes them 2 deep"),
        ([[[1.0]]], TensorInfo("float32", None), "lists 2 deep"),
        ([[b"png", b"png"]], TensorInfo("float32", (None, 4, 4, 16)), "holds list<item: binary>"),
    ],
)
def test_a_column_of_the_wrong_type_is_one_error_not_a_reason_a_row(values, info, complaint):
    with pytest.raises(ConfigError, match=complaint):
        check(values, info)


def test_paths_of_images_are_no_numbers():
    with pytest.raises(ConfigError, match=r"holds double, not paths of images.*x=FEATURE"):
        check([1.0], IMAGE, image_source="path")


def test_numbers_take_the_shape_and_dtype_of_the_input():
    made = tensor([list(range(48))] * 2, IMAGE, pa.list_(pa.int64()))
    assert (made.shape, made.dtype) == ((2, 4, 4, 3), np.float32)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8", "uint64", "bool"])
def test_every_dtype_is_fed(dtype):
    made = tensor([[1, 0], [0, 1]], TensorInfo(dtype, (None, 2)))
    assert tf.constant(made).dtype.name == dtype


@pytest.mark.parametrize(
    ("rows", "shape"), [([[1, 2, 3], [4, 5, 6]], (2, 3)), ([[7]], (1, 1)), ([7, 8], (2, 1))]
)
def test_an_open_dimension_takes_what_the_rows_have(rows, shape):
    assert tensor(rows, IDS).shape == shape


def test_nested_lists_say_what_the_graph_leaves_open():
    rows = [[[1, 2, 3], [4, 5, 6]]] * 2
    assert tensor(rows, TensorInfo("int32", (None, None, None))).numpy().tolist() == rows
    assert tensor(rows, TensorInfo("int32", (None, 2, 3))).numpy().tolist() == rows
    assert tensor(rows, TensorInfo("int32", (None, None, 3))).numpy().tolist() == rows


def test_flat_lists_fill_the_one_dimension_that_is_open():
    assert tensor([[1, 2, 3, 4]], TensorInfo("int32", (None, None, 2))).shape == (1, 2, 2)


def test_rows_say_by_which_shape_they_must_be_called():
    column = pa.array([[1, 2], [1], [3, 4]])
    assert fed_by(column.type, IDS).row_shapes(column).tolist() == [[2], [1], [2]]
    nested = pa.array([[[1, 2]], [[1], [2]]])
    open_shape = TensorInfo("int32", (None, None, None))
    assert fed_by(nested.type, open_shape).row_shapes(nested).tolist() == [[1, 2], [2, 1]]
    for info in (TEXT, RAGGED, SPARSE):
        type_ = pa.string() if info is TEXT else column.type
        assert fed_by(type_, info).row_shapes(column) is None


def test_text_of_unknown_rank_is_one_value_a_row():
    made = tensor([[b"a"], [b"b"]], TensorInfo("string", None))
    assert made.numpy().tolist() == [b"a", b"b"]
    assert tensor([[1, 2]], TensorInfo("int64", None)).shape == (1, 2)
    assert tensor([1, 2], TensorInfo("int64", None)).shape == (2,)


def test_ragged_and_sparse_inputs_keep_each_rows_length():
    rows = [[1, 2], [], [3]]
    assert tensor(rows, RAGGED).to_list() == rows
    dense = tf.sparse.to_dense(tensor(rows, SPARSE))
    assert dense.numpy().tolist() == [[1, 2], [0, 0], [3, 0]]
    wide = tensor(rows, TensorInfo("int64", (None, 5), "sparse"))
    assert wide.dense_shape.numpy().tolist() == [3, 5]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=3), min_size=1, max_size=5),
    st.integers(0, 2),
)
def test_ragged_tensors_of_nested_lists_are_those_lists(rows, start):
    type_ = pa.list_(pa.list_(pa.int64()))
    column = pa.array(rows, type_).slice(start)
    made = fed_by(type_, TensorInfo("int64", (None, None, None), "ragged", 2)).to_tensor(column)
    assert made.to_list() == rows[start:]


@pytest.mark.parametrize(
    "rows", [[[[1, 2], [3, 4]], []], [[1, 2, 3, 4], []]], ids=["nested", "flat"]
)
def test_dimensions_of_a_ragged_input_that_are_known(rows):
    made = tensor(rows, TensorInfo("int64", (None, None, 2), "ragged"))
    assert made.to_list() == [[[1, 2], [3, 4]], []]
    assert made.ragged_rank == 1


@pytest.mark.parametrize(
    ("values", "info", "sizes"),
    [
        (["a", "bcd"], TEXT, [1, 3]),
        ([["ab", "c"], ["d"]], TensorInfo("string", (None, None), "ragged"), [3, 1]),
        ([[1, 2], [3]], IDS, [8, 4]),
        ([[[1, 2], [3, 4]]], TensorInfo("float64", (None, 2, 2)), [32]),
    ],
)
def test_row_bytes_are_those_of_the_input(values, info, sizes):
    column = pa.array(values)
    assert fed_by(column.type, info).row_bytes(column).tolist() == sizes
