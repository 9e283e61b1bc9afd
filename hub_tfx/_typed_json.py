"""Frozen dataclasses as JSON: the annotations of the fields say what a document may hold."""

import json
import sys
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

_WORDS = {str: "a text", int: "a whole number", bool: "true or false"}
_LARGEST = sys.float_info.max


def known_only(value: Any) -> Any:
    """A dataclass as plain values for JSON; fields that have their default are left out."""
    if is_dataclass(value):
        held = ((field, getattr(value, field.name)) for field in fields(value))
        return {of.name: known_only(item) for of, item in held if not _is_default(of, item)}
    if isinstance(value, Mapping):
        return {key: known_only(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [known_only(item) for item in value]
    return value


def _is_default(field: "Field[Any]", value: Any) -> bool:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return default is not MISSING and bool(value == default)


def parse_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object; raises ValueError for anything else, such as numbers that are not finite."""
    try:
        document = json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("it is not an object")
    return document


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")


def from_plain(hint: Any, value: Any, where: str = "it") -> Any:
    """A value of JSON as the type of an annotation; raises ValueError where it is another one."""
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return _dataclass(hint, value, where)
    if origin in (Union, types.UnionType):
        [inner] = [argument for argument in arguments if argument is not type(None)]
        return None if value is None else from_plain(inner, value, where)
    if origin is tuple:
        return _tuple(arguments, value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _check(isinstance(value, dict), where, "an object")
        return {key: from_plain(arguments[1], item, key) for key, item in value.items()}
    if hint is Any:
        return value
    if origin is Literal:
        _check(value in arguments, where, " or ".join(map(str, arguments)))
    elif hint is float:
        _check(type(value) in (int, float) and abs(value) <= _LARGEST, where, "a number")
    else:
        _check(type(value) is hint, where, _WORDS[hint])
    return value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields; they are worked out once, which takes most of the time."""
    return get_type_hints(kind)


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    _check(isinstance(value, dict), where, "an object")
    hints = _hints(kind)
    known = {field.name: field for field in fields(kind)}
    if unknown := value.keys() - known.keys():
        raise ValueError(f"{where} has the unknown key {min(unknown)!r}")
    for name, field in known.items():
        if (field.default, field.default_factory) == (MISSING, MISSING) and name not in value:
            raise ValueError(f"{where} lacks the key {name!r}")
    return kind(**{name: from_plain(hints[name], item, name) for name, item in value.items()})


def _tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    is_open = arguments[-1] is ...
    is_right = isinstance(value, list) and (is_open or len(value) == len(arguments))
    _check(is_right, where, "a list" if is_open else f"a list of {len(arguments)}")
    kinds = (arguments[0],) * len(value) if is_open else arguments
    return tuple(from_plain(kind, item, where) for kind, item in zip(kinds, value, strict=True))


def _check(is_right: bool, where: str, what: str) -> None:
    if not is_right:
        raise ValueError(f"{where} is not {what}")
