"""What becomes of JSON lines: the table "JSON lines" of docs/inputs.md."""

import json

import numpy as np
import pytest
from ending import must_end
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kinds import FLOAT, FLOATS, INTEGER, KEPT, TEXT, Kinds, read, read_one

from hub_tfx.data import uses
from hub_tfx.errors import InputError

KINDS = Kinds("JSON lines")


def test_each_row_of_the_table_is_tested():
    KINDS.check_all_are_tested()


@pytest.fixture
def jsonl(tmp_path):
    """Writes a file of lines, or of records."""

    def write(lines, name="a.jsonl"):
        text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def column(jsonl, values, use=KEPT):
    """What becomes of values of the key ``x``."""
    return read_one(jsonl([{"x": value} for value in values]), use)


def is_rejected(row):
    return isinstance(row, str) and row.startswith("feature 'x': ")


@KINDS.row("broken JSON, no object")
def test_lines_that_are_no_objects_are_rejected_alone(jsonl):
    deep = "[" * 100_000
    rows = read_one(jsonl(['{"x": 1', "[3]", '"x"', deep, '{"x": 1}', '{"x": 1} {}']))
    assert rows[4] == 1
    assert rows[1] == "not a JSON object but list"
    assert all("broken JSON" in rows[n] for n in (0, 3, 5))


@KINDS.row("an empty line")
def test_an_empty_line_is_no_record(jsonl):
    assert read_one(jsonl(["", '{"x": 1}', " \t ", '{"x": 2}', "", ""])) == [1, 2]


@pytest.mark.parametrize(
    "lines", [['[{"x": 1}, {"x": 2}]'], ["[", '{"x": 1},', '{"x": 2}]'], ["{", '"x": 1', "}"]]
)
@KINDS.row("an array, objects over several lines")
def test_other_json_is_an_error_that_says_how_to_make_lines_of_it(jsonl, lines):
    with pytest.raises(InputError, match=r"a\.json is JSON, not JSON lines: .*jq -c"):
        read_one(jsonl(lines, "a.json"))


@KINDS.row("null, a key that a record lacks")
def test_a_key_is_looked_for_behind_the_first_records(jsonl):
    assert read_one(jsonl([{"x": 1}, {"x": None}, {}])) == [1, None, None]
    late = jsonl([{"y": 1}] * 1200 + [{"x": 1.5}])
    assert read_one(late) == [None] * 1200 + [1.5]
    assert read_one(jsonl([{"x": None}] * 1200 + [{"x": [1]}]), FLOATS)[-1] == [1.0]
    assert column(jsonl, [None] * 3, FLOAT) == [None] * 3


@pytest.mark.parametrize("empty", [[], None])
@pytest.mark.parametrize("late", [["x"], [1], [1.5], [{"a": 1}], [["x"], []]])
@KINDS.row("an empty list or object")
def test_empty_lists_say_nothing_of_a_type(jsonl, empty, late):
    assert column(jsonl, [empty] * 1200 + [late]) == [empty] * 1200 + [late]


def test_empty_objects_say_nothing_of_a_type(jsonl):
    values = [{}] * 1200 + [{"a": 1}] + [{"b": None}] * 1200 + [{"b": ["x"]}]
    rows = column(jsonl, values)
    assert rows[0] == {"a": None, "b": None}
    assert rows[1200] == {"a": 1, "b": None}
    assert rows[-1] == {"a": None, "b": ["x"]}
    assert column(jsonl, [{"a": {}, "b": []}]) == [{"a": {}, "b": []}]


def test_looking_further_ends_somewhere(jsonl, monkeypatch):
    monkeypatch.setattr(uses, "_MAX_LOOKED_THROUGH_BYTES", 10_000)
    rows = column(jsonl, [[]] * 4000 + [["x"], [1]])
    assert rows[-2] == ["x"]
    assert is_rejected(rows[-1])


MOSTLY = [
    (["hello", "bye"], [42, 1.5, True, float("nan"), ["x"], {"a": 1}]),
    ([1, 2], ["x", "1", True, [1], {"a": 1}, 1 << 64]),
    ([1.5, 2.5], ["x", True, [1.5], {"a": 1}]),
    ([True, False], [1, 0.5, "true", [True]]),
    ([["a"], ["b", "c"]], ["abc", "", 1, [1], {"a": 1}]),
    ([[1, 2], [3]], ["", 1, ["x"], [True], [[1]]]),
    ([[1.5], [2.5]], ["", 1.5, ["x"], [True], [[1.5]]]),
    ([{"a": 1}, {"a": 2}], ["x", 1, [], [{"a": 1}], {"a": "x"}, {"a": True}]),
    ([{"a": 1.5}, {"a": 2.5}], [{"a": True}, {"a": "x"}]),
]


@pytest.mark.parametrize("place", [0, 1, 1500])
@pytest.mark.parametrize(("usual", "odd"), [(u, o) for u, odds in MOSTLY for o in odds])
@KINDS.row("a value of another type than most")
def test_an_odd_value_is_one_rejected_row_wherever_it_stands(jsonl, usual, odd, place):
    values = usual * 800
    values.insert(place, odd)
    rows = column(jsonl, values)
    assert is_rejected(rows.pop(place))
    assert rows == usual * 800


@KINDS.row("types that files or records do not agree on, in a column that is fed")
def test_the_use_decides_between_types(jsonl, tmp_path):
    values = [1] * 5 + ["a"] * 2
    assert column(jsonl, values)[-2:] != ["a", "a"]
    assert column(jsonl, values, TEXT)[-2:] == ["a", "a"]
    assert column(jsonl, ["a"] * 5 + [1.5], FLOAT)[-1] == 1.5
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"x": 1}\n{"x": 2}\n')
    (folder / "b.jsonl").write_text('{"x": "a"}\n')
    assert read_one(folder, TEXT)[-1] == "a"
    assert read_one(folder, FLOAT)[:2] == [1.0, 2.0]
    with pytest.raises(InputError, match=r"a\.jsonl has int64 in 'x', but .*b\.jsonl has string"):
        read_one(folder)


@KINDS.row("NaN, Infinity")
def test_nan_and_infinity_are_numbers(jsonl):
    np.testing.assert_array_equal(
        column(jsonl, [1.5, float("nan"), float("-inf")]), [1.5, np.nan, -np.inf]
    )


@pytest.mark.parametrize("text", ["cut \\ud83d", "\\udc00", "a\\ud800b"])
@pytest.mark.parametrize("place", [0, 1200])
@KINDS.row('half a character (`"\\ud83d"`)')
def test_half_a_character_is_one_rejected_row(jsonl, text, place):
    lines = ['{"x": "a", "y": 1}'] * 1200
    lines.insert(place, f'{{"x": "{text}", "y": 2}}')
    rows = read_one(jsonl(lines), TEXT)
    assert "holds half a character" in rows.pop(place)
    rows[0].encode()
    assert set(rows) == {"a"}
    assert read_one(jsonl(lines), name="y")[place] == 2


def test_half_a_character_in_a_key_hides_no_other_key(jsonl):
    assert read_one(jsonl(['{"\\ud800": 1, "x": 1, "s": {"\\ud800": 1}}'])) == [1]
    (reason,) = read_one(jsonl(['{"s": {"\\ud800": 1, "a": 2}}']), name="s")
    assert reason.startswith("feature 's': ")


@KINDS.row("integers and fractions")
def test_integers_and_fractions_are_numbers(jsonl):
    assert column(jsonl, [1, 2.5]) == [1.0, 2.5]
    assert column(jsonl, [1] * 1200 + [2.5], FLOAT) == [1.0] * 1200 + [2.5]
    assert column(jsonl, [[1]] * 1200 + [[2.5]], FLOATS)[-1] == [2.5]
    assert column(jsonl, [1, 2.0], INTEGER) == [1, 2]
    wide = (1 << 53) + 1
    assert column(jsonl, [wide, 1, 2.5])[:2] == [wide, 1]


@KINDS.row("a fraction among later integers")
def test_a_fraction_among_integers_is_not_cut(jsonl):
    for usual, late in ((1, 2.5), ([1], [2.5]), ({"a": 1}, {"a": 2.5})):
        assert is_rejected(column(jsonl, [usual] * 1000 + [late])[-1])
    one, reason = column(jsonl, [1, 2.5], INTEGER)
    assert one == 1
    assert is_rejected(reason)


@KINDS.row("an integer beyond int64")
def test_wide_integers_are_kept_as_they_are_or_rejected(jsonl):
    assert column(jsonl, [1, (1 << 64) - 1]) == [1, (1 << 64) - 1]
    one, wide, two = column(jsonl, [-1, 1 << 63, 2])
    assert (one, two) == (-1, 2)
    assert is_rejected(wide)
    assert is_rejected(column(jsonl, [1, 1 << 64])[1])
    assert column(jsonl, [1, 1 << 70], FLOAT) == [1.0, float(1 << 70)]
    assert is_rejected(column(jsonl, [1.5, (1 << 53) + 1, 2.5, 3.5])[1])


@KINDS.row("a number in quotes")
def test_a_number_in_quotes_is_a_text(jsonl):
    assert column(jsonl, ["1.5", "2"], FLOAT) == ["1.5", "2"]
    assert is_rejected(column(jsonl, [1.5, "2", 3], FLOAT)[1])


@KINDS.row("a field of an object")
def test_a_field_of_an_object_can_be_named(jsonl):
    records = [{"a": {"x": n, "b": {"c": "t"}}} for n in range(3)] + [{"a": None}, {}]
    path = jsonl(records)
    assert read(path, {"a.x": KEPT, "a.b.c": TEXT})[1:] == [
        (1, "t"),
        (2, "t"),
        (None, None),
        (None, None),
    ]
    (*_, reason) = read_one(jsonl([*records, {"a": "oops"}]), name="a.x")
    assert "feature 'a': an object is expected, not 'oops'" in reason
    assert read_one(jsonl([{"a.x": 1, "a": {"x": 2}}, {"a": {"x": 3}}]), name="a.x") == [1, 3]


@KINDS.row("a key that first objects do not have")
def test_an_object_keeps_all_its_keys_or_is_rejected(jsonl):
    rows = column(jsonl, [{"a": 1}] * 1000 + [{"a": 1, "b": 2}, {}])
    assert is_rejected(rows[1000])
    assert rows[1001] == {"a": None}


@KINDS.row("a key twice in an object")
def test_of_two_values_of_a_key_the_last_counts(jsonl):
    assert read_one(jsonl(['{"x": 1, "x": 2}'])) == [2]


def test_a_huge_value_takes_no_time_and_is_quoted_to_a_length(jsonl):
    with must_end():
        rows = column(jsonl, [1, "{{" * (1 << 17), "[[" * (1 << 17), 2])
    assert (rows[0], rows[3]) == (1, 2)
    assert all(len(reason) < 200 for reason in rows[1:3])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=5,
)


def is_same(read, written):
    """Whether what was read is what was written: of the same kind, missing keys as null."""
    if isinstance(read, dict) and isinstance(written, dict):
        return written.keys() <= read.keys() and all(
            is_same(value, written.get(key)) for key, value in read.items()
        )
    if isinstance(read, list) and isinstance(written, list):
        return len(read) == len(written) and all(map(is_same, read, written))
    if isinstance(read, bool) or isinstance(written, bool):
        return read is written
    return read == written or (read != read and written != written)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, min_size=1, max_size=6))
def test_any_values_come_back_as_they_are_or_are_rejected(tmp_path, values):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"x": value}) + "\n" for value in values))
    rows = read(path, {"x": KEPT})
    assert len(rows) == len(values)
    for row, value in zip(rows, values, strict=True):
        assert isinstance(row, str) or is_same(row[0], value)
