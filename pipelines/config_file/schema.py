"""The JSON Schema of a pipeline's file, made of its dataclasses, for editors and other tools."""

import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from hub_tfx._config import Form, Range
from hub_tfx_pipelines.config_file.build import core_of, has_default, hints_of, is_optional
from hub_tfx_pipelines.config_file.plain import default_of, plain
from hub_tfx_pipelines.config_file.registry import PIPELINE, config_class

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}
_BOUNDS = {
    "least": "minimum",
    "above": "exclusiveMinimum",
    "most": "maximum",
    "below": "exclusiveMaximum",
}
_ENTRY = re.compile(r"^  (\w+(?:, \w+)*): ", re.MULTILINE)


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of the file of a pipeline."""
    shared: dict[str, Any] = {}
    root = _object(config_class(name), shared)
    which = {"const": name, "description": "The pipeline that this file is about."}
    return {
        "$schema": DIALECT,
        "title": f"hub-tfx run {name}",
        **root,
        "properties": {PIPELINE: which, **root["properties"]},
        "required": [PIPELINE, *root["required"]],
        "$defs": {name: shared[name] for name in sorted(shared)},
    }


@cache
def attributes_of(config: Any) -> Mapping[str, str]:
    """Key -> what the docstring of a dataclass, or of one that it extends, says about it."""
    found: dict[str, str] = {}
    for kind in reversed(inspect.getmro(config)):
        if is_dataclass(kind):
            _, _, section = inspect.cleandoc(kind.__doc__ or "").partition("\nAttributes:\n")
            names_and_texts = _ENTRY.split(section)[1:]
            for names, text in zip(names_and_texts[::2], names_and_texts[1::2], strict=True):
                found |= dict.fromkeys(names.split(", "), _sentence(text))
    return found


def _sentence(text: str) -> str:
    text = re.sub(r"\bNone\b", "null", " ".join(text.split()).replace("``", "`"))
    return text[:1].upper() + text[1:]


def _object(config: Any, shared: dict[str, Any]) -> dict[str, Any]:
    hints, said = hints_of(config), attributes_of(config)
    properties = {}
    for key in fields(config):
        described = {"description": said[key.name]} if key.name in said else {}
        default = default_of(key)
        if default is not MISSING and not is_dataclass(default):
            described["default"] = plain(hints[key.name], default)
        properties[key.name] = {**_value(hints[key.name], shared), **described}
    return {
        "description": _sentence(inspect.cleandoc(config.__doc__ or "").partition("\n\n")[0]),
        "type": "object",
        "properties": properties,
        "required": [key.name for key in fields(config) if not has_default(key)],
        "additionalProperties": False,
    }


def _value(hint: Any, shared: dict[str, Any]) -> dict[str, Any]:
    """The schema of an annotation."""
    if is_optional(hint):
        [inner] = [argument for argument in get_args(hint) if argument is not type(None)]
        return _or_nothing(_value(inner, shared))
    if get_origin(hint) is Annotated:
        inner, extra = get_args(hint)
        if isinstance(extra, Form):
            return {"type": ["string", "number"] if extra.numbers else "string"}
        limits = _limits(extra) if isinstance(extra, Range) else {}
        return {**_value(inner, shared), **limits}
    core = core_of(hint)
    if is_dataclass(core):
        return _shared(core, shared)
    return _container(core, shared)


def _shared(config: Any, shared: dict[str, Any]) -> dict[str, Any]:
    name = config.__name__
    if name not in shared:
        shared[name] = _object(config, shared)
    return {"$ref": f"#/$defs/{name}"}


def _container(core: Any, shared: dict[str, Any]) -> dict[str, Any]:
    arguments = get_args(core)
    if get_origin(core) is Literal:
        return {"type": "string", "enum": list(arguments)}
    if get_origin(core) is Mapping:
        return {"type": "object", "additionalProperties": _value(arguments[1], shared)}
    if get_origin(core) is not tuple:
        return {"type": _TYPES[core]}
    if arguments[-1] is ...:
        return {"type": "array", "items": _value(arguments[0], shared)}
    items = [_value(argument, shared) for argument in arguments]
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _or_nothing(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    choices = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*types, "null"], **choices}


def _limits(allowed: Range) -> dict[str, float]:
    ends = {word: getattr(allowed, name) for name, word in _BOUNDS.items()}
    return {word: end for word, end in ends.items() if end is not None and math.isfinite(end)}
