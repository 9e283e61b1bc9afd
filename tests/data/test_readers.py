"""Each format gives back what was written, and names the records it cannot read."""

import csv
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub_tfx.data.marks import Position, mark_rejected, rejected_of, slice_rows
from hub_tfx.data.prefetch import one_ahead
from hub_tfx.data.readers import READERS, base, format_of, schema_of_tfmd, streams
from hub_tfx.data.readers.tfrecord import records_of
from hub_tfx.errors import InputError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LINES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\ufeff")), max_size=20
)
same_tmp_path = settings(
    max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def read(file_format, path, names=None, batch_rows=3):
    """Rows and reasons, in file order."""
    reader = READERS[file_format]
    schema = reader.infer_schema(str(path))
    wanted = pa.schema([schema.field(name) for name in names or schema.names])
    items = []
    for item in reader.read(str(path), wanted, batch_rows):
        rejected = rejected_of(item)
        items += [rejected.get(n, row) for n, row in enumerate(item.to_pylist())]
    return items


def example(**features):
    kinds = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
    message = tf.train.Example()
    for name, values in features.items():
        message.features.feature[name].SetInParent()
        if values:
            getattr(message.features.feature[name], kinds[type(values[0])]).value.extend(values)
    return message.SerializeToString()


def write_examples(path, records, compression="GZIP"):
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)


@given(LINES)
@same_tmp_path
def test_text_lines_come_back(tmp_path, lines):
    path = tmp_path / "a.txt"
    path.write_bytes("".join(line + "\n" for line in lines).encode())
    assert read("txt", path) == [{"text": line} for line in lines]


def test_text_may_be_gzipped_have_a_bom_windows_line_ends_and_no_last_newline(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfone\r\n\r\nthree"))
    assert read("txt", path) == [{"text": "one"}, {"text": ""}, {"text": "three"}]


@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
def test_text_may_be_read_as_the_bytes_it_is(tmp_path, name):
    (tmp_path / name).write_bytes(b"text\n\xff\xfe\n")
    schema = pa.schema([("text", pa.binary())])
    (batch,) = READERS[name[2:]].read(str(tmp_path / name), schema, 3)
    assert batch.column(0).to_pylist()[-1] == b"\xff\xfe"


def test_a_line_that_is_not_utf8_is_rejected_and_its_neighbours_are_not(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\n\xff\xfe\nthree\n")
    one, reason, three = read("txt", path)
    assert (one, three) == ({"text": "one"}, {"text": "three"})
    assert "UTF-8" in reason


@given(st.lists(st.tuples(TEXTS, st.integers(-(10**17), 10**17)), min_size=1, max_size=10))
@same_tmp_path
def test_csv_rows_come_back_with_their_types(tmp_path, rows):
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(["text", "n"])
    writer.writerows([("x" + text.replace("\0", ""), n) for text, n in rows])
    path = tmp_path / "a.csv"
    path.write_bytes(buffer.getvalue().encode())
    assert read("csv", path) == [{"text": "x" + t.replace("\0", ""), "n": n} for t, n in rows]


def test_numbers_that_would_change_stay_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "zip,price,n,version,id,big\n"
        "00123,1.5,1,1.10,1234567890123456789,1e400\n"
        "00456,2,,2.0,1234567890123456788,1\n"
    )
    assert read("csv", path) == [
        {
            "zip": "00123",
            "price": 1.5,
            "n": 1,
            "version": "1.10",
            "id": "1234567890123456789",
            "big": "1e400",
        },
        {
            "zip": "00456",
            "price": 2.0,
            "n": None,
            "version": "2.0",
            "id": "1234567890123456788",
            "big": "1",
        },
    ]


def test_a_later_json_number_is_never_cut_to_fit(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": 1}\n' * 1000 + '{"n": 1.5}\n{"n": 2}\n')
    items = read("jsonl", path, batch_rows=600)
    assert items[-1] == {"n": 2}
    assert [item for item in items if isinstance(item, str)] == [
        "feature 'n': 1.5 is not of the column's type, int64"
    ]


def test_broken_csv_records_are_rejected_alone(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text\n1,one\n2,"two\n3,three\n4,a,b\n5,"f\nve"\n6,\xff\nx,y\n7,last\n')
    # The column `id` is text, since one of its first values is.
    items = read("csv", path)
    assert [item["text"] for item in items if isinstance(item, dict)] == [
        "one",
        "three",
        "f\nve",
        "y",
        "last",
    ]
    reasons = [item for item in items if isinstance(item, str)]
    assert "line 3" in reasons[0]
    assert "line 5: 3 fields, the header has 2" in reasons[1]
    assert "not valid UTF-8" in reasons[2]


def test_a_later_value_of_another_type_is_rejected_not_converted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("n\n" + "1\n" * 1500 + "many\n2\n")
    items = read("csv", path, batch_rows=1000)
    assert sum(isinstance(item, dict) for item in items) == 1501
    assert [item for item in items if isinstance(item, str)] == [
        "column 'n': 'many' is not written the way int64 is, the type of the column's first values"
    ]


@given(st.lists(st.fixed_dictionaries({"s": TEXTS, "v": st.lists(st.integers(0, 9))}), min_size=1))
@same_tmp_path
def test_json_lines_come_back(tmp_path, records):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    names = ["s", "v"] if any(record["v"] for record in records) else ["s"]
    assert read("jsonl", path, names) == [{n: record[n] for n in names} for record in records]


def test_broken_json_lines_are_rejected_alone(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": 1}\n{"n": 2\n[3]\n{"n": "four"}\n{"m": 5}\n{"n": 6}\n')
    assert READERS["jsonl"].infer_schema(str(path)).names == ["n", "m"]
    assert read("jsonl", path, ["n"])[3] == "feature 'n': 'four' is not of the column's type, int64"
    path.write_text('{"n": 1}\n{"n": 2\n[3]\n{"m": 5}\n{"n": 6}\n')
    items = read("jsonl", path, ["n"])
    assert items[0] == {"n": 1}
    assert "broken JSON" in items[1]
    assert items[2] == "not a JSON object but list"
    assert items[3:] == [{"n": None}, {"n": 6}]


def test_parquet_comes_back_with_the_columns_that_are_asked_for(tmp_path):
    table = pa.table({"text": ["a", None], "v": [[1.0], [2.0, 3.0]], "other": [1, 2]})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = read("parquet", tmp_path / "a.parquet", ["v", "text"])
    assert rows == table.select(["v", "text"]).to_pylist()


@given(
    st.lists(
        st.fixed_dictionaries(
            {"b": st.lists(st.binary(max_size=5)), "i": st.lists(st.integers(-9, 9))}
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["GZIP", ""]),
)
@same_tmp_path
def test_examples_come_back(tmp_path, rows, compression):
    first = {"b": [b"x"], "i": [1]}  # So that both features have a type.
    rows = [first, *rows]
    write_examples(tmp_path / "a.tfrecord", [example(**row) for row in rows], compression)
    # A feature without a value has no type either, which is to say that it is missing.
    expected = [{name: values or None for name, values in row.items()} for row in rows]
    assert read("tfrecord", tmp_path / "a.tfrecord", ["b", "i"]) == expected


def test_a_feature_that_a_record_lacks_is_null_whatever_the_batch(tmp_path):
    records = [example(b=[b"x"]), example(i=[1]), example(i=[2]), example(i=[3])]
    write_examples(tmp_path / "a.tfrecord", records)
    rows = read("tfrecord", tmp_path / "a.tfrecord", ["b"], batch_rows=2)
    assert rows == [{"b": [b"x"]}, {"b": None}, {"b": None}, {"b": None}]


def test_records_that_are_no_examples_are_rejected_alone(tmp_path):
    good, wrong_type = example(i=[1]), example(i=[b"text"])
    write_examples(tmp_path / "a.tfrecord", [good, b"\xff\xff", wrong_type, good])
    items = read("tfrecord", tmp_path / "a.tfrecord")
    assert (items[0], items[3]) == ({"i": [1]}, {"i": [1]})
    assert all(isinstance(item, str) and item for item in items[1:3])


@pytest.mark.parametrize("compression", ["GZIP", ""])
def test_a_tfrecord_file_cut_at_any_byte_loses_no_record_silently(tmp_path, compression):
    path = tmp_path / "a.tfrecord"
    records = [example(i=[n]) for n in range(20)]
    write_examples(path, records, compression)
    content = path.read_bytes()
    record_ends = {0} if compression else {n * len(content) // 20 for n in range(20)}
    for cut in set(range(len(content))) - record_ends:
        path.write_bytes(content[:cut])
        with pytest.raises(InputError, match=r"a\.tfrecord is cut short or damaged"):
            list(records_of(str(path)))


@pytest.mark.parametrize("size", [10, 20_000])
@pytest.mark.parametrize("compression", ["GZIP", ""])
def test_many_records_come_in_their_order(tmp_path, compression, size):
    path = tmp_path / "a.tfrecord"
    write_examples(path, [example(i=[n], b=[b"x" * size]) for n in range(200)], compression)
    assert [row["i"] for row in read("tfrecord", path, ["i"])] == [[n] for n in range(200)]


def test_a_tfrecord_file_of_several_gzip_members_is_whole(tmp_path):
    path = tmp_path / "a.tfrecord.gz"
    write_examples(path, [example(i=[1]), example(i=[2])])
    path.write_bytes(path.read_bytes() * 2)
    assert [row["i"] for row in read("tfrecord", path)] == [[1], [2], [1], [2]]


@pytest.mark.parametrize("file_format", READERS)
def test_a_damaged_file_is_an_error_that_says_so(tmp_path, file_format):
    path = tmp_path / f"a.{file_format}"
    path.write_bytes(b"\x1f\x8b and no more")
    why = "cannot be read as Parquet" if file_format == "parquet" else "is cut short or damaged"
    with pytest.raises(InputError, match=rf"a\.{file_format} {why}"):
        read(file_format, path)


def test_a_tfx_schema_gives_the_types():
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    tfmd = text_format.Parse(
        'feature { name: "t" type: BYTES } feature { name: "n" type: INT } '
        'feature { name: "f" type: FLOAT } feature { name: "s" }',
        schema_pb2.Schema(),
    )
    assert schema_of_tfmd(tfmd) == pa.schema(
        [
            ("t", pa.large_list(pa.large_binary())),
            ("n", pa.large_list(pa.int64())),
            ("f", pa.large_list(pa.float32())),
        ]
    )


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("a.txt", "txt"),
        ("a.CSV", "csv"),
        ("a.b.jsonl.gz", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.tfrecord", "tfrecord"),
        ("a.tfrecord.gz", "tfrecord"),
    ],
)
def test_the_ending_gives_the_format(name, file_format):
    assert format_of(name) == file_format


def test_one_ahead_gives_the_same_items_and_the_same_error():
    def items():
        yield from range(5)
        raise InputError("the end")

    reading = one_ahead(items())
    assert [next(reading) for _ in range(5)] == list(range(5))
    with pytest.raises(InputError, match="the end"):
        next(reading)
    assert list(one_ahead(iter([]))) == []


def test_one_ahead_may_be_left_before_the_end():
    closed = []

    def items():
        try:
            yield from range(100)
        finally:
            closed.append(True)

    source = items()
    reading = one_ahead(source)
    assert next(reading) == 0
    reading.close()
    source.close()
    assert closed == [True]


def test_a_later_csv_integer_that_a_float_would_round_is_rejected(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x\n" + "1.5\n" * 1000 + f"{2**53 + 1}\n{2**53}\n0.1234567890123456789\n")
    rows = read("csv", path, batch_rows=2000)
    assert f"'{2**53 + 1}' is not written the way double is" in rows[1000]
    assert rows[1001] == {"x": 2.0**53}
    assert "'0.1234567890123456789' is not written the way double is" in rows[1002]


def test_a_later_json_object_keeps_all_its_keys_or_is_rejected(tmp_path):
    path = tmp_path / "a.jsonl"
    later = [{"a": 3}, {"a": 4, "b": 5}, {}, {"a": 1.5}, [{"a": 1}]]
    lines = [{"s": {"a": 1}}] * 1000 + [{"s": value} for value in later]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = read("jsonl", path)[1000:]
    assert [rows[0], rows[2]] == [{"s": {"a": 3}}, {"s": {"a": None}}]
    for row in (rows[1], rows[3], rows[4]):
        assert "feature 's'" in row


def test_some_rows_of_a_batch_keep_their_places_and_reasons():
    batch = pa.RecordBatch.from_pydict({"n": [0, None, 2, None, 4]})
    marked = Position("f", 10, "b").mark(mark_rejected(batch, {1: "one", 3: "three"}))
    part = slice_rows(marked, 2, 5)
    assert part.column(0).to_pylist() == [2, None, 4]
    assert rejected_of(part) == {1: "three"}
    assert Position.of(part) == Position("f", 12, "b")


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.txt.gz"])
def test_a_line_that_never_ends_is_rejected_and_not_held(tmp_path, name, monkeypatch):
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(streams, "_SKIP_BYTES", 64)
    content = b'{"text": "one"}\n' + b"x" * 10_000 + b'\n{"text": "two"}\n' + b"y" * 1000
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    one, long, two, longest = read(name.split(".")[1], path)
    assert (one["text"][-5:].strip('"}'), two["text"][-5:].strip('"}')) == ("one", "two")
    assert long == longest == "a line of 1,000 bytes or more"


@pytest.mark.slow
def test_a_record_of_more_than_two_gigabytes_is_rejected(tmp_path):
    path = tmp_path / "a.txt.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"one\n")
        for _ in range(2100):
            file.write(b"x" * (1 << 20))
        file.write(b"\nthree\n")
    one, long, three = read("txt", path)
    assert (one, three) == ({"text": "one"}, {"text": "three"})
    assert "a line of" in long


def test_few_large_records_are_enough_to_learn_a_schema_from(monkeypatch):
    read = []
    records = (read.append(n) or b"x" * 100 for n in range(5000))
    monkeypatch.setattr(base, "MAX_BATCH_BYTES", 1000)
    assert len(base.first_of(records)) == len(read) == 10
    monkeypatch.setattr(base, "MAX_BATCH_BYTES", 1 << 20)
    assert len(base.first_of(records)) == 1000
