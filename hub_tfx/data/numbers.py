"""Numbers that are written as text."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_MAX_EXACT_INTEGER = 1 << 53  # Of float64.
_INTEGER = re.compile(r"(0|-?[1-9]\d{0,17})$", re.ASCII)
_FLOAT = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$", re.ASCII)
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
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
      texts: of type string; null stays null.
      number_type: int64 or float64.

    Raises:
      ValueError: a text is no number of this type, or another one than its number is written as.
    """
    try:
        numbers = texts.cast(number_type)
    except pa.ArrowInvalid as error:
        raise ValueError(_not_as_written(texts, number_type)) from error
    is_same = pc.fill_null(pc.equal(numbers.cast(pa.string()), texts), True)
    others = texts.filter(pc.invert(is_same))
    is_float = pa.types.is_floating(number_type)  # Of which Arrow and Python write some otherwise.
    if len(others) and not (is_float and all(map(_is_exact_float, others.to_pylist()))):
        raise ValueError(_not_as_written(others, number_type))
    return numbers


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
    trimmed = pc.utf8_trim_whitespace(texts)
    if pa.types.is_boolean(number_type):
        is_bool = pc.match_substring_regex(trimmed, "(?i)^(true|false|0|1)$")
        return _only(is_bool, trimmed).cast(number_type)
    plain = _only(pc.match_substring_regex(trimmed, _NUMBER), trimmed)
    plain = pc.replace_substring_regex(plain, pattern=r"^\+", replacement="")
    if pa.types.is_floating(number_type):
        numbers = plain.cast(pa.float64())
        is_finite = np.isfinite(numbers.to_numpy(zero_copy_only=False))
        return pc.if_else(pa.array(is_finite), numbers, pa.scalar(None, pa.float64()))
    is_short = pc.match_substring_regex(plain, _SHORT_INTEGER)
    if number_type == pa.int64() and pc.all(is_short).as_py() is not False:
        return plain.cast(number_type)
    return pa.array([_whole(text, number_type) for text in plain.to_pylist()], number_type)


def _read_decimals(decimals: pa.Array, number_type: pa.DataType) -> pa.Array:
    if pa.types.is_floating(number_type):
        return decimals.cast(number_type)
    texts = (None if d is None else str(d) for d in decimals.to_pylist())
    return pa.array([_whole(text, number_type) for text in texts], number_type)


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


def _not_as_written(texts: pa.Array, number_type: pa.DataType) -> str:
    """Of the first text that is at fault, which in a batch of one row is the only one."""
    first = next((text for text in texts.to_pylist() if text is not None), "")
    quoted = first if len(first) <= 40 else f"{first[:40]}…"
    return f"{quoted!r} is not written as {number_type} is, which its first values are"
