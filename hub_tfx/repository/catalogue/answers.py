"""Queries as parameters of a URL and results as JSON: what the server says, the command reads."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from hub_tfx._text import hint, nearest, quoted
from hub_tfx._typed_json import from_plain, known_only
from hub_tfx.errors import ConfigError, HandleError
from hub_tfx.repository.catalogue.entries import (
    FACETS,
    NO,
    YES,
    CatalogueEntry,
    CatalogueQuery,
    CatalogueResults,
)
from hub_tfx.repository.names import ModuleName

_TEXTS = tuple(name for name in FACETS if name != "fine_tunable")
_NUMBERS = ("page", "per_page")
_YES_OR_NO = ("fine_tunable", "yanked")
_MAX_NUMBER = 2**63 - 1
PARAMETERS = ("q", *_TEXTS, *_YES_OR_NO, "sort", *_NUMBERS)
"""Names that the query of a URL may hold; those of ``_TEXTS`` may be repeated."""


def query_to_parameters(query: CatalogueQuery) -> list[tuple[str, str]]:
    """The parameters of a URL; ``query_from_parameters`` makes the same query of them."""
    plain = known_only(query)
    pairs = [("q", query.text)] if query.text else []
    for name in PARAMETERS[1:]:
        value = plain.get(name)
        if isinstance(value, bool):
            pairs.append((name, YES if value else NO))
        elif isinstance(value, list):
            pairs += [(name, item) for item in value]
        elif value is not None:
            pairs.append((name, str(value)))
    return pairs


def query_from_parameters(pairs: Iterable[tuple[str, str]]) -> CatalogueQuery:
    """The query of a URL's parameters; empty ones, as a form sends them, are left out.

    Raises:
      ConfigError: a parameter is unknown, is repeated, or has a wrong value.
    """
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name not in PARAMETERS:
            near = hint(nearest(name, PARAMETERS))
            allowed = ", ".join(PARAMETERS)
            raise ConfigError(f"{quoted(name)} is not a parameter: use {allowed}{near}")
        if not text.strip():
            continue
        if name in _TEXTS:
            if text not in values.setdefault(name, ()):
                values[name] += (text,)
            continue
        key = "text" if name == "q" else name
        if key in values:
            raise ConfigError(f"{name} is given twice: give it once")
        values[key] = _value(name, text)
    return CatalogueQuery(**values)


def _value(name: str, text: str) -> Any:
    if name in _NUMBERS:
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise ConfigError(f"{name} is {quoted(text)}: it takes a number from 1")
        return int(text)
    if name in _YES_OR_NO:
        if text not in (YES, NO):
            raise ConfigError(f"{name} is {quoted(text)}: use {YES} or {NO}")
        return text == YES
    return text


def results_to_json(results: CatalogueResults) -> dict[str, Any]:
    """Results as plain JSON; ``results_from_json`` reads it. What is not known is left out."""
    return {
        "query": known_only(results.query),
        "total": results.total,
        "page": results.page,
        "pages": results.pages,
        "modules": known_only(results.entries),
        "facets": known_only(results.facets),
    }


def results_from_json(document: Mapping[str, Any]) -> CatalogueResults:
    """The results that a server has sent, which may tell more than this version knows.

    Raises:
      ValueError: a key is missing, or a value is not one that it can have.
    """
    known = _known(CatalogueResults, document)
    modules = document.get("modules")
    if not isinstance(modules, list):
        raise ValueError("it lacks the list 'modules'")
    entries = [_known(CatalogueEntry, entry) for entry in modules]
    query = _known(CatalogueQuery, known.get("query", {}))
    results: CatalogueResults = from_plain(
        CatalogueResults, {**known, "query": query, "entries": entries}
    )
    for entry in results.entries:
        _check(entry)
    return results


def _check(entry: CatalogueEntry) -> None:
    """Raises ValueError for a handle that no module can have, or a number that no file can."""
    try:
        ModuleName.parse(entry.handle)
    except HandleError as error:
        raise ValueError(str(error)) from None
    for number in (entry.version, entry.versions, entry.size_bytes):
        if not 0 <= number <= _MAX_NUMBER:
            raise ValueError(f"{entry.handle} has a number that is out of bounds")


def _known(kind: type, value: Any) -> dict[str, Any]:
    """The keys of a JSON object that a dataclass has."""
    if not isinstance(value, Mapping):
        raise ValueError("it holds something else where an object is to be")
    names = {field.name for field in fields(kind)}
    return {name: item for name, item in value.items() if name in names}
