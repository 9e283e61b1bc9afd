"""What the configs of all jobs share: frozen dataclasses with a JSON round trip."""

import json
from collections.abc import Iterable
from typing import Any

from hub_tfx.errors import ConfigError


def parse_config(text: str, what: str, known: Iterable[str]) -> dict[str, Any]:
    """The JSON object of a config; raises ConfigError for anything else and for unknown keys."""
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"the {what} is not JSON: {error}") from error
    known = sorted(known)
    if not isinstance(document, dict) or (unknown := sorted(set(document) - set(known))):
        named = f"unknown key {unknown[0]!r}" if isinstance(document, dict) else "not an object"
        raise ConfigError(f"{what}: {named}; the keys are {', '.join(known)}")
    return document


def as_tuple(name: str, values: Any) -> tuple[Any, ...]:
    """A list of a JSON config; raises ConfigError for anything else, such as a lone string."""
    if not isinstance(values, list):
        raise ConfigError(f"{name} is a list, not {values!r}")
    return tuple(values)
