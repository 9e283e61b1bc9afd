"""ML Metadata: opening a store, and reading what artifacts and events say."""

from pathlib import Path
from typing import Any

from ml_metadata.errors import StatusError
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from hub_tfx.errors import InputError
from hub_tfx.lineage.connection import Connection
from hub_tfx.lineage.servers import ATTEMPTS, open_server

_OUTPUT_EVENTS = (mlmd.Event.OUTPUT, mlmd.Event.DECLARED_OUTPUT)
_INPUT_EVENTS = (mlmd.Event.INPUT, mlmd.Event.DECLARED_INPUT)


def open_store(
    connection: Connection, *, read_only: bool = False, attempts: int = ATTEMPTS
) -> MetadataStore:
    """Opens ML Metadata, wherever it is. An empty database of a server gets its tables.

    Args:
      connection: where it is.
      read_only: do not write to a SQLite file, not even to bring its tables up to date. On a server
        the rights of the user say what may be written.
      attempts: how often to try while other processes create the tables.

    Raises:
      ConfigError: the variable with the password is not set.
      InputError: there is no ML Metadata, or no server that lets the user in.
    """
    if connection.backend == "sqlite":
        return open_sqlite(connection.database, read_only=read_only)
    return open_server(connection, attempts)


def open_sqlite(path: str, *, read_only: bool = False) -> MetadataStore:
    """Opens an existing SQLite file of ML Metadata.

    Args:
      path: the file.
      read_only: do not write to the file, not even to bring its tables up to date.

    Raises:
      InputError: the file is missing, or does not hold ML Metadata.
    """
    if not Path(path).is_file():
        raise InputError(f"there is no ML Metadata in {path}: give the SQLite file of a run")
    try:
        return MetadataStore(Connection.sqlite(path).config(read_only=read_only))
    except (RuntimeError, StatusError) as error:  # Its constructor raises both.
        reason = str(error).partition("query:")[0].strip()
        raise InputError(f"{path} cannot be read as ML Metadata: {reason}") from error


def properties_of(artifact: mlmd.Artifact) -> dict[str, Any]:
    """Properties and custom properties of an artifact as Python values."""
    return {
        name: getattr(value, value.WhichOneof("value"))
        for values in (artifact.properties, artifact.custom_properties)
        for name, value in sorted(values.items())
    }


def is_output(event: mlmd.Event) -> bool:
    """Whether a step produced the event's artifact."""
    return event.type in _OUTPUT_EVENTS


def is_input(event: mlmd.Event) -> bool:
    """Whether a step read the event's artifact."""
    return event.type in _INPUT_EVENTS


def event_key(event: mlmd.Event) -> str:
    """The name under which a step reads or produces an artifact; empty where it has none."""
    return next((step.key for step in event.path.steps if step.WhichOneof("value") == "key"), "")
