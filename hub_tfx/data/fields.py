"""What is known of a column besides its type, in the metadata of its field."""

from collections.abc import Sequence

import pyarrow as pa

_OTHERS = b"hub_tfx.others"
_UNUSABLE = b"hub_tfx.unusable"
_DISPUTED = b"hub_tfx.disputed"
_AS_NUMBERS = b"hub_tfx.as_numbers"
_OPEN = b"hub_tfx.open"


def with_others(field: pa.Field, types: Sequence[pa.DataType]) -> pa.Field:
    """The field, with types that other values of its column have, the most frequent first."""
    different = [given for given in dict.fromkeys(types) if given != field.type]
    if not different:
        return field
    named = pa.schema([(str(n), given) for n, given in enumerate(different)])
    return _with(field, _OTHERS, named.serialize().to_pybytes())


def types_of(field: pa.Field) -> list[pa.DataType]:
    """The type of a column, and those that other values of it have."""
    others = (field.metadata or {}).get(_OTHERS)
    return [field.type, *(pa.ipc.read_schema(pa.py_buffer(others)).types if others else ())]


def unusable(field: pa.Field, why: str) -> pa.Field:
    """The field, of a column that nobody can use; what was said before holds."""
    return field if why_unusable(field) else _with(field, _UNUSABLE, why.encode())


def why_unusable(field: pa.Field) -> str | None:
    """What ``unusable`` has said of a column."""
    return _text(field, _UNUSABLE)


def disputed(field: pa.Field, why: str) -> pa.Field:
    """The field, of a column to which files give types that nothing holds together."""
    return field if why_disputed(field) else _with(field, _DISPUTED, why.encode())


def why_disputed(field: pa.Field) -> str | None:
    """What ``disputed`` has said of a column."""
    return _text(field, _DISPUTED)


def as_numbers(field: pa.Field) -> pa.Field:
    """The field, of a column that feeds numbers, however they are written."""
    return _with(field, _AS_NUMBERS, b"")


def is_as_numbers(field: pa.Field) -> bool:
    """Whether ``as_numbers`` has marked a column."""
    return _AS_NUMBERS in (field.metadata or {})


def of_no_value(field: pa.Field) -> pa.Field:
    """The field, of a column without a single value so far, whose type is any."""
    return _with(field, _OPEN, b"")


def known_type(field: pa.Field) -> pa.DataType:
    """What is known of a column's type: null, or a type with nulls in it, where that is not all."""
    return pa.null() if _OPEN in (field.metadata or {}) else field.type


def with_struct_fields(fields: Sequence[pa.Field]) -> list[pa.Field]:
    """Columns, and the fields of those that are structs under names with dots: ``image.bytes``.

    A column that has such a name itself comes first.
    """
    found = {field.name: field for field in fields}
    inner = [
        _unusable_like(field, child.with_name(f"{field.name}.{child.name}"))
        for field in fields
        if pa.types.is_struct(field.type)
        for child in field.type
    ]
    for child in with_struct_fields(inner) if inner else ():
        found.setdefault(child.name, child)
    return list(found.values())


def _unusable_like(field: pa.Field, child: pa.Field) -> pa.Field:
    why = why_unusable(field)
    return unusable(child, why) if why else child.remove_metadata()


def _text(field: pa.Field, key: bytes) -> str | None:
    value = (field.metadata or {}).get(key)
    return value.decode() if value else None


def _with(field: pa.Field, key: bytes, value: bytes) -> pa.Field:
    return field.with_metadata({**(field.metadata or {}), key: value})
