"""What becomes of Parquet files: the table "Parquet" of docs/inputs.md."""

import datetime
import decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kinds import BYTES, FLOAT, KEPT, TEXT, Kinds, read, read_one

from hub_tfx.data.arrow import invalid_text
from hub_tfx.data.readers import PARQUET
from hub_tfx.embed.call.inputs import Input
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.plan import EmbedPlan
from hub_tfx.errors import ConfigError, InputError
from hub_tfx.module.spec import TensorInfo

KINDS = Kinds("Parquet")
BAD_TEXT = pa.array([b"a", b"\xff", None, b"d"]).view(pa.string())
NUMBER = TensorInfo("float32", (None,))
STRING = TensorInfo("string", (None,))
IMAGE = TensorInfo("float32", (None, 8, 8, 3))


def test_each_row_of_the_table_is_tested():
    KINDS.check_all_are_tested()


@pytest.fixture
def parquet(tmp_path):
    """Writes columns."""

    def write(name="a.parquet", **columns):
        pq.write_table(pa.table(columns), tmp_path / name, version="2.6")
        return tmp_path / name

    return write


def fed_by(column, info, **config):
    """The input, what feeds it, and which rows cannot."""
    plan = EmbedPlan("s", {"k": "x"}, {"k": info}, (), (), (8, 8) if info.is_image else None)
    made = Input("k", plan, EmbedConfig(**config), column.type)
    fed = made.column_of(pa.RecordBatch.from_arrays([column], ["x"]))
    return made, fed, made.check(fed)


def dictionary(values):
    return pa.array(values).dictionary_encode()


@KINDS.row("a dictionary, such as pandas' categories")
def test_dictionaries_are_read_plain_at_any_depth(parquet):
    path = parquet(
        x=dictionary(["a", None, "b", "a"]),
        in_list=pa.ListArray.from_arrays(
            pa.array([0, 1, 1, 2, 4]), dictionary(["a", "b", "a", "c"])
        ),
        in_struct=pa.StructArray.from_arrays([dictionary([5, 5, 6, 7])], ["n"]),
    )
    schema = PARQUET.infer_schema(str(path))
    assert schema.types == [pa.string(), pa.list_(pa.string()), pa.struct([("n", pa.int64())])]
    names = ["x", "in_list", "in_struct", "in_struct.n"]
    assert read(path, dict.fromkeys(names, KEPT)) == [
        ("a", ["a"], {"n": 5}, 5),
        (None, [], {"n": 5}, 5),
        ("b", ["b"], {"n": 6}, 6),
        ("a", ["a", "c"], {"n": 7}, 7),
    ]


@KINDS.row("large strings, binaries and lists, lists of fixed size")
def test_values_may_have_any_width(parquet):
    columns = {
        "s": pa.array(["a", None], pa.large_string()),
        "b": pa.array([b"\xff", b""], pa.large_binary()),
        "f": pa.array([b"ab", None], pa.binary(2)),
        "l": pa.array([[1], None], pa.large_list(pa.int8())),
        "v": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    }
    path = parquet(**columns)
    expected = list(zip(*(column.to_pylist() for column in columns.values()), strict=True))
    assert read(path, dict.fromkeys(columns, KEPT)) == expected
    assert read_one(path, TEXT, "s") == ["a", None]
    assert read_one(path, BYTES, "s") == [b"a", None]


@KINDS.row("a list of fixed size that is null")
def test_a_list_of_fixed_size_may_be_null(parquet, tmp_path):
    whole = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2))
    parquet("a.parquet", v=whole, d=pa.array([1, 2], pa.duration("s")), c=dictionary(["a", "b"]))
    null = pa.array([[5.0, 6.0], None], pa.list_(pa.float32(), 2))
    path = parquet(
        "b.parquet", v=null, d=pa.array([3, None], pa.duration("s")), c=dictionary(["c", None])
    )
    assert read_one(path, name="v") == [[5.0, 6.0], None]
    assert read_one(tmp_path, name="v") == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], None]
    rows = read(tmp_path, {"v": KEPT, "d": KEPT, "c": KEPT})
    assert [row[1].seconds for row in rows[:3]] == [1, 2, 3]
    assert [row[2] for row in rows] == ["a", "b", "c", None]
    schema = PARQUET.infer_schema(str(tmp_path / "a.parquet"))
    assert schema.field("v").type == pa.list_(pa.float32(), 2)


@pytest.mark.parametrize("other", [pa.large_list(pa.int64()), pa.list_(pa.int64(), 2)], ids=str)
def test_lists_of_files_may_be_of_other_kinds(parquet, tmp_path, other):
    parquet("a.parquet", v=pa.array([[1, 2]], pa.list_(pa.float64())))
    parquet("b.parquet", v=pa.array([[3, 4]], other))
    assert read_one(tmp_path, name="v") == [[1.0, 2.0], [3.0, 4.0]]


@KINDS.row("a column of type null")
def test_a_column_of_type_null_is_missing(parquet):
    path = parquet(x=pa.nulls(2), y=[1, 2])
    assert read_one(path) == [None, None]
    assert read_one(path, FLOAT) == [None, None]
    assert fed_by(pa.nulls(2), NUMBER)[2] == dict.fromkeys([0, 1], "feature 'x' is missing")


@KINDS.row("a field of a struct")
def test_a_field_of_a_struct_can_be_named(parquet):
    structs = [{"n": 1, "t": {"u": "a"}}, None, {"n": 3, "t": None}]
    path = parquet(**{"x": pa.array(structs), "x.n": ["own", "name", "first"]})
    assert read(path, {"x.t.u": TEXT, "x.n": KEPT, "x": KEPT}) == [
        ("a", "own", structs[0]),
        (None, "name", None),
        (None, "first", structs[2]),
    ]
    assert read_one(parquet(x=pa.array(structs)), name="x.n") == [1, None, 3]


@KINDS.row("a struct of bytes and path, as Hugging Face has it")
def test_a_struct_of_bytes_and_path_is_the_file_that_it_is():
    column = pa.array([{"bytes": b"\xff", "path": "p/1.png"}, {"bytes": None, "path": None}, None])
    for info in (IMAGE, STRING):
        made, fed, reasons = fed_by(column, info)
        assert (fed.to_pylist(), made.reads_files) == ([b"\xff", None, None], False)
        assert list(reasons) == [1, 2]
        made, fed, _ = fed_by(column, info, image_source="path")
        assert (fed.to_pylist(), made.reads_files) == (["p/1.png", None, None], True)
    with pytest.raises(ConfigError, match="holds struct"):
        fed_by(column, NUMBER)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1234567891, None], pa.timestamp("ns", "UTC")),
        pa.array([datetime.date(2020, 1, 1), None]),
        pa.array([5, None], pa.duration("s")),
        pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        pa.array([{"a": [1]}, None]),
    ],
    ids=lambda column: str(column.type),
)
@KINDS.row("a timestamp, date, duration, map, struct")
def test_what_is_no_number_is_kept_and_cannot_be_fed(parquet, column):
    assert read_one(parquet(x=column)) == column.to_pylist()
    for info in (NUMBER, STRING):
        with pytest.raises(ConfigError, match="cannot take"):
            fed_by(column, info)


@KINDS.row("a decimal")
def test_a_decimal_is_kept_and_feeds_its_number(parquet):
    column = pa.array([decimal.Decimal("1.25"), None, decimal.Decimal("7.00")])
    assert read_one(parquet(x=column), FLOAT | KEPT) == column.to_pylist()
    _, fed, reasons = fed_by(column, NUMBER)
    assert (fed.to_pylist(), list(reasons)) == ([1.25, None, 7.0], [1])
    _, fed, reasons = fed_by(column, TensorInfo("int32", (None,)))
    assert (fed.to_pylist(), list(reasons)) == ([None, None, 7], [0, 1])
    with pytest.raises(ConfigError, match="holds decimal128"):
        fed_by(column, STRING)


@KINDS.row("an integer beyond what the input takes")
def test_an_integer_beyond_the_input_is_rejected():
    column = pa.array([1, 1 << 63], pa.uint64())
    assert "int64 cannot hold" in fed_by(column, TensorInfo("int64", (None,)))[2][1]
    assert fed_by(column, TensorInfo("uint64", (None,)))[2] == {}


@KINDS.row("a string that is not UTF-8")
def test_a_string_that_is_not_utf_8_is_rejected_at_any_depth(parquet):
    offsets = pa.array([0, 1, 2, 3, 4], pa.int32())
    columns = {
        "text": BAD_TEXT,
        "list": pa.ListArray.from_arrays(offsets, BAD_TEXT),
        "struct": pa.StructArray.from_arrays([BAD_TEXT], ["t"]),
        "map": pa.MapArray.from_arrays(offsets, pa.array(list("abcd")), BAD_TEXT),
    }
    path = parquet(n=[1, 2, 3, 4], **columns)
    for name, column in columns.items():
        rows = read(path, {name: KEPT, "n": KEPT})
        assert rows[1] == f"column {name!r}: a string that is not valid UTF-8"
        assert [row[1] for row in rows if not isinstance(row, str)] == [1, 3, 4]
        assert invalid_text(column) == [1]
        assert invalid_text(column.slice(1)) == [0]
        assert invalid_text(column.slice(2)) == []
    assert read_one(path, TEXT, "text")[1].endswith("is not valid UTF-8")
    assert read_one(path, BYTES, "text") == [b"a", b"\xff", None, b"d"]
    assert read_one(path, BYTES | KEPT, "text")[1].endswith("is not valid UTF-8")
    assert sorted(fed_by(BAD_TEXT, STRING)[2]) == [1, 2]


@KINDS.row("binary that feeds a string input")
def test_a_column_of_bytes_feeds_a_string_input_as_it_is():
    for given in (pa.binary(), pa.large_binary(), pa.list_(pa.binary())):
        value = [b"\xff"] if pa.types.is_list(given) else b"\xff"
        assert fed_by(pa.array([value], given), STRING)[2] == {}


@KINDS.row("two columns of one name")
def test_two_columns_of_one_name_matter_to_who_needs_them(tmp_path):
    columns = [pa.array([1]), pa.array([2]), pa.array(["a"])]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays(columns, ["x", "x", "y"]), path)
    assert read_one(path, name="y") == ["a"]
    with pytest.raises(InputError, match=r"a\.parquet has two columns 'x'"):
        read_one(path)


@KINDS.row("an integer that float64 does not hold, in files that disagree")
def test_a_value_that_the_common_type_does_not_hold_is_rejected_alone(parquet, tmp_path):
    parquet("a.parquet", x=pa.array([1, (1 << 53) + 1, None, 3]))
    parquet("b.parquet", x=pa.array([0.5]))
    one, reason, *others = read_one(tmp_path)
    assert (one, others) == (1.0, [None, 3.0, 0.5])
    assert f"column 'x': Integer value {(1 << 53) + 1} not in range" in reason


@KINDS.row("numbers in one file, strings in another")
def test_files_that_disagree_are_one_error(parquet, tmp_path):
    parquet("a.parquet", x=[1], y=[1])
    parquet("b.parquet", x=["a"], y=[2])
    with pytest.raises(
        InputError, match=r"a\.parquet has int64 in 'x', but .*b\.parquet has string"
    ):
        read_one(tmp_path, TEXT)
    assert read_one(tmp_path, name="y") == [1, 2]


def test_structs_of_files_may_differ_in_what_one_lacks(parquet, tmp_path):
    parquet("a.parquet", x=pa.array([{"bytes": b"a", "path": None}]))
    parquet("b.parquet", x=pa.array([{"bytes": b"b", "path": "p"}]))
    assert read_one(tmp_path) == [{"bytes": b"a", "path": None}, {"bytes": b"b", "path": "p"}]
    assert read_one(tmp_path, name="x.path") == [None, "p"]
