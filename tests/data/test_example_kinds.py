"""What becomes of kept values: the table "Kept in tf.Example" of docs/inputs.md."""

import pyarrow as pa
import pytest
from kinds import Kinds

from hub_tfx.data.marks import mark_rejected, rejected_of
from hub_tfx.data.tf_example import example_type, reject_unheld, to_example_columns
from hub_tfx.errors import ConfigError

KINDS = Kinds("Kept in tf.Example")


def test_each_row_of_the_table_is_tested():
    KINDS.check_all_are_tested()


def batch(**columns):
    return pa.RecordBatch.from_pydict(columns)


@KINDS.row("float64")
def test_floats_are_rounded():
    held = reject_unheld(batch(x=[0.1, float("nan"), float("inf"), None]), ["x"])
    assert rejected_of(held) == {}
    rounded = to_example_columns(held).column(0).to_pylist()
    assert rounded[0] == [pytest.approx(0.1, rel=1e-7)]
    assert rounded[3] == []


@pytest.mark.parametrize(
    ("values", "given", "what"),
    [
        ([1.5, 1e39, None], pa.float64(), "a number beyond float32"),
        ([[1.5], [1.0, -1e39], None], pa.list_(pa.float64()), "a number beyond float32"),
        ([1, 1 << 63, None], pa.uint64(), "a value beyond int64"),
        ([[1], [1 << 63], []], pa.list_(pa.uint64()), "a value beyond int64"),
        ([["a"], ["b", None], None], pa.list_(pa.string()), "a null inside a list"),
        ([[1.5], [None, 1.5], []], pa.list_(pa.float64()), "a null inside a list"),
    ],
)
@KINDS.row("a number beyond float32, an integer beyond int64, a null in a list")
def test_a_value_that_it_cannot_hold_is_one_rejected_row(values, given, what):
    rows = batch(x=pa.array(values, given), n=[1, 2, 3])
    held = reject_unheld(mark_rejected(rows, {2: "unreadable"}), ["x", "n"])
    assert rejected_of(held) == {
        1: f"feature 'x' holds {what}, which tf.Example cannot hold",
        2: "unreadable",
    }
    assert held.column(0).to_pylist() == [values[0], None, values[2]]
    assert held.column(1).to_pylist() == [1, 2, 3]
    to_example_columns(held)
    assert rejected_of(reject_unheld(rows, ["n"])) == {}


@pytest.mark.parametrize(
    "given", [pa.list_(pa.list_(pa.int64())), pa.struct([("a", pa.int64())]), pa.timestamp("s")]
)
@KINDS.row("a list of lists, a struct, a timestamp")
def test_a_type_that_it_cannot_hold_is_an_error(given):
    with pytest.raises(ConfigError, match=r"'x' holds .*, which tf.Example cannot hold"):
        example_type(given, "x")
