"""The columns that the files of an input have in common."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pyarrow as pa

from hub_tfx.data import fields
from hub_tfx.data.arrow import is_bytes, is_list, is_number, is_text
from hub_tfx.data.files import SourceFile
from hub_tfx.data.readers import READERS
from hub_tfx.errors import InputError

_INFERRED = b"hub_tfx.inferred"
_SAMPLED_FILES = 16
_READ_AT_ONCE = 16
_TABLES = ("csv", "parquet")  # Each of whose records has all columns.


def infer_schema(files: Sequence[SourceFile], *, of_all: bool = False) -> pa.Schema:
    """The columns of an input: of all its Parquet files, or of a sample of other files.

    Args:
      files: of the input.
      of_all: whether to look at the first records of all files, whatever they are.

    A field of a struct is a column as well, ``struct.field``. A column whose type is not the same
    in all files gets one that holds all values. Where there is none, or a table lacks the column,
    ``check_columns`` tells those who need it. An input without a single record may have no columns.

    Raises:
      InputError: a file cannot be read.
    """
    found = [(file, schema) for file, schema in _schemas(files, of_all) if schema.names]
    columns: dict[str, pa.Field] = {}
    first: dict[str, str] = {}
    for file, schema in found:
        for field in schema:
            path = first.setdefault(field.name, file.path)
            columns[field.name] = _merged(columns.get(field.name, field), path, field, file)
    tables = [(file, schema) for file, schema in found if file.format in _TABLES]
    for file, schema in tables:
        for name in columns.keys() - set(schema.names):
            why = f"{file.path} has no column {name!r}"
            columns[name] = fields.unusable(columns[name], why)
    return inferred([_typed(field) for field in columns.values()])


def inferred(columns: Sequence[pa.Field], looked_for: Collection[str] = ()) -> pa.Schema:
    """Columns that were found in files.

    Args:
      columns: the columns.
      looked_for: names of those that all of the files were looked through for.
    """
    return pa.schema(columns, {_INFERRED: json.dumps(sorted(looked_for)).encode()})


def may_be_looked_for(schema: pa.Schema, name: str) -> bool:
    """Whether files may tell more of a column: not where somebody says what they have."""
    looked_for = (schema.metadata or {}).get(_INFERRED)
    return looked_for is not None and name not in json.loads(looked_for)


def looked_for(schema: pa.Schema) -> set[str]:
    """What ``inferred`` was told."""
    return set(json.loads((schema.metadata or {}).get(_INFERRED, b"[]")))


def check_columns(schema: pa.Schema, needed: Iterable[str]) -> None:
    """Raises InputError for a column of ``infer_schema`` on which files disagree."""
    for name in needed:
        field = schema.field(name)
        if why := fields.why_unusable(field):
            raise InputError(why)
        if why := fields.why_disputed(field):
            raise InputError(
                f"{why}: give the column one type, or take these files in separate runs"
            )


def _schemas(files: Sequence[SourceFile], of_all: bool) -> Iterator[tuple[SourceFile, pa.Schema]]:
    of_all = of_all or (bool(files) and files[0].format == "parquet")
    every = 1 if of_all else -(-len(files) // _SAMPLED_FILES)
    sample = files[:: every or 1]
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        schemas = list(pool.map(_schema, sample))
    yield from zip(sample, schemas, strict=True)
    if not any(schema.names for schema in schemas):  # Empty files, of which there may be many.
        others = ((file, _schema(file)) for file in files if file not in sample)
        yield from islice((found for found in others if found[1].names), _SAMPLED_FILES)


def _schema(file: SourceFile) -> pa.Schema:
    return pa.schema(fields.with_struct_fields(READERS[file.format].infer_schema(file.path)))


def _typed(field: pa.Field) -> pa.Field:
    """A field without a single value could have any type."""
    if not pa.types.is_null(field.type):
        return field
    return fields.of_no_value(field.with_type(pa.string()))


def _merged(known: pa.Field, known_from: str, field: pa.Field, file: SourceFile) -> pa.Field:
    for why in filter(None, [fields.why_unusable(field)]):
        known = fields.unusable(known, why)
    others = [*fields.types_of(known), *fields.types_of(field)]
    common = common_type(known.type, field.type, file.format)
    if common is not None:
        return fields.with_others(known.with_type(common), others)
    why = f"{known_from} has {known.type} in {known.name!r}, but {file.path} has {field.type}"
    return fields.disputed(fields.with_others(known, others), why)


def common_type(one: pa.DataType, other: pa.DataType, file_format: str) -> pa.DataType | None:
    """A type that holds the values of both, or None; the reader then converts them, or rejects."""
    types = pa.types
    if one == other or types.is_null(other):
        return one
    if types.is_null(one):
        return other
    if file_format == "tfrecord":  # tf.Example has no number that is an integer or a float.
        return None
    if is_list(one) and is_list(other):
        value_type = common_type(one.value_type, other.value_type, file_format)
        is_large = types.is_large_list(one) or types.is_large_list(other)
        return value_type and (pa.large_list if is_large else pa.list_)(value_type)
    if types.is_struct(one) and types.is_struct(other):
        return _common_struct(one, other, file_format)
    if types.is_integer(one) and types.is_integer(other):
        return pa.int64()
    if is_number(one) and is_number(other):
        return pa.float64()
    if is_text(one) and is_text(other):
        return pa.large_string()
    if is_bytes(one) and is_bytes(other):
        return pa.large_binary()
    return pa.string() if file_format == "csv" else None


def _common_struct(
    one: pa.StructType, other: pa.StructType, file_format: str
) -> pa.StructType | None:
    merged = {field.name: field.type for field in one}
    names = [field.name for field in other]
    if file_format == "parquet" and names != list(merged):  # Arrow cannot convert these.
        return None
    for field in other:
        known = merged.get(field.name, field.type)
        merged[field.name] = common_type(known, field.type, file_format)
    return None if None in merged.values() else pa.struct(list(merged.items()))
