"""The OpenAPI 3.1 document of all that a program can ask for."""

from collections.abc import Iterable, Mapping
from typing import Any

from hub_tfx import __version__
from hub_tfx.repository.catalogue import FACETS, SORTS
from hub_tfx.repository.catalogue.entries import MAX_PER_PAGE
from hub_tfx.web.guard import OPEN_PATHS

Document = dict[str, Any]


def document(server: str, *, with_tokens: bool, with_publishing: bool) -> Document:
    """The document of a server.

    Args:
      server: its URL.
      with_tokens: whether it needs a token.
      with_publishing: whether one can publish there.
    """
    described: Document = {
        "openapi": "3.1.0",
        "info": {
            "title": "hub-tfx serve",
            "version": __version__,
            "description": "A repository of TensorFlow Hub modules: the hosting protocol of "
            "TensorFlow Hub, and the JSON twin of every page.",
        },
        "servers": [{"url": server}],
        "paths": {path: {"get": operation} for path, operation in _READ.items()},
        "components": {"schemas": {"Problem": _PROBLEM}},
    }
    if with_publishing:
        described["paths"].setdefault("/{publisher}/{name}", {})["put"] = _PUBLISH
    if with_tokens:
        described["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "basic": {"type": "http", "scheme": "basic"},
        }
        described["security"] = [{"bearer": []}, {"basic": []}]
        for path in OPEN_PATHS:
            described["paths"][path]["get"] = {**_READ[path], "security": []}
    return described


# --- Pieces --------------------------------------------------------------------------------------


def _path(name: str, description: str, pattern: str | None = None) -> Document:
    schema = {"type": "string"} | ({"pattern": pattern} if pattern else {})
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema,
    }


def _query(name: str, description: str, **schema: Any) -> Document:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _header(name: str, description: str) -> Document:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def _answer(description: str, kind: str, schema: Document, **headers: str) -> Document:
    told = {
        name.replace("_", "-"): {"description": text, "schema": {"type": "string"}}
        for name, text in headers.items()
    }
    answer = {"description": description, "content": {kind: {"schema": schema}}}
    return answer | ({"headers": told} if told else {})


def _json(description: str, *required: str) -> Document:
    return _answer(description, "application/json", {"type": "object", "required": [*required]})


def _text(description: str, **headers: str) -> Document:
    return _answer(description, "text/plain; charset=utf-8", {"type": "string"}, **headers)


_KINDS: Mapping[str, tuple[str, ...]] = {
    "twin": ("application/json",),
    "page": ("text/plain; charset=utf-8", "text/html; charset=utf-8"),
    "line": ("text/plain; charset=utf-8",),
}


def _problems(*statuses: int, told_in: str) -> Document:
    """What goes wrong, as a document, as a line of text or a page, or as a line of text."""
    schema = {"$ref": "#/components/schemas/Problem"} if told_in == "twin" else {"type": "string"}
    content = {kind: {"schema": schema} for kind in _KINDS[told_in]}
    return {str(s): {"description": _WRONG[s], "content": content} for s in statuses}


def _twin(summary: str, parameters: Iterable[Document] = (), *required: str) -> Document:
    """The JSON twin of a page."""
    return {
        "summary": summary,
        "parameters": [*parameters],
        "responses": {
            "200": _json("What the page shows.", *required),
            "302": {"description": "It is at the address of its number, for now."},
            "304": {"description": "It has not changed."},
            **_problems(400, 401, 404, 410, 414, 503, told_in="twin"),
        },
    }


_WRONG = {
    400: "A parameter is wrong; the choices are listed.",
    401: "A token is needed.",
    404: "There is nothing of this name; the nearest handles are listed.",
    406: "This repository cannot be read in place.",
    408: "The body of the request came too slowly.",
    409: "The number is taken by other bytes, or the name differs only in upper and lower case.",
    410: "The version is yanked; the reason is told.",
    413: "The body of the request is too large.",
    414: "The path or the query is too long.",
    503: "The server does too much at this time, or cannot reach the repository.",
}
_PROBLEM = {
    "type": "object",
    "required": ["status", "error", "nearest"],
    "properties": {
        "status": {"type": "integer"},
        "error": {"type": "string"},
        "nearest": {"type": "array", "items": {"type": "string"}},
    },
}
_PUBLISHER = _path("publisher", "Who answers for the module.")
_MODEL = _path("name", "Name of the module.")
_NAMED = _path("name", "Name of the module, or name@ALIAS for what the alias stands for.")
_VERSION = _path("version", "Number of the version.")
_ASKED = (
    _query("tf-hub-format", "The archive, or its place.", enum=["compressed", "uncompressed"]),
    _query("lite-format", "The TensorFlow Lite variant.", enum=["tflite"]),
)
_TEXTS = {"type": "array", "items": {"type": "string"}}
_PAGE = _query("page", "Number of the page.", type="integer", minimum=1)
_SEARCH = (
    _query("q", "Words that a module has to hold, all of them.", type="string"),
    *(
        _query(name, f"Values of {name} of which a module has one.", **_TEXTS)
        for name in FACETS
        if name != "fine_tunable"
    ),
    _query("fine_tunable", "Whether it can be trained further.", enum=["yes", "no"]),
    _query("yanked", "Whether to find modules that are yanked altogether.", enum=["yes", "no"]),
    _query("sort", "The order.", enum=[*SORTS]),
    _PAGE,
    _query("per_page", "Modules on a page.", type="integer", minimum=1, maximum=MAX_PER_PAGE),
)
_BYTES = {"type": "string", "format": "binary"}

# --- Operations ----------------------------------------------------------------------------------

_DOWNLOAD: Document = {
    "summary": "A version by TensorFlow Hub's hosting protocol; one of the formats is needed, "
    "otherwise the answer is a page for people.",
    "parameters": [
        _PUBLISHER,
        _NAMED,
        _VERSION,
        *_ASKED,
        _header("Range", "Ranges of bytes."),
        _header("If-None-Match", "Tag of what the client has."),
        _header("If-Range", "Tag for which the range is meant."),
    ],
    "responses": {
        "200": _answer(
            "The file, or the page.",
            "*/*",
            _BYTES,
            ETag="Strong tag, the SHA-256 of the file.",
            Repr_Digest="SHA-256 of the file (RFC 9530).",
            Hub_Tfx_Digest="Digest of the module.",
        ),
        "206": _answer("The ranges.", "*/*", _BYTES, Content_Range="Which bytes."),
        "303": _text("The gs:// path of the module's directory."),
        "304": {"description": "The client has it."},
        "412": {"description": "It is not what If-Match wants."},
        "416": {"description": "No byte is in the ranges."},
        **_problems(400, 401, 404, 406, 410, 414, 503, told_in="page"),
    },
}
_REDIRECT: Document = {
    "summary": "The version that a name or an alias stands for now, by TensorFlow Hub's hosting "
    "protocol; without a format a page for people.",
    "parameters": [_PUBLISHER, _NAMED, *_ASKED],
    "responses": {
        "200": _answer("The page.", "text/html; charset=utf-8", {"type": "string"}),
        "302": _text("It is at the address of its number.", Location="The address."),
        **_problems(400, 401, 404, 410, 414, 503, told_in="page"),
    },
}
_PUBLISH: Document = {
    "summary": "Publishes a .tar.gz that holds README.md, the card, and module/, the module.",
    "parameters": [
        _PUBLISHER,
        _MODEL,
        _query("version", "The number that it must get.", type="string"),
        _query("alias", "Aliases for it.", type="array", items={"type": "string"}),
        _query("why", "The reason, for the record of an alias.", type="string"),
    ],
    "requestBody": {"required": True, "content": {"application/gzip": {"schema": _BYTES}}},
    "responses": {
        "200": _json("These bytes are published already.", "handle", "version", "digest"),
        "201": _json("The version was made.", "handle", "version", "digest"),
        **_problems(400, 401, 408, 409, 413, 414, 503, told_in="line"),
    },
}
_READ: dict[str, Document] = {
    "/-/healthz": {
        "summary": "Whether the process answers.",
        "responses": {"200": _text("It does.")},
    },
    "/-/readyz": {
        "summary": "Whether the index can be asked.",
        "responses": {
            "200": _json("It can.", "ready", "index_age_seconds"),
            "503": _json("Not yet.", "ready"),
        },
    },
    "/-/metrics": {
        "summary": "Numbers for Prometheus.",
        "responses": {
            "200": _answer("The numbers.", "text/plain", {"type": "string"}),
            **_problems(401, told_in="page"),
        },
    },
    "/-/feed.atom": {
        "summary": "The versions that were published last.",
        "responses": {
            "200": _answer("A feed.", "application/atom+xml", {"type": "string"}),
            **_problems(401, told_in="page"),
        },
    },
    "/-/openapi.json": {
        "summary": "This document.",
        "responses": {
            "200": _json("The document.", "openapi", "paths"),
            **_problems(401, told_in="twin"),
        },
    },
    "/.json": _twin("Modules, found by words and filters.", _SEARCH, "modules", "total", "pages"),
    "/{publisher}.json": _twin(
        "The modules of a publisher.", (_PUBLISHER, *_SEARCH), "modules", "total", "pages"
    ),
    "/{publisher}/{name}.json": _twin(
        "The newest version of a module.", (_PUBLISHER, _NAMED), "handle", "digest"
    ),
    "/{publisher}/{name}/{version}.json": _twin(
        "A version of a module.", (_PUBLISHER, _MODEL, _VERSION), "handle", "digest"
    ),
    "/-/versions/{publisher}/{name}.json": _twin(
        "The versions of a module.", (_PUBLISHER, _MODEL, _PAGE), "versions"
    ),
    "/-/compare.json": _twin(
        "How two versions differ.",
        (
            _query("left", "One version, as publisher/name/number.", type="string"),
            _query("right", "The other.", type="string"),
            _query("all", "1 for all that was compared.", enum=["0", "1"]),
        ),
    ),
    "/-/lineage/{publisher}/{name}/{version}.json": _twin(
        "Where a version came from, and what came of it.", (_PUBLISHER, _MODEL, _VERSION)
    ),
    "/-/reports/{publisher}/{name}/{version}.json": _twin(
        "The evaluation of a version.", (_PUBLISHER, _MODEL, _VERSION)
    ),
    "/{publisher}/{name}": _REDIRECT,
    "/{publisher}/{name}/{version}": _DOWNLOAD,
}
