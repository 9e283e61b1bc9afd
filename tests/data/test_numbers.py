"""Texts are the numbers that they are, or none."""

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.data.numbers import read_as_written, read_numbers, type_as_written

WRITTEN = st.one_of(
    st.integers(-(1 << 70), 1 << 70).map(str),
    st.floats().map(repr),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.text("0123456789+-.eExX_ ,nainf", max_size=12),
)


def is_plain(text):
    """Whether Python's float may read a text that is a plain decimal number."""
    return not set(text) & set("_xXnNiIfFaA") and "_" not in text


@given(WRITTEN)
def test_floats_are_those_of_python_or_none(text):
    (number,) = read_numbers(pa.array([text]), pa.float64()).to_pylist()
    try:
        expected = float(text) if is_plain(text) else None
    except ValueError:
        expected = None
    assert number == (expected if expected is not None and math.isfinite(expected) else None)


@given(WRITTEN)
def test_integers_are_whole_numbers_or_none(text):
    (number,) = read_numbers(pa.array([text]), pa.int64()).to_pylist()
    (as_float,) = read_numbers(pa.array([text]), pa.float64()).to_pylist()
    if number is not None:
        assert float(number) == as_float
    elif as_float is not None:
        assert not as_float.is_integer() or abs(as_float) >= (1 << 50)


@pytest.mark.parametrize(
    ("text", "given_type", "number"),
    [
        ("9223372036854775807", pa.int64(), (1 << 63) - 1),
        ("-9223372036854775808", pa.int64(), -(1 << 63)),
        ("9223372036854775808", pa.int64(), None),
        ("18446744073709551615", pa.uint64(), (1 << 64) - 1),
        ("-1", pa.uint64(), None),
        ("9007199254740993.0", pa.int64(), (1 << 53) + 1),
        ("1e-99999999999999999999", pa.int64(), None),
        ("0" * 30 + "7", pa.int64(), 7),
        ("\t7\n", pa.int64(), 7),
        ("True", pa.bool_(), True),
        ("yes", pa.bool_(), None),
        ("", pa.float64(), None),
        (None, pa.float64(), None),
    ],
)
def test_numbers_at_the_edges(text, given_type, number):
    assert read_numbers(pa.array([text], pa.string()), given_type).to_pylist() == [number]


@given(st.lists(WRITTEN | st.just(""), min_size=1, max_size=5))
def test_a_number_type_is_one_from_which_each_text_can_be_had_back(texts):
    found = type_as_written(texts)
    if pa.types.is_string(found) or pa.types.is_null(found):
        return
    numbers = read_as_written(pa.array([text or None for text in texts]), found).to_pylist()
    for number, text in zip(numbers, texts, strict=True):
        if text:
            assert text in (str(number), repr(number), str(int(number)))
        else:
            assert number is None


@given(WRITTEN, st.sampled_from([pa.int64(), pa.float64()]))
def test_a_text_is_read_as_written_or_refused(text, given_type):
    (number,) = read_as_written(pa.array([text]), given_type).to_pylist()
    if number is None:
        return
    assert math.isfinite(number)
    shortest = pa.array([number], given_type).cast(pa.string())[0].as_py()
    assert text in (str(number), repr(number), shortest, str(int(number)))
