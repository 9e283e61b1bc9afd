"""What becomes of TFRecord files: the table "TFRecord" of docs/inputs.md."""

import gzip
import struct

import google_crc32c
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kinds import Kinds, read_one

from hub_tfx.data.arrow import is_number
from hub_tfx.data.readers import tfrecord
from hub_tfx.data.readers.tfrecord import records_of
from hub_tfx.data.uses import Use
from hub_tfx.embed.call.inputs import Input
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.plan import EmbedPlan
from hub_tfx.errors import InputError
from hub_tfx.module.spec import TensorInfo

KINDS = Kinds("TFRecord")
BYTES_LISTS = pa.large_list(pa.large_binary())
TEXT = Use(pa.string(), lambda given: given == BYTES_LISTS)
NUMBER = Use(pa.float64(), lambda given: is_number(given.value_type))


def test_each_row_of_the_table_is_tested():
    KINDS.check_all_are_tested()


@pytest.fixture
def examples(tmp_path):
    """Writes records: values of the feature ``x``, or bytes as they are."""

    def write(values, name="a.tfrecord"):
        with tf.io.TFRecordWriter(str(tmp_path / name)) as writer:
            for value in values:
                writer.write(value if isinstance(value, bytes) else _example(value))
        return tmp_path / name

    return write


def _example(values):
    example = tf.train.Example()
    kinds = {str: "bytes_list", int: "int64_list", float: "float_list"}
    for value in values or ():
        of_kind = getattr(example.features.feature["x"], kinds[type(value)])
        of_kind.value.append(value.encode() if isinstance(value, str) else value)
    example.features.feature["y"].int64_list.value.append(1)
    return example.SerializeToString()


def masked_crc(data):
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@pytest.mark.parametrize("place", [0, 1200])
@KINDS.row("not a tf.Example")
def test_what_is_no_example_is_rejected_alone(examples, place):
    records = [[1]] * 1200
    records.insert(place, b"\xff\xff")
    rows = read_one(examples(records))
    assert isinstance(rows.pop(place), str)
    assert rows == [[1]] * 1200


@pytest.mark.parametrize("place", [0, 1, 1500])
@pytest.mark.parametrize(
    ("usual", "odd"), [([1], ["a"]), ([1], [1.5]), (["a"], [1]), (["a", "b"], [1.5]), ([1.5], [1])]
)
@KINDS.row("a feature of another kind than in most records")
def test_a_feature_of_another_kind_is_one_rejected_row(examples, usual, odd, place):
    records = [usual] * 1600
    records.insert(place, odd)
    rows = read_one(examples(records))
    assert isinstance(rows.pop(place), str)
    expected = [value.encode() if isinstance(value, str) else value for value in usual]
    assert rows == [expected] * 1600


@KINDS.row("kinds that records do not agree on, in a feature that is fed")
def test_the_use_decides_between_kinds(examples):
    path = examples([[1], [2], ["a"]])
    assert read_one(path)[:2] == [[1], [2]]
    assert read_one(path, TEXT)[2] == [b"a"]
    assert read_one(path, NUMBER)[:2] == [[1], [2]]
    assert read_one(examples([["a"], ["b"], [1.5]]), NUMBER)[2] == [1.5]


@KINDS.row("a feature that a record lacks")
def test_a_feature_is_looked_for_behind_the_first_records(examples):
    assert read_one(examples([[1], None, [2]])) == [[1], None, [2]]
    assert read_one(examples([None] * 1200 + [["a"]]))[-1] == [b"a"]


@KINDS.row("bytes that feed a string input")
def test_bytes_of_an_example_are_text_unless_the_config_says_so():
    column = pa.array([[b"a"], [b"\xff"]], BYTES_LISTS)
    plan = EmbedPlan("s", {"k": "x"}, {"k": TensorInfo("string", (None,))}, (), ())
    utf8 = Input("k", plan, EmbedConfig(), column.type)
    assert utf8.check(column) == {1: "feature 'x' is not valid UTF-8"}
    as_they_are = Input("k", plan, EmbedConfig(text_encoding="bytes"), column.type)
    assert as_they_are.check(column) == {}


@pytest.mark.parametrize("place", [0, 8, 12, 20, -1, -4])
@KINDS.row("cut short, or another checksum")
def test_a_byte_that_changed_is_an_error_that_names_the_file(examples, place):
    path = examples([["text"]])
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tfrecord is cut short or damaged: .*record 1"):
        read_one(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match=r"a\.tfrecord is cut short or damaged"):
        read_one(path)


@pytest.mark.parametrize("length", [1 << 31, 1 << 40, (1 << 64) - 1])
@pytest.mark.parametrize("zipped", [False, True])
@KINDS.row("a length beyond any record")
def test_a_length_beyond_any_record_is_an_error_and_makes_no_room(examples, length, zipped):
    path = examples([[1]])
    header = struct.pack("<Q", length)
    content = path.read_bytes() + header + masked_crc(header) + b"\0" * 1000
    path.write_bytes(gzip.compress(content) if zipped else content)
    expected = rf"a\.tfrecord is cut short or damaged: record 2 claims to have {length:,} bytes"
    with pytest.raises(InputError, match=expected):
        list(records_of(str(path)))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=40)), st.integers(1, 64), st.integers(1, 64))
def test_records_come_back_whatever_is_read_at_once(tmp_path, records, read_bytes, piece_bytes):
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfrecord, "_READ_BYTES", read_bytes)
        patch.setattr(tfrecord, "_PIECE_BYTES", piece_bytes)
        assert list(records_of(str(path))) == records


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=100))
def test_any_bytes_are_records_or_one_error(tmp_path, content):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(content)
    if not content:
        assert list(records_of(str(path))) == []
        return
    with pytest.raises(InputError, match=r"a\.tfrecord"):  # A checksum is not hit by chance.
        list(records_of(str(path)))
