"""The columns that the files of an input have in common."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from hub_tfx.data.arrow import is_bytes, is_number, is_text
from hub_tfx.data.files import SourceFile
from hub_tfx.data.filesystems import is_local
from hub_tfx.data.readers import READERS
from hub_tfx.errors import InputError

_SAMPLED_FILES = 16
_READ_AT_ONCE = 16
_CONFLICT = b"hub_tfx.conflict"
_TABLES = ("csv", "parquet")  # Each of whose records has all columns.


def infer_schema(files: Sequence[SourceFile]) -> pa.Schema:
    """The columns of an input: of all its Parquet files, or of a sample of other files.

    A column whose type is not the same in all of them gets one that holds all values. Where there
    is none, or a table lacks the column, ``check_columns`` tells those who need it. An input
    without a single record may have no columns.

    Raises:
      InputError: a file cannot be read.
    """
    found = [(file, schema) for file, schema in _schemas(files) if schema.names]
    fields: dict[str, pa.Field] = {}
    first: dict[str, str] = {}
    for file, schema in found:
        for field in schema:
            path = first.setdefault(field.name, file.path)
            fields[field.name] = _merged(fields.get(field.name, field), path, field, file)
    tables = [(file, schema) for file, schema in found if file.format in _TABLES]
    for file, schema in tables:
        for name in fields.keys() - set(schema.names):
            fields[name] = _useless(fields[name], f"{file.path} has no column {name!r}")
    return pa.schema([_typed(field) for field in fields.values()])


def check_columns(schema: pa.Schema, needed: Iterable[str]) -> None:
    """Raises InputError for a column of ``infer_schema`` on which files disagree."""
    for name in needed:
        if conflict := (schema.field(name).metadata or {}).get(_CONFLICT):
            raise InputError(f"{conflict.decode()}: embed these files in runs of their own")


def _schemas(files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, pa.Schema]]:
    if any(file.format == "tfrecord" and not is_local(file.path) for file in files):
        for file in files:  # Each is copied here as a whole: one has to do.
            schema = _schema(file)
            yield file, schema
            if schema.names:
                return
        return
    every = 1 if files and files[0].format == "parquet" else -(-len(files) // _SAMPLED_FILES)
    sample = files[:: every or 1]
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        yield from zip(sample, pool.map(_schema, sample), strict=True)


def _schema(file: SourceFile) -> pa.Schema:
    return READERS[file.format].infer_schema(file.path)


def _merged(known: pa.Field, known_from: str, field: pa.Field, file: SourceFile) -> pa.Field:
    common = _common_type(known.type, field.type, file.format)
    if common is None:
        return _useless(
            known, f"{known_from} has {known.type} in {known.name!r}, {file.path} {field.type}"
        )
    return known.with_type(common)


def _useless(field: pa.Field, why: str) -> pa.Field:
    return field if field.metadata else field.with_metadata({_CONFLICT: why.encode()})


def _typed(field: pa.Field) -> pa.Field:
    """A field without a single value could have any type."""
    return field.with_type(pa.string()) if pa.types.is_null(field.type) else field


def _common_type(one: pa.DataType, other: pa.DataType, file_format: str) -> pa.DataType | None:
    """A type that holds the values of both, or None; the reader then converts them, or rejects."""
    types = pa.types
    if one == other or types.is_null(other):
        return one
    if types.is_null(one):
        return other
    if file_format == "tfrecord":  # tf.Example has no number that is an integer or a float.
        return None
    if types.is_list(one) and types.is_list(other):
        value_type = _common_type(one.value_type, other.value_type, file_format)
        return value_type and pa.list_(value_type)
    if types.is_struct(one) and types.is_struct(other) and file_format == "jsonl":
        return _common_struct(one, other)
    if types.is_integer(one) and types.is_integer(other):
        return pa.int64()
    if is_number(one) and is_number(other):
        return pa.float64()
    if is_text(one) and is_text(other):
        return pa.large_string()
    if is_bytes(one) and is_bytes(other):
        return pa.large_binary()
    return pa.string() if file_format == "csv" else None


def _common_struct(one: pa.StructType, other: pa.StructType) -> pa.StructType | None:
    fields = {field.name: field.type for field in one}
    for field in other:
        known = fields.get(field.name, field.type)
        fields[field.name] = _common_type(known, field.type, "jsonl")
    return None if None in fields.values() else pa.struct(list(fields.items()))
