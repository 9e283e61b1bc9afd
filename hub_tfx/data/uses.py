"""Types follow the use: which types to read columns with, by what each of them is for."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from hub_tfx.data import fields
from hub_tfx.data.arrow import filled, is_list, is_number, is_open, is_text
from hub_tfx.data.files import SourceFile
from hub_tfx.data.readers import READERS
from hub_tfx.data.readers.jsonl import JsonLinesReader
from hub_tfx.data.readers.tfrecord import ExampleReader
from hub_tfx.data.schema import check_columns, common_type, inferred, looked_for, may_be_looked_for

_MAX_LOOKED_THROUGH_BYTES = 1 << 30


@dataclass(frozen=True)
class Use:
    """What a column is for.

    Attributes:
      value_type: of a value that it feeds: string, binary, float64, an integer type or bool; None
        where it feeds nothing, or several things.
      accepts: whether a column of this type can feed it.
      is_kept: whether its values are to come out as they are written.
    """

    value_type: pa.DataType | None = None
    accepts: Callable[[pa.DataType], bool] = lambda given: True
    is_kept: bool = False

    def __or__(self, other: "Use") -> "Use":
        """The use of a column for both."""
        types = {self.value_type, other.value_type} - {None}
        return Use(
            next(iter(types)) if len(types) == 1 else None,
            lambda given: self.accepts(given) and other.accepts(given),
            self.is_kept or other.is_kept,
        )


def look_further(
    columns: pa.Schema, files: Sequence[SourceFile], names: Collection[str]
) -> pa.Schema:
    """The columns, completed by what first records do not tell of some that are wanted.

    An empty list, an empty object or null says nothing of a type, and a record does not name what
    it lacks. So the files are read on, for a gigabyte at most, until all is known of these; for
    each name only once.

    Args:
      columns: of ``infer_schema``; others are complete.
      files: of the input.
      names: of the columns that are wanted; some may be nowhere.
    """
    known = {field.name: field for field in columns}
    names = {name for name in names if may_be_looked_for(columns, name)}
    missing = {n for n in names if n not in known or is_open(fields.known_type(known[n]))}
    if not missing:
        return columns
    left_bytes = _MAX_LOOKED_THROUGH_BYTES
    for read_bytes, found in _types_further(files, missing):
        for name, types in found.items():
            known |= _completed(name, known.get(name), types)
            if name in known and not is_open(fields.known_type(known[name])):
                missing.discard(name)
        left_bytes -= read_bytes
        if not missing or left_bytes <= 0:
            break
    return inferred(list(known.values()), looked_for(columns) | names)


def _types_further(
    files: Sequence[SourceFile], missing: Collection[str]
) -> Iterator[tuple[int, Mapping[str, list[pa.DataType]]]]:
    for file in files:
        reader = READERS[file.format]
        if isinstance(reader, JsonLinesReader | ExampleReader):
            yield from reader.types_further(file.path, missing)


def _completed(
    name: str, known: pa.Field | None, types: Sequence[pa.DataType]
) -> dict[str, pa.Field]:
    """The column with what further values say of its type; nothing where they say nothing."""
    was = pa.null() if known is None else fields.known_type(known)
    for given in types:
        common = common_type(was, given, "jsonl")
        if common is not None and not pa.types.is_null(common):
            return {name: fields.with_others(pa.field(name, common), types)}
    return {}


def typed_by_use(columns: pa.Schema, uses: Mapping[str, Use], file_format: str | None) -> pa.Schema:
    """The columns to read, with the types to read them as.

    What feeds text is read as text, what feeds numbers as numbers however they are written, and
    what is only kept as the type that most values have. A value that does not fit is then rejected
    by the reader. Where no type fits, the column has its own, for whoever it feeds to refuse.

    Args:
      columns: of ``infer_schema``, completed by ``look_further``.
      uses: name of the column -> what it is for.
      file_format: a key of READERS; None where nothing is read.

    Raises:
      InputError: the files disagree on a column.
    """
    typed = []
    for name, use in uses.items():
        field = _settled(columns.field(name), use, file_format)
        check_columns(pa.schema([field]), [name])
        typed.append(_read_as(field, use, file_format))
    return pa.schema(typed)


def _settled(field: pa.Field, use: Use, file_format: str | None) -> pa.Field:
    """The field with the type, of those that its values have, that feeds what it is to feed."""
    is_typed = use.value_type is None or file_format in ("csv", "parquet")
    if is_typed or fields.why_unusable(field):
        return field
    accepted = [given for given in fields.types_of(field) if use.accepts(given)]
    is_disputed = fields.why_disputed(field) is not None
    if not accepted or (len(accepted) > 1 and is_disputed):
        return field
    if accepted[0] == field.type and not is_disputed:
        return field
    return pa.field(field.name, accepted[0])


def _read_as(field: pa.Field, use: Use, file_format: str | None) -> pa.Field:
    wanted, plain = use.value_type, pa.field(field.name, field.type)
    if file_format == "csv" and wanted is not None:
        return _read_csv_as(field, use, wanted)
    if is_open(fields.known_type(field)):
        return plain.with_type(_closed(fields.known_type(field), use))
    is_bytes = wanted == pa.binary() and is_text(field.type)
    if is_bytes and (file_format == "txt" or not use.is_kept):
        is_large = pa.types.is_large_string(field.type)
        return plain.with_type(pa.large_binary() if is_large else pa.binary())
    floats = _with_floats(field.type)
    if file_format == "jsonl" and wanted == pa.float64() and floats is not None and not use.is_kept:
        return fields.as_numbers(plain.with_type(floats))
    return plain


def _read_csv_as(field: pa.Field, use: Use, wanted: pa.DataType) -> pa.Field:
    plain = pa.field(field.name, field.type)
    if wanted in (pa.string(), pa.binary()):
        return plain.with_type(wanted)
    is_number = pa.types.is_null(fields.known_type(field)) or wanted in fields.types_of(field)
    if not (is_number and use.accepts(wanted)):
        return plain
    if not use.is_kept:
        return fields.as_numbers(plain.with_type(wanted))
    return fields.as_numbers(plain) if is_text(field.type) else plain


def _closed(given: pa.DataType, use: Use) -> pa.DataType:
    """A type that is open, with one for the values of which nothing is known."""
    if use.value_type is None:
        return filled(given, pa.string())
    if not pa.types.is_null(given):
        return filled(given, use.value_type)
    possible = (use.value_type, pa.list_(use.value_type), pa.string())
    return next((p for p in possible if use.accepts(p)), pa.null())


def _with_floats(given: pa.DataType) -> pa.DataType | None:
    """The type with floats for the numbers in nested lists; None where there are others in them."""
    if is_list(given):
        inner = _with_floats(given.value_type)
        return inner and pa.list_(inner)
    return pa.float64() if is_number(given) else None
