"""JSON lines, and what types the values of JSON have."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import pyarrow as pa

from hub_tfx._text import quoted
from hub_tfx.data import fields
from hub_tfx.data.arrow import is_list, leaf_type, paths_of
from hub_tfx.data.isolate import is_utf8_text
from hub_tfx.data.readers.base import BadRowsError, Rejected, build_batch, chunks, first_of
from hub_tfx.data.readers.streams import is_cut, lines_of
from hub_tfx.data.readers.text import too_long
from hub_tfx.errors import InputError

_LOOKED_THROUGH_ROWS = 1000
_SIMPLE_KEY = re.compile(r"[\w .-]*", re.ASCII)
_MAX_EXACT_INTEGER = 1 << 53  # Of float64.
_MAX_NAMES = 10_000
"""Names in the objects of one column, each of which has room for a value in every row."""
_NOT_AN_ARROW_ARRAY = (pa.ArrowException, OverflowError, UnicodeError)


class JsonLinesReader:
    """One JSON object a line; a key that a record lacks is null, and an empty line is no record.

    A name with dots is that of a field in an object, unless a record has it as a key.
    """

    def infer_schema(self, path: str) -> pa.Schema:
        sample = first_of(map(_object, _lines(path)))
        if not sample:
            _check_lines(path)
        return pa.schema([_field(name, values) for name, values in _values_by_name(sample)])

    def read(self, path: str, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
        may_change_bools = any(_has_floats_inside(field.type) for field in schema)
        for lines in chunks(_lines(path), batch_rows):
            may_hold_bools = may_change_bools and any(
                b"true" in line or b"false" in line for line in lines
            )

            def build(
                records: Sequence[dict[str, Any]], may_hold_bools: bool = may_hold_bools
            ) -> pa.RecordBatch:
                columns = [_column(records, field, may_hold_bools) for field in schema]
                return pa.RecordBatch.from_arrays(columns, schema=schema)

            yield build_batch([_object(line) for line in lines], schema, build)

    def types_further(
        self, path: str, names: Collection[str]
    ) -> Iterator[tuple[int, dict[str, list[pa.DataType]]]]:
        """The types that columns have in all of a file.

        Args:
          path: of the file.
          names: of the columns, which may become fewer on the way.

        Yields:
          How many bytes were read, and of each column ``types_of`` its values in them.
        """
        for lines in chunks(_lines(path), _LOOKED_THROUGH_ROWS):
            records = _records_with(lines, names)
            values = {n: [_value_or_none(record, n) for record in records] for n in names}
            types = {n: types_of(v) for n, v in values.items() if not _has_many_names(v)}
            yield sum(map(len, lines)), types


def _records_with(lines: Sequence[bytes], names: Collection[str]) -> list[dict[str, Any]]:
    """The objects in which one of the names may be, as their lines say before they are parsed."""
    keys = {key for name in names for key in (name, *(head for head, _ in paths_of(name)))}
    if all(map(_SIMPLE_KEY.fullmatch, keys)):  # Others may be written in several ways.
        marks = [json.dumps(key).encode() for key in keys]
        lines = [line for line in lines if any(mark in line for mark in marks)]
    return [record for record in map(_object, lines) if isinstance(record, dict)]


def _lines(path: str) -> Iterator[bytes]:
    return (line for line in lines_of(path) if not line.isspace())


def _check_lines(path: str) -> None:
    """Raises InputError where a file has its objects in an array, or over several lines."""
    first = next(_lines(path), b"").strip()
    try:
        values = json.loads(first) if first.startswith(b"[") else []
        is_other = any(isinstance(value, dict) for value in values) or first == b"{"
    except (ValueError, RecursionError):
        is_other = True
    if is_other:
        raise InputError(
            f"{path} is JSON, not JSON lines: write each object on a line of its own "
            "(with `jq -c .`, or `jq -c '.[]'` for those of an array)"
        )


def _object(line: bytes) -> dict[str, Any] | Rejected:
    if is_cut(line):
        return too_long(line)
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Rejected(f"broken JSON: {error}")
    if not isinstance(record, dict):
        return Rejected(f"not a JSON object but {type(record).__name__}")
    return record


# --- Types ----------------------------------------------------------------------------------------


def _field(name: str, values: Sequence[Any]) -> pa.Field:
    """The column that has these values in some records."""
    if _has_many_names(values):
        why = f"the objects of column {name!r} have more than {_MAX_NAMES:,} different names"
        return fields.unusable(pa.field(name, pa.null()), f"{why}: write them as text")
    types = types_of(values)
    return fields.with_others(pa.field(name, types[0]), types[1:])


def _has_many_names(values: Iterable[Any]) -> bool:
    """Whether objects in these values have so many names that no column should hold them."""
    names: set[str] = set()
    inner = [value for value in values if isinstance(value, list | dict) and value]
    while inner and len(names) <= _MAX_NAMES:
        value = inner.pop()
        if isinstance(value, dict):
            names.update(value)
            inner += [v for v in value.values() if isinstance(v, list | dict)]
        elif value and (value[0] is None or isinstance(value[0], list | dict)):
            inner += [v for v in value if isinstance(v, list | dict)]
    return len(names) > _MAX_NAMES


def types_of(values: Sequence[Any]) -> list[pa.DataType]:
    """The types that JSON values have, at least one, that of most of them first.

    Null says nothing of a type, an empty list nothing of its values, an empty object nothing of its
    keys; see ``arrow.is_open``.
    """
    try:
        given = pa.array(values).type
    except _NOT_AN_ARROW_ARRAY:
        return _types_by_kind(values)
    inner, depth = leaf_type(given)
    is_float = pa.types.is_floating(inner)
    if pa.types.is_struct(inner) or (is_float and _has_type(values, depth, bool)):
        return _types_by_kind(values)  # Arrow makes 1.0 of true where there are floats.
    if not is_float or not _has_type(values, depth, int):
        return [given]
    integers = pa.int64()
    for _ in range(depth):
        integers = pa.list_(integers)
    return [given, integers]


def _values_by_name(records: Iterable[dict[str, Any]]) -> Iterable[tuple[str, list[Any]]]:
    """The names in some objects, each with the values that it has in them.

    In one go, since each object may have names of its own: ids, say.
    """
    found: dict[str, list[Any]] = {}
    for record in records:
        for name, value in record.items():
            found.setdefault(name, []).append(value)
    return ((name, values) for name, values in found.items() if is_utf8_text(name))


def _types_by_kind(values: Sequence[Any]) -> list[pa.DataType]:
    kinds: dict[type, list[Any]] = {}
    for value in values:
        if value is not None:
            kinds.setdefault(float if type(value) is int else type(value), []).append(value)
    # An empty list or object counts only where there is nothing else.
    ranked = sorted(kinds.values(), key=lambda of_kind: -sum(v not in ([], {}) for v in of_kind))
    return [given for of_kind in ranked for given in _types_of_kind(of_kind)]


def _types_of_kind(values: Sequence[Any]) -> list[pa.DataType]:
    if isinstance(values[0], str):
        return [pa.string()]
    if isinstance(values[0], bool):
        return [pa.bool_()]
    if isinstance(values[0], list):
        return [pa.list_(given) for given in types_of(list(chain.from_iterable(values)))]
    if isinstance(values[0], dict):
        return [pa.struct([(n, types_of(inner)[0]) for n, inner in _values_by_name(values)])]
    fractions = sum(isinstance(value, float) for value in values)
    if fractions:
        integers = [value for value in values if type(value) is int]
        is_exact = all(abs(value) <= _MAX_EXACT_INTEGER for value in integers)
        types = [pa.float64(), pa.int64()] if integers else [pa.float64()]
        return types if is_exact or fractions >= len(integers) else types[::-1]
    is_wide = max(values) >= 1 << 63 and min(values) >= 0 and max(values) < 1 << 64
    return [pa.uint64() if is_wide else pa.int64()]


# --- Columns --------------------------------------------------------------------------------------


def _column(records: Sequence[dict[str, Any]], field: pa.Field, may_hold_bools: bool) -> pa.Array:
    """Raises BadRowsError for values that the column cannot hold."""
    values = [record.get(field.name) for record in records]
    if "." in field.name:
        values = [_value(record, field.name) for record in records]
    with suppress(*_NOT_AN_ARROW_ARRAY):
        column = _array(values, field)
        if not _changes(values, column, may_hold_bools):
            return column
    reasons = {n: why for n, value in enumerate(values) if (why := _why_not(value, field))}
    if not reasons:  # Of none by itself: together they are more than an array holds.
        raise ValueError(f"feature {field.name!r} has too much in a batch")
    raise BadRowsError(reasons)


def _why_not(value: Any, field: pa.Field) -> str | None:
    """Why a column cannot hold a value; None if it can."""
    why = f"feature {field.name!r}: {quoted(value)} is not of the column's type, {field.type}"
    try:
        column = _array([value], field)
    except UnicodeError:
        return f"feature {field.name!r}: {quoted(value)} holds half a character"
    except _NOT_AN_ARROW_ARRAY:
        return why
    return why if _changes([value], column, may_hold_bools=True) else None


def _array(values: list[Any], field: pa.Field) -> pa.Array:
    try:
        return pa.array(values, field.type)
    except _NOT_AN_ARROW_ARRAY:
        if not fields.is_as_numbers(field):
            raise
    # What feeds floats may be an integer that is rounded.
    return pa.array(_map_values(_as_float, values), field.type)


def _as_float(value: Any) -> Any:
    return float(value) if type(value) is int else value


def _map_values(function: Callable[[Any], Any], value: Any) -> Any:
    """Applies a function to what is in nested lists."""
    if isinstance(value, list):
        return [_map_values(function, inner) for inner in value]
    return function(value)


def _value(record: Any, name: str) -> Any:
    """What a record has under a name, which may be a path into its objects.

    Raises:
      ValueError: the path leads through something that is no object.
    """
    if name in record:
        return record[name]
    for head, rest in paths_of(name):
        inner = record.get(head)
        if isinstance(inner, dict):
            return _value(inner, rest)
        if inner is not None:
            raise ValueError(f"feature {head!r}: an object is expected, not {quoted(inner)}")
    return None


def _value_or_none(record: Any, name: str) -> Any:
    try:
        return _value(record, name)
    except ValueError:
        return None


def _changes(values: list[Any], column: pa.Array, may_hold_bools: bool) -> bool:
    """Whether Arrow has made something else of values without a word.

    It cuts 1.5 to 1, reads true as 1.0, a text as a list of letters, and drops unknown keys.
    """
    given, depth = leaf_type(column.type)
    is_struct = pa.types.is_struct(given)
    if is_struct or pa.types.is_integer(given):
        read = column.to_pylist()
        is_equal = read == values and not (is_struct and may_hold_bools)  # True equals 1.0.
        return not is_equal and not _is_whole(read, values)
    looks_for_bools = pa.types.is_floating(given) and (may_hold_bools or not depth)
    if looks_for_bools and _has_type(values, depth, bool):
        return True
    return any(_has_type(values, above, str) for above in range(depth))


def _has_floats_inside(given: pa.DataType) -> bool:
    """Whether there may be more floats than rows, among which to look for true takes time."""
    return is_list(given) or bool(pa.types.is_struct(given))


def _has_type(values: Iterable[Any], depth: int, unwanted: type) -> bool:
    """Whether there is a value of a type in lists that are nested so deep."""
    for _ in range(depth):
        values = chain.from_iterable(value for value in values if value is not None)
    return unwanted in set(map(type, values))


def _is_whole(read: Any, given: Any) -> bool:
    if isinstance(read, list) and isinstance(given, list):
        return len(read) == len(given) and all(map(_is_whole, read, given))
    if isinstance(read, dict) and isinstance(given, dict):
        return given.keys() <= read.keys() and all(_is_whole(read[k], v) for k, v in given.items())
    return (read == given or read != read) and isinstance(read, bool) == isinstance(given, bool)
