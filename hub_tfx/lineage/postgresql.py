"""ML Metadata in PostgreSQL, without faults of ML Metadata 1.15 that mix artifacts up and more.

It takes the quotes off what libpq escapes, but a value with a backslash comes back as ``E'…'``: the
E goes into the value, and what follows a quote in the value would be run as SQL. Here no backslash
reaches it: a character of Unicode's private use area is stored in its place, and read back as a
backslash.

What it reads comes in the order in which it lies on the disk, where a row moves when it is changed.
TFX relies on another order, that of other databases. It takes the first artifact of an answer for
that of the first id that it asked for, so that a step from the cache would exchange its outputs;
and of an artifact's key and index the first for the key. Here both are in the order of TFX.
"""

from collections.abc import Callable
from typing import Any

from ml_metadata.metadata_store import MetadataStore

_BACKSLASH, _STORED = "\\", "\ue05c"
_ASKED_BY_ID = {
    "artifact_ids": "artifacts",
    "execution_ids": "executions",
    "context_ids": "contexts",
}
"""Ids in a request -> what the answer has of each."""


class PostgreSqlStore(MetadataStore):  # type: ignore[misc]
    """A MetadataStore for PostgreSQL; with other backends it does what MetadataStore does."""

    def _call_method(self, method_name: str, request: Any, response: Any) -> None:
        if not _is_postgresql(self._config):
            super()._call_method(method_name, request, response)
            return
        sent = type(request).FromString(request.SerializeToString())
        _rewrite(sent, lambda text: text.replace(_BACKSLASH, _STORED))
        super()._call_method(method_name, sent, response)
        _rewrite(response, lambda text: text.replace(_STORED, _BACKSLASH))
        _put_keys_first(response)
        _put_as_asked(request, response)


def _is_postgresql(config: Any) -> bool:
    return "postgresql" in config.DESCRIPTOR.fields_by_name and config.HasField("postgresql")


def _put_keys_first(response: Any) -> None:
    """Orders the steps in the paths of the events of an answer."""
    of_lineage = getattr(response, "lineage_subgraph", response)
    for event in getattr(of_lineage, "events", ()):
        kinds = [step.WhichOneof("value") for step in event.path.steps]
        if kinds == ["index", "key"]:
            event.path.steps.reverse()


def _put_as_asked(request: Any, response: Any) -> None:
    """Orders an answer about ids as they were asked for."""
    for ids, kind in _ASKED_BY_ID.items():
        if ids in request.DESCRIPTOR.fields_by_name and kind in response.DESCRIPTOR.fields_by_name:
            asked = {i: position for position, i in enumerate(getattr(request, ids))}
            found = getattr(response, kind)
            found.sort(key=lambda one, asked=asked: asked.get(one.id, len(asked)))


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
