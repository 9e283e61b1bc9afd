"""What becomes of CSV files: the table "CSV" of docs/inputs.md."""

import pytest
from ending import must_end
from kinds import BOOL, BYTES, FLOAT, INTEGER, KEPT, TEXT, Kinds, read, read_one

from hub_tfx.data.readers import READERS, delimited
from hub_tfx.errors import InputError

KINDS = Kinds("CSV")


def test_each_row_of_the_table_is_tested():
    KINDS.check_all_are_tested()


@pytest.fixture
def csv(tmp_path):
    """Writes a CSV file."""

    def write(content, name="a.csv"):
        content = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


def column(csv, values, use):
    """What becomes of values in a column ``x``, beside which another one is."""
    return read_one(csv("x,y\n" + "".join(f"{value},1\n" for value in values)), use)


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@KINDS.row("a delimiter")
def test_the_header_tells_what_is_between_values(csv, delimiter):
    path = csv(delimiter.join("xy") + "\n" + delimiter.join(["a: 1.5", "b"]) + "\n")
    assert read(path, {"y": KEPT, "x": KEPT}) == [("b", "a: 1.5")]


def test_values_of_one_column_are_not_cut_where_the_name_says_tabs(csv):
    assert read_one(csv("x\none, two; three\n", "a.tsv")) == ["one, two; three"]
    assert read_one(csv("x\ty\none, two\t1\n", "a.TAB")) == ["one, two"]


def test_a_comma_in_the_header_goes_before_other_delimiters(csv):
    assert read_one(csv("x,y;z\na,b\n")) == ["a"]


@KINDS.row("quotes, line breaks in quotes")
def test_quoted_values_may_hold_anything(csv):
    path = csv('"x","y ""z"""\n"a,""b""\r\nc",1\n')
    assert read(path, {"x": KEPT, 'y "z"': KEPT}) == [('a,"b"\r\nc', 1)]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfx,y\na,1\n",
        "x,y\na,1\n".encode("utf-16"),
        b"x,y\r\na,1\r\n",
        b'\xef\xbb\xbf"x",y\na,1',
    ],
)
@KINDS.row("a byte order mark, UTF-16, Windows line ends")
def test_it_may_come_from_a_spreadsheet(csv, content):
    assert read(csv(content), {"x": KEPT, "y": KEPT}) == [("a", 1)]


@KINDS.row("an empty line, before the header or between records")
def test_an_empty_line_is_no_record(csv):
    assert read_one(csv("\n\nx,y\na,1\n\nb,2\n\n")) == ["a", "b"]


@KINDS.row("two columns of one name")
def test_two_columns_of_one_name_matter_to_who_needs_them(csv):
    path = csv("x,y,y\na,1,2\n")
    assert read_one(path) == ["a"]
    with pytest.raises(InputError, match=r"a\.csv: two columns of the header are 'y'"):
        read_one(path, name="y")


@KINDS.row("a comma at the end of the header")
def test_columns_without_a_name_do_not_matter(csv):
    assert read_one(csv("x,y,\na,1,\n")) == ["a"]
    assert read_one(csv(",x,,\n0,a,,\n")) == ["a"]


@KINDS.row("a header that is not UTF-8")
def test_a_header_that_is_not_utf_8_can_be_asked_for(csv):
    path = csv(b"x,pr\xe9nom\na,1\n")
    assert read(path, {"x": KEPT, "pr\\xe9nom": KEPT}) == [("a", 1)]


@KINDS.row("a record with too few or too many fields")
def test_a_record_of_another_width_is_rejected_alone(csv):
    one, few, many, two = read_one(csv("x,y\na,1\nb\nc,1,2\nd,2\n"))
    assert (one, two) == ("a", "d")
    assert "1 fields, the header has 2" in few
    assert "3 fields, the header has 2" in many


@KINDS.row("a stray quote, a NUL")
def test_a_line_that_cannot_be_read_costs_no_other(csv):
    one, quote, two, nul, three = read_one(csv('x,y\na,1\nb,"2\nc,3\nd\0,4\ne,5\n'))
    assert (one, two, three) == ("a", "c", "e")
    assert "broken CSV at line 3" in quote
    assert "broken CSV at line 5: line contains NUL" in nul


@KINDS.row("a value that is not UTF-8")
def test_a_value_that_is_not_utf_8_is_rejected_where_it_is_needed(csv):
    path = csv(b"x,y\ncaf\xe9,1\nb,2\n")
    assert read_one(path, name="y") == [1, 2]
    assert read_one(path) == ["column 'x' is not valid UTF-8", "b"]
    assert read_one(path, BYTES) == [b"caf\xe9", b"b"]


@KINDS.row("a column that feeds a string input")
def test_what_feeds_a_string_input_is_text_as_it_is_written(csv):
    values = ["1", "00501", "1.50", "TRUE", "", " 7 ", "nan"]
    assert column(csv, values, TEXT) == values
    assert column(csv, ["1", "2"], TEXT | KEPT) == ["1", "2"]


@KINDS.row("a column that feeds numbers")
def test_what_feeds_numbers_is_a_number_however_it_is_written(csv):
    values = ["1.50", "+7", "007", "1e5", " 7 ", "-0", ".5", "9007199254740993"]
    floats = [1.5, 7.0, 7.0, 1e5, 7.0, 0.0, 0.5, 9007199254740992.0]
    assert column(csv, values, FLOAT) == floats
    assert column(csv, ["1", "1.0", "1e3", "-7", "007"], INTEGER) == [1, 1, 1000, -7, 7]
    assert column(csv, ["1", "FALSE", "true", "0"], BOOL) == [True, False, True, False]
    assert column(csv, ["1"] * 1200 + ["2.50"], FLOAT)[-1] == 2.5


@pytest.mark.parametrize(
    ("value", "use"),
    [(v, FLOAT) for v in ("N/A", "nan", "inf", "0x1F", "1_0", "1 000", "1e400", "--1")]
    + [(v, INTEGER) for v in ("1.5", "9223372036854775808", "1e99999", "1e-99999999999999999999")]
    + [("yes", BOOL), ("2", BOOL)],
)
@pytest.mark.parametrize("place", [0, 1, 1200])
def test_what_is_no_number_is_rejected_wherever_it_stands(csv, value, use, place):
    values = ["1"] * 1201
    values[place] = value
    rows = column(csv, values, use)
    assert rows.pop(place) == f"column 'x': '{value}' cannot be read as {use.value_type}"
    assert set(rows) == {1}


@KINDS.row("no number where one is fed")
def test_a_decimal_comma_makes_no_number(csv):
    first, reason = read_one(csv("x;y\n1.5;1\n1,5;2\n"), FLOAT)
    assert first == 1.5
    assert "'1,5' cannot be read" in reason


def test_a_column_without_a_number_is_left_to_who_it_feeds_to_refuse(csv):
    assert column(csv, ["a", "b"], FLOAT) == ["a", "b"]
    assert column(csv, ["1.5", "2.5"], INTEGER) == [1.5, 2.5]
    assert column(csv, ["", ""], FLOAT) == [None, None]


@pytest.mark.parametrize(
    ("value", "read_as"),
    [("7", 7), ("-7", -7), ("0", 0), ("1.5", 1.5), ("123456789012345678", 123456789012345678)]
    + [(text, text) for text in ("00501", "1.50", "0x1F", "TRUE", "1e5", " 7", "+7", "-0", "nan")]
    + [(text, text) for text in ("1234567890123456789", "1e400", ".5", "1.0000000000000000001")],
)
@KINDS.row("a column that is kept")
def test_what_is_kept_is_a_number_only_if_it_is_written_as_one(csv, value, read_as):
    assert column(csv, [value], KEPT) == [read_as]


@pytest.mark.parametrize("first", ["10001", "1.25"])
@pytest.mark.parametrize(
    "value", ["00501", "0x1F", "1.50", "TRUE", "1e5", " 7 ", "many", "+2", "nan"]
)
@KINDS.row("a later value that is written otherwise")
def test_a_later_value_that_is_written_otherwise_is_rejected(csv, first, value):
    rows = column(csv, [first] * 1000 + [value, first], KEPT)
    reason = rows.pop(1000)
    assert f"column 'x': '{value}' is not written the way" in reason
    assert set(rows) == {float(first)}


def test_later_floats_that_are_written_as_python_or_arrow_write_them_are_kept(csv):
    values = ["2", "2.0", "1e-07", "1e+16", "100000.0", "0.1", "-12345.678"]
    rows = column(csv, ["1.5"] * 1000 + values, KEPT)
    assert rows[1000:] == [float(value) for value in values]


@KINDS.row("a column that is fed and kept")
def test_a_column_that_is_fed_and_kept_is_kept_as_it_is_written(csv):
    assert column(csv, ["1", "2"], FLOAT | KEPT) == [1, 2]
    assert column(csv, ["1.50", "2"], FLOAT | KEPT) == ["1.50", "2"]
    assert column(csv, ["a", "b"], FLOAT | KEPT) == ["a", "b"]
    assert "'2.50' is not written" in column(csv, ["1"] * 1000 + ["2.50"], FLOAT | KEPT)[-1]


@KINDS.row("an empty value")
def test_an_empty_value_is_missing_in_numbers_only(csv):
    assert column(csv, ["1", ""], KEPT) == [1, None]
    assert column(csv, ["a", ""], KEPT) == ["a", ""]
    assert column(csv, ["1", ""], TEXT) == ["1", ""]
    assert column(csv, ["1", ""], FLOAT) == [1.0, None]


@KINDS.row("a huge value")
def test_a_huge_value_takes_no_time_and_is_quoted_to_a_length(csv, monkeypatch):
    huge = "{{" * (1 << 17)
    with must_end():
        rows = column(csv, ["1"] * 1000 + [huge, "[[" * (1 << 17), "1" * (1 << 18)], FLOAT)
    assert all(len(reason) < 600 for reason in rows[1000:])
    monkeypatch.setattr(delimited, "_MAX_FIELD_CHARS", 1000)
    one, reason, two = column(csv, ["a", huge, "b"], KEPT)
    assert (one, two) == ("a", "b")
    assert "field larger than field limit" in reason


def test_a_file_with_a_header_only_has_columns_and_no_rows(csv):
    path = csv("x,y\n")
    assert READERS["csv"].infer_schema(str(path)).names == ["x", "y"]
    assert read_one(path) == []


def test_the_first_records_may_be_broken(csv):
    rows = read_one(csv("x,y\n" + "oops\n" * 1500 + "7,1\n"))
    assert rows[-1] == 7
    assert len(rows) == 1501
