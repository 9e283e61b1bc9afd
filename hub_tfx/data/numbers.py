"""Numbers that are written as text."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_MAX_EXACT_INTEGER = 1 << 53  # Of float64.
_PLAIN_FLOAT = r"^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$"
_INTEGER = re.compile(r"(0|-?[1-9]\d{0,17})$", re.ASCII)
_FLOAT = re.compile(_PLAIN_FLOAT, re.ASCII)
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_PLAIN_INTEGER = r"^(0|-?[1-9]\d{0,18})$"
_SHORT_INTEGER = r"^-?0*\d{1,18}$"


def type_as_written(texts: Iterable[str]) -> pa.DataType:
    """A number type only where every number stays as it is written: 00123, 1.10, 1e400 are text.

    Empty texts are missing values; of nothing else, the type is null.
    """
    given = [text for text in texts if text]
    if not given:
        return pa.null()
    if all(_INTEGER.match(text) for text in given):
        return pa.int64()
    return pa.float64() if all(map(_is_exact_float, given)) else pa.string()


def read_as_written(texts: pa.Array, number_type: pa.DataType) -> pa.Array:
    """Texts as numbers from which they can be had back.

    Args:
      texts: of type string.
      number_type: int64 or float64.

    Returns:
      Numbers, null for texts that are none of this type, or that their number is not written as.
    """
    is_float = pa.types.is_floating(number_type)
    try:
        numbers = texts.cast(number_type)  # Of 0x1F, too: whether it is the same is looked at.
    except pa.ArrowInvalid:
        is_number = pc.match_substring_regex(texts, _PLAIN_FLOAT if is_float else _PLAIN_INTEGER)
        numbers = _cast(_only(is_number, texts), number_type)
    is_same = pc.and_(pc.equal(numbers.cast(pa.string()), texts), pc.is_finite(numbers))
    if is_float and not pc.all(is_same).as_py():  # Arrow and Python write some of them otherwise.
        is_same = pa.array(
            [text is not None and _is_exact_float(text) for text in texts.to_pylist()]
        )
    return pc.if_else(is_same, numbers, pa.scalar(None, number_type))


def read_numbers(texts: pa.Array, number_type: pa.DataType) -> pa.Array:
    """Texts as the numbers that they are, however written: 1.50, +7, 007, 1e3, with spaces around.

    Args:
      texts: of type string, or decimals.
      number_type: float64, an integer type, or bool, which takes true and false as well.

    Returns:
      Numbers, null for texts that are none, or that the type cannot hold. A float is the nearest
      one; infinity, NaN, hexadecimal and decimal commas are none.
    """
    if pa.types.is_decimal(texts.type):
        return _read_decimals(texts, number_type)
    if pa.types.is_floating(number_type):
        return _read_floats(texts)
    trimmed = pc.utf8_trim_whitespace(texts)
    if pa.types.is_boolean(number_type):
        is_bool = pc.match_substring_regex(trimmed, "(?i)^(true|false|0|1)$")
        return _only(is_bool, trimmed).cast(number_type)
    plain = _plain(trimmed)
    is_short = pc.match_substring_regex(plain, _SHORT_INTEGER)
    if number_type == pa.int64() and pc.all(is_short).as_py() is not False:
        return plain.cast(number_type)
    return pa.array([_whole(text, number_type) for text in plain.to_pylist()], number_type)


def _read_floats(texts: pa.Array) -> pa.Array:
    try:
        numbers = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        numbers = _plain(pc.utf8_trim_whitespace(texts)).cast(pa.float64())
    return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))


def _plain(texts: pa.Array) -> pa.Array:
    """Texts that are decimal numbers, without a plus in front; null for others."""
    plain = _only(pc.match_substring_regex(texts, _NUMBER), texts)
    return pc.replace_substring_regex(plain, pattern=r"^\+", replacement="")


def _read_decimals(decimals: pa.Array, number_type: pa.DataType) -> pa.Array:
    if pa.types.is_floating(number_type):
        return decimals.cast(number_type)
    texts = (None if d is None else str(d) for d in decimals.to_pylist())
    return pa.array([_whole(text, number_type) for text in texts], number_type)


def _cast(texts: pa.Array, number_type: pa.DataType) -> pa.Array:
    try:
        return texts.cast(number_type)
    except pa.ArrowInvalid:  # An integer that is too large.
        return pa.array([_whole(text, number_type) for text in texts.to_pylist()], number_type)


def _only(is_wanted: pa.Array, texts: pa.Array) -> pa.Array:
    return pc.if_else(is_wanted, texts, pa.scalar(None, pa.string()))


def _whole(text: str | None, number_type: pa.DataType) -> int | None:
    """A whole number that is written in any way: 1.0 and 1e3 are."""
    if text is None:
        return None
    limits: Any = np.iinfo(number_type.to_pandas_dtype())
    if not limits.min - 1 <= float(text) <= limits.max + 1:  # A Decimal of 1e999999999 is no help.
        return None
    try:
        number = Decimal(text)
    except ArithmeticError:  # An exponent beyond any.
        return None
    is_whole = number == number.to_integral_value()
    return int(number) if is_whole and limits.min <= number <= limits.max else None


def _is_exact_float(text: str) -> bool:
    if _INTEGER.match(text):
        return abs(int(text)) <= _MAX_EXACT_INTEGER
    return _FLOAT.match(text) is not None and repr(float(text)) == text
