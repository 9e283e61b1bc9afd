"""Files of one input agree on their columns before a worker starts, or one error says why not."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from hub_tfx.data import schema
from hub_tfx.data.files import find_files
from hub_tfx.data.schema import check_columns, infer_schema
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.errors import InputError
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.testing import text_module


def schema_of(folder, columns=None):
    schema = infer_schema(find_files([f"{folder}/*"]))
    check_columns(schema, schema.names if columns is None else columns)
    return schema


def write_csv(path, *rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def write_json(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def write_example(path, **features):
    example = tf.train.Example()
    for name, value in features.items():
        kind = {int: "int64_list", float: "float_list", bytes: "bytes_list"}[type(value)]
        getattr(example.features.feature[name], kind).value.append(value)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example.SerializeToString())


def test_csv_numbers_become_floats_and_anything_else_text(tmp_path):
    write_csv(tmp_path / "a.csv", ["i", "x", "t", "empty"], [1, 1, 1, ""])
    write_csv(tmp_path / "b.csv", ["i", "x", "t", "empty"], [2, 1.5, "one", ""])
    assert schema_of(tmp_path) == pa.schema(
        [("i", pa.int64()), ("x", pa.float64()), ("t", pa.string()), ("empty", pa.string())]
    )


def test_a_column_without_values_takes_the_type_it_has_elsewhere(tmp_path):
    write_csv(tmp_path / "a.csv", ["n"], [""])
    write_csv(tmp_path / "b.csv", ["n"], [7])
    write_csv(tmp_path / "c.csv", ["n"])
    assert schema_of(tmp_path) == pa.schema([("n", pa.int64())])
    write_json(tmp_path / "a.jsonl", {"v": None, "w": []})
    write_json(tmp_path / "b.jsonl", {"v": [1, 2], "w": ["a"]})
    found = infer_schema(find_files([f"{tmp_path}/*.jsonl"]))
    assert found == pa.schema([("v", pa.list_(pa.int64())), ("w", pa.list_(pa.string()))])


def test_json_records_of_some_files_may_have_more_keys(tmp_path):
    write_json(tmp_path / "a.jsonl", {"n": 1, "s": {"a": 1}})
    write_json(tmp_path / "b.jsonl", {"n": 1.5, "s": {"b": "x"}, "more": True})
    assert schema_of(tmp_path) == pa.schema(
        [
            ("n", pa.float64()),
            ("s", pa.struct([("a", pa.int64()), ("b", pa.string())])),
            ("s.a", pa.int64()),
            ("more", pa.bool_()),
            ("s.b", pa.string()),
        ]
    )


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        (pa.int32(), pa.int64(), pa.int64()),
        (pa.float32(), pa.int8(), pa.float64()),
        (pa.string(), pa.large_string(), pa.large_string()),
        (pa.binary(), pa.string(), pa.large_binary()),
        (pa.list_(pa.int32()), pa.list_(pa.float32()), pa.list_(pa.float64())),
        (pa.null(), pa.date32(), pa.date32()),
    ],
    ids=str,
)
def test_parquet_columns_get_a_type_that_holds_both_and_are_read_as_it(
    tmp_path, one, other, common
):
    for name, type_ in (("a", one), ("b", other)):
        values = pa.array([None, None], type_)
        pq.write_table(pa.table({"c": values}), tmp_path / f"{name}.parquet")
    schema = schema_of(tmp_path)
    assert schema == pa.schema([("c", common)])
    for file in find_files([f"{tmp_path}/*"]):
        from hub_tfx.data.readers import PARQUET

        (batch,) = PARQUET.read(file.path, schema, 10)
        assert batch.schema == schema


def test_types_that_nothing_holds_are_one_error_that_names_both_files(tmp_path):
    pq.write_table(pa.table({"n": [1], "ok": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"n": ["one"], "ok": [2]}), tmp_path / "b.parquet")
    with pytest.raises(
        InputError, match=r"a\.parquet has int64 in 'n', but .*b\.parquet has string"
    ):
        schema_of(tmp_path)
    schema_of(tmp_path, ["ok"])


def test_features_of_tf_examples_are_never_converted(tmp_path):
    write_example(tmp_path / "a.tfrecord", n=1, t=b"x")
    write_example(tmp_path / "b.tfrecord", n=1.5, more=1)
    with pytest.raises(InputError, match=r"a\.tfrecord has large_list<item: int64> in 'n'"):
        schema_of(tmp_path)
    assert schema_of(tmp_path, ["t", "more"]).names == ["n", "t", "more"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_without_a_column_that_is_needed_is_named(tmp_path, ending):
    for name, columns in (("a", {"text": ["x"], "n": [1]}), ("b", {"text": ["y"]})):
        path = tmp_path / f"{name}.{ending}"
        if ending == "csv":
            write_csv(path, list(columns), [values[0] for values in columns.values()])
        else:
            pq.write_table(pa.table(columns), path)
    with pytest.raises(InputError, match=rf"b\.{ending} has no column 'n'"):
        schema_of(tmp_path)
    schema_of(tmp_path, ["text"])


def test_all_parquet_files_are_looked_at_and_of_others_a_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "_SAMPLED_FILES", 4)
    for n in range(20):
        pq.write_table(pa.table({f"c{n}": [1]}), tmp_path / f"{n:02}.parquet")
        write_json(tmp_path / f"{n:02}.jsonl", {f"c{n}": 1})
    assert len(infer_schema(find_files([f"{tmp_path}/*.parquet"])).names) == 20
    sampled = infer_schema(find_files([f"{tmp_path}/*.jsonl"]))
    assert sampled.names == ["c0", "c5", "c10", "c15"]
    of_all = infer_schema(find_files([f"{tmp_path}/*.jsonl"]), of_all=True)
    assert len(of_all.names) == 20


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return ResolvedModule.of_directory(text_module(tmp_path_factory.mktemp("m") / "text"))


def test_a_conflict_stops_the_job_before_it_starts(tmp_path, module):
    write_json(tmp_path / "a.jsonl", {"text": "cat", "n": 1})
    write_json(tmp_path / "b.jsonl", {"text": "dog", "n": "one"})
    inputs, output = [f"{tmp_path}/*.jsonl"], tmp_path / "out"
    with pytest.raises(InputError, match="one type, or take these files in separate runs"):
        embed_files(module, inputs, str(output), EmbedConfig(keep=("n",)))
    assert not output.exists()
    assert embed_files(module, inputs, str(output)).rows == 2


def test_no_files_have_no_columns():
    assert infer_schema([]) == pa.schema([])
