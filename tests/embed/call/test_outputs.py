"""Outputs to columns, and columns to vectors again."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from hub_tfx.data.tf_example import of_example_columns, to_example_columns
from hub_tfx.embed.call.outputs import to_array, to_columns
from hub_tfx.embed.columns import OutputColumn, embedding_dim
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.manifest import WrittenColumn
from hub_tfx.embed.output.read_back import vectors_of
from hub_tfx.embed.output.writers import PART_FILES
from hub_tfx.errors import ConfigError
from hub_tfx.module.spec import TensorInfo

OPEN = TensorInfo("float32", (None, None, 2))


def column_of(info, **config):
    return OutputColumn.of("key", "e", info, EmbedConfig(**config))


def info_of(output):
    kind = "ragged" if isinstance(output, tf.RaggedTensor) else "dense"
    return TensorInfo(output.dtype.name, tuple(output.shape), kind)


def written(output, info=None, rows=None, **config):
    """The table of one output, and the rows that cannot be written."""
    column = column_of(info or info_of(output), **config)
    called = output.shape[0]
    made = to_columns(column, to_array(output), rows or called, called)
    schema = pa.schema(column.fields)
    table = pa.Table.from_arrays([made.columns[name] for name in schema.names], schema=schema)
    table.validate(full=True)
    return column, table, made.rejected


def in_parquet(table):
    file = io.BytesIO()
    pq.write_table(table, file)
    return pq.read_table(file)


def in_examples(table):
    [batch] = table.combine_chunks().to_batches()
    return pa.Table.from_batches([to_example_columns(batch)])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_floats_become_fixed_size_float32_lists(dtype):
    _, table, _ = written(tf.constant([[1, 2], [3, 4]], dtype))
    assert table.schema.field("e").type == pa.list_(pa.float32(), 2)
    assert table["e"].to_pylist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("values", "dtype", "type_"),
    [
        ([1.5, 2.5], "float64", pa.float32()),
        ([1, 2], "int32", pa.int32()),
        ([True, False], "bool", pa.bool_()),
        ([b"a", b"\xff"], "string", pa.binary()),
        ([[1, 2], [3, 4]], "uint8", pa.list_(pa.uint8(), 2)),
        ([[True, False], [False, True]], "bool", pa.list_(pa.bool_(), 2)),
        ([[b"a"], [b""]], "string", pa.list_(pa.binary(), 1)),
    ],
)
def test_other_values_are_written_as_they_are(values, dtype, type_):
    column, table, _ = written(tf.constant(values, dtype))
    assert table.schema.field("e").type == type_
    for stored in (table, in_parquet(table), in_examples(table)):
        found = vectors_of(stored, "e", column.written())
        assert np.asarray(found).tolist() == values


@pytest.mark.parametrize(
    ("shape", "of_row"),
    [
        ((None, 3), (3,)),
        ((None, 1), (1,)),
        ((None, 1, 1, 3), (3,)),
        ((None, 1, 1, 1), (1,)),
        ((None, 2, 1, 3), (2, 3)),
        ((None, None, 3), (-1, 3)),
        ((None, None, 1), (-1,)),
        ((None, None, None, 1), (-1, -1, 1)),
        (None, (-1,)),
    ],
)
def test_the_shape_of_a_row_leaves_axes_of_size_1_out(shape, of_row):
    assert column_of(TensorInfo("float32", shape)).shape == of_row


@pytest.mark.parametrize(
    ("output", "shape"),
    [
        (tf.reshape(tf.range(12.0), [2, 2, 3]), (None, 2, 3)),
        (tf.reshape(tf.range(12.0), [2, 2, 3]), (None, None, 3)),
        (tf.reshape(tf.range(12.0), [2, 2, 3]), (None, None, None)),
        (tf.reshape(tf.range(4.0), [2, 1, 1, 2]), (None, 1, 1, 2)),
        (tf.reshape(tf.range(4.0), [2, 2]), None),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_what_was_written_comes_back_with_its_shape(output, shape, dtype):
    column, table, rejected = written(output, TensorInfo("float32", shape), output_dtype=dtype)
    assert rejected == {}
    tolerance = {"float32": 0, "float16": 1e-3, "int8": 11 / 127}[dtype]
    expected = np.squeeze(output.numpy()) if shape and 1 in shape else output.numpy()
    for stored in (table, in_parquet(table), in_examples(table)):
        vectors = vectors_of(stored, "e", column.written())
        assert vectors[0].dtype == np.float32
        np.testing.assert_allclose(np.stack(list(vectors)), expected, atol=tolerance)


def test_rows_of_different_lengths_are_lists():
    column = column_of(OPEN)
    calls = [to_columns(column, np.full([1, n, 2], n, "f4"), 1, 1).columns["e"] for n in (3, 0, 1)]
    table = pa.table({"e": pa.concat_arrays(calls)})
    assert table.schema.field("e").type == pa.list_(pa.float32())
    vectors = vectors_of(table, "e", column.written())
    assert [v.shape for v in vectors] == [(3, 2), (0, 2), (1, 2)]
    assert vectors[0].tolist() == [[3.0, 3.0]] * 3


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_an_output_without_a_row_has_the_columns_of_one_with_rows(dtype):
    for info in (TensorInfo("float32", (None, 4)), OPEN, TensorInfo("float32", (None, None, None))):
        column = column_of(info, output_dtype=dtype)
        table = pa.schema(column.fields).empty_table()
        vectors = vectors_of(in_parquet(table), "e", column.written())
        assert len(vectors) == 0


def test_the_manifest_and_the_schema_say_what_the_type_does_not():
    column = column_of(TensorInfo("float32", (None, 2, 3)), output_dtype="int8")
    assert column.written() == WrittenColumn("key", "int8", (2, 3), scale="e_scale")
    _, table, _ = written(tf.zeros([1, 2, 3]), output_dtype="int8")
    metadata = in_parquet(table).schema.field("e").metadata
    assert metadata[b"hub_tfx.dtype"] == b"int8"
    assert json.loads(metadata[b"hub_tfx.shape"]) == [2, 3]
    assert column_of(TensorInfo("float32", (None, 2))).fields[0].metadata is None


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_normalized_vectors_have_length_1_and_zero_stays_zero(dtype):
    vectors = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    vectors[0] = 0
    vectors[1] = 1e30  # Whose square float32 cannot hold.
    vectors[2] = 1e-30
    column, table, rejected = written(tf.constant(vectors), normalize=True, output_dtype=dtype)
    assert rejected == {}
    norms = np.linalg.norm(vectors_of(table, "e", column.written()), axis=1)
    np.testing.assert_allclose(norms, [0, 1, 1, 1, 1, 1], atol=1e-2)


def test_the_last_axis_is_what_is_normalized():
    tokens = tf.constant([[[3.0, 4.0], [0.0, 2.0]]])
    _, table, _ = written(tokens, OPEN, normalize=True)
    np.testing.assert_allclose(table["e"].to_pylist(), [[0.6, 0.8, 0.0, 1.0]], rtol=1e-6)
    pooled = tf.reshape(tf.constant([3.0, 4.0]), [1, 2, 1])
    _, table, _ = written(pooled, normalize=True)
    np.testing.assert_allclose(table["e"].to_pylist(), [[0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize(("dtype", "lost"), [("float16", 1e-6), ("int8", 1e-4)])
def test_cosines_hardly_change(dtype, lost):
    vectors = np.random.default_rng(0).normal(size=(500, 128)).astype(np.float32)
    vectors *= np.logspace(-4, 4, 500)[:, None]
    column, table, _ = written(tf.constant(vectors, tf.float32), output_dtype=dtype, normalize=True)
    found = vectors_of(table, "e", column.written())
    cosines = np.sum(vectors * found, axis=1) / (
        np.linalg.norm(vectors, axis=1) * np.linalg.norm(found, axis=1)
    )
    assert 1 - cosines.min() < lost


def test_an_int8_is_half_a_step_off_at_most():
    vectors = np.random.default_rng(0).normal(size=(100, 16)).astype(np.float32)
    column, table, _ = written(tf.constant(vectors), output_dtype="int8")
    steps = table["e_scale"].to_numpy()[:, None]
    assert (np.abs(vectors_of(table, "e", column.written()) - vectors) <= steps * 0.5001).all()
    np.testing.assert_allclose(steps[:, 0], np.abs(vectors).max(axis=1) / 127, rtol=1e-6)
    bytes_of_rows = table["e"].to_pylist()
    assert {len(b) for b in bytes_of_rows} == {16}
    assert all(max(np.abs(np.frombuffer(b, np.int8).astype(int))) == 127 for b in bytes_of_rows)


def test_rows_with_nan_and_rows_that_float16_cannot_hold_are_rejected():
    vectors = tf.constant([[1.0, 2.0], [float("inf"), 0.0], [0.0, 1e6]])
    _, _, rejected = written(vectors)
    assert rejected == {1: "the module gave NaN or infinity for 'e'"}
    _, _, rejected = written(vectors, output_dtype="float16")
    assert rejected == {
        1: "the module gave NaN or infinity for 'e'",
        2: "float16 cannot hold a value of 'e'",
    }
    _, _, rejected = written(vectors, output_dtype="int8", normalize=True)
    assert list(rejected) == [1]


@pytest.mark.parametrize(
    ("rows", "info"),
    [
        ([[1.0, 2.0], [], [3.0]], TensorInfo("float32", (None, None), "ragged")),
        ([[1, 2], [], [3]], TensorInfo("int64", (None, None), "ragged")),
        ([[b"a", b"b"], [], [b""]], TensorInfo("string", (None, None), "ragged")),
    ],
)
def test_ragged_outputs_are_lists(rows, info):
    column, table, _ = written(tf.ragged.constant(rows, ragged_rank=1), info)
    assert table["e"].to_pylist() == rows
    vectors = vectors_of(in_examples(table), "e", column.written())
    assert [v.tolist() for v in vectors] == rows


def test_ragged_outputs_with_vectors_and_with_nan():
    nan = float("nan")
    rows = tf.ragged.constant([[[1.0, 2.0]], [], [[3.0, nan], [5.0, 6.0]]], ragged_rank=1)
    column, table, rejected = written(rows, TensorInfo("float32", (None, None, 2), "ragged"))
    assert rejected == {2: "the module gave NaN or infinity for 'e'"}
    assert [v.shape for v in vectors_of(table, "e", column.written())] == [(1, 2), (0, 2), (2, 2)]


def test_sparse_outputs_are_written_dense():
    output = tf.sparse.from_dense([[1.0, 0.0], [0.0, 2.0]])
    _, table, _ = written(output, TensorInfo("float32", (None, 2), "sparse"))
    assert table["e"].to_pylist() == [[1.0, 0.0], [0.0, 2.0]]


def test_rows_that_only_fill_a_call_up_are_not_written():
    for output in (tf.range(8.0), tf.ragged.constant([[1.0]] * 8)):
        _, table, rejected = written(output, info_of(output), rows=3)
        assert (len(table), rejected) == (3, {})


def test_an_output_without_a_row_for_each_row_is_an_error():
    column = column_of(TensorInfo("float32", (None, 2)))
    with pytest.raises(ConfigError, match=r"shape \[3, 2\] for 2 rows"):
        to_columns(column, np.zeros([3, 2]), 2, 2)


@pytest.mark.parametrize(
    ("info", "config", "complaint"),
    [
        (TensorInfo("complex64", (None, 2)), {}, r"'key' is complex64\[\?, 2\], which cannot"),
        (TensorInfo("int64", (None, None, None), "ragged", 2), {}, "cannot be written"),
        (TensorInfo("float32", (None, None), "ragged"), {"normalize": True}, "neither normalized"),
        (TensorInfo("float32", (None, None), "ragged"), {"output_dtype": "int8"}, "nor written"),
    ],
)
def test_outputs_that_cannot_be_written_are_an_error_before_anything_runs(info, config, complaint):
    with pytest.raises(ConfigError, match=complaint):
        column_of(info, **config)


def test_the_embedding_dimension_is_that_of_the_one_vector():
    vector, score = TensorInfo("float32", (None, 7)), TensorInfo("float32", (None,))
    assert embedding_dim([column_of(vector), column_of(score)]) == 7
    assert embedding_dim([column_of(vector), column_of(vector)]) is None
    assert embedding_dim([column_of(OPEN)]) is None


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_examples_give_the_columns_back(dtype):
    column, table, _ = written(tf.constant([[1.0, -2.0]]), output_dtype=dtype)
    [batch] = in_examples(table).to_batches()
    schema = pa.schema(column.fields)
    assert of_example_columns(batch, schema).to_pylist() == table.to_pylist()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("shape", [(None, 8), (None, None, 4)])
def test_vectors_are_neither_compressed_nor_put_in_a_dictionary(tmp_path, dtype, shape):
    output = tf.zeros([100, 8] if len(shape) == 2 else [100, 2, 4])
    _, table, _ = written(output, TensorInfo("float32", shape), output_dtype=dtype)
    table = table.append_column("kept", pa.array(["text"] * 100))
    file = PART_FILES["parquet"](str(tmp_path / "part"), table.schema)
    for batch in table.to_batches():
        file.write(batch)
    file.close()
    group = pq.ParquetFile(tmp_path / "part").metadata.row_group(0)
    columns = [group.column(n) for n in range(group.num_columns)]
    (vectors,) = (c for c in columns if c.path_in_schema.split(".")[0] == "e")
    (kept,) = (c for c in columns if c.path_in_schema == "kept")
    assert (vectors.compression, vectors.has_dictionary_page) == ("UNCOMPRESSED", False)
    assert (kept.compression, kept.has_dictionary_page) == ("SNAPPY", True)
