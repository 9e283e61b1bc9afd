"""ML Metadata in PostgreSQL, with values that hold a backslash.

ML Metadata 1.15 takes the quotes off what libpq escapes, but a value with a backslash comes back as
``E'…'``: the E goes into the value, and what follows a quote in the value would be run as SQL.
Here no backslash reaches it: a character of Unicode's private use area is stored in its place, and
read back as a backslash.
"""

from collections.abc import Callable
from typing import Any

from ml_metadata.metadata_store import MetadataStore

_BACKSLASH, _STORED = "\\", "\ue05c"


class PostgreSqlStore(MetadataStore):  # type: ignore[misc]
    """A MetadataStore that keeps backslashes out of SQL; other backends get them as they are."""

    def _call_method(self, method_name: str, request: Any, response: Any) -> None:
        if not _is_postgresql(self._config):
            super()._call_method(method_name, request, response)
            return
        sent = type(request).FromString(request.SerializeToString())
        _rewrite(sent, lambda text: text.replace(_BACKSLASH, _STORED))
        super()._call_method(method_name, sent, response)
        _rewrite(response, lambda text: text.replace(_STORED, _BACKSLASH))


def _is_postgresql(config: Any) -> bool:
    return "postgresql" in config.DESCRIPTOR.fields_by_name and config.HasField("postgresql")


def _rewrite(message: Any, change: Callable[[str], str]) -> None:
    """Changes every string in a message and in those within it, and the keys of maps."""
    for field, value in message.ListFields():
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            _rewrite_map(value, change, entry.fields_by_name["value"].message_type is not None)
        elif entry is not None:
            for inner in value if field.label == field.LABEL_REPEATED else (value,):
                _rewrite(inner, change)
        elif field.type == field.TYPE_STRING:
            if field.label == field.LABEL_REPEATED:
                value[:] = [change(text) for text in value]
            elif (changed := change(value)) != value:
                setattr(message, field.name, changed)


def _rewrite_map(entries: Any, change: Callable[[str], str], has_messages: bool) -> None:
    for key in list(entries):
        if has_messages:
            _rewrite(entries[key], change)
        renamed = change(key) if isinstance(key, str) else key
        if renamed != key and has_messages:
            entries[renamed].CopyFrom(entries[key])
        elif renamed != key:
            entries[renamed] = entries[key]
        if renamed != key:
            del entries[key]
