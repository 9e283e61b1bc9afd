"""The OpenAPI 3.1 document of all that a program can ask for."""

from collections.abc import Mapping
from typing import Any

from hub_tfx import __version__
from hub_tfx.store.fetch.promises import MODULE_DIGEST, REPR_DIGEST

_PART = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_])?$"
_PUBLISHER = {"name": "publisher", "in": "path", "required": True, "schema": {"type": "string"}}
_NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "Name of the module; with @ALIAS what the alias stands for.",
    "schema": {"type": "string"},
}
_VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"},
}
_FORMAT = {
    "name": "tf-hub-format",
    "in": "query",
    "description": "`compressed` for the archive, `uncompressed` for its place in gs://.",
    "schema": {"enum": ["compressed", "uncompressed"]},
}
_LITE = {
    "name": "lite-format",
    "in": "query",
    "description": "`tflite` for the TensorFlow Lite variant.",
    "schema": {"enum": ["tflite"]},
}
_RANGE = {"name": "Range", "in": "header", "schema": {"type": "string"}}
_KNOWN = {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}


def _text(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"text/plain; charset=utf-8": {"schema": {"type": "string"}}},
    }


def _json(description: str, schema: Mapping[str, Any] | None = None) -> dict[str, Any]:
    content = {"application/json": {"schema": schema or {"type": "object"}}}
    return {"description": description, "content": content}
