"""Opens ML Metadata of a server, once its tables are there, and says why that is not possible."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing

import tenacity
from ml_metadata.errors import StatusError
from ml_metadata.metadata_store import MetadataStore

from hub_tfx._files import why
from hub_tfx._text import shortened
from hub_tfx.errors import InputError
from hub_tfx.lineage.connection import Connection
from hub_tfx.lineage.postgresql import PostgreSqlStore

ATTEMPTS = 20
_TIMEOUT_S = 10.0
_MAX_CHARS = 300
_RACE = re.compile(
    "concurrent connection|already exists|duplicate key|[Dd]eadlock|Lock wait timeout|"
    "concurrently updated|could not serialize"
)
"""What several processes get that open an empty database at once: each may try again."""
_CHILD = (
    "import sys; from ml_metadata.metadata_store import MetadataStore; "
    "from ml_metadata.proto import metadata_store_pb2 as mlmd; "
    "MetadataStore(mlmd.ConnectionConfig.FromString(sys.stdin.buffer.read()))"
)
_SAID_BY_POSTGRESQL = re.compile(r"PostgreSQL error: (.+)")

_REASONS: Mapping[str, str] = {
    "Unknown database|database .* does not exist": (
        "it has no database {c.database}: make it there with CREATE DATABASE, or name another one"
    ),
    "Access denied .* to database|permission denied": (
        "it does not let {c.user} use the database {c.database}: grant the right to create tables, "
        "or to read and write them once they are there"
    ),
    "mysql_real_connect failed": (
        "it does not let {c.user} in: check the user and {password}, and that the user logs in "
        "with mysql_native_password, the only way that ML Metadata knows"
    ),
    "authentication failed|no password supplied|no pg_hba.conf entry|role .* does not exist": (
        "it does not let {c.user} in: check the user and {password}"
    ),
    "older than library version": (
        "its tables are of an older version of ML Metadata: upgrade them with "
        "MetadataStore(config, enable_upgrade_migration=True), or name another database"
    ),
    "greater than library version": (
        "its tables are of a newer version of ML Metadata: use that version, or name another "
        "database"
    ),
    "subset of tables|no schema_version": (
        "its database {c.database} has only some of the tables of ML Metadata: if nobody is "
        "creating them now, drop the database and make it again"
    ),
}


def open_server(connection: Connection, attempts: int = ATTEMPTS) -> MetadataStore:
    """Opens ML Metadata of a server; an empty database gets its tables.

    Args:
      connection: to a server.
      attempts: how often to try while other processes create the tables.

    Raises:
      ConfigError: the variable with the password is not set.
      InputError: no server answers, or it does not let the user in.
    """
    config = connection.config()
    trying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: bool(_RACE.search(str(error)))),
        stop=tenacity.stop_after_attempt(attempts),
        wait=tenacity.wait_random(0.1, 1.0),
        reraise=True,
    )
    try:
        store: MetadataStore = trying(PostgreSqlStore, config)
        if connection.backend == "grpc":  # Nothing has been asked so far.
            store.get_context_types()
        return store
    except (RuntimeError, StatusError) as error:  # Its constructor raises both.
        # Not from it: its text may quote what was sent, and a traceback would print it.
        raise InputError(_explained(connection, str(error))) from None


def _explained(connection: Connection, said: str) -> str:
    """One line that says what is wrong and what to do."""
    unreachable = _unreachable(connection)
    if unreachable is not None:
        return (
            f"no server for ML Metadata answers at {connection}: {unreachable}; start it, or "
            "correct the address"
        )
    if connection.backend == "postgresql" and said.endswith(": "):
        said = _said_by_postgresql(connection) or said
    variable = connection.password_env
    password = "the password, with ?password_env=NAME" if variable is None else f"${variable}"
    for pattern, reason in _REASONS.items():
        if re.search(pattern, said):
            told = reason.format(c=connection, password=password)
            return f"ML Metadata at {connection} cannot be opened: {told}"
    words = without_password(connection, " ".join(said.split()))
    return (
        f"ML Metadata at {connection} cannot be opened: {shortened(words, _MAX_CHARS)}; check that "
        "the server is of this kind and version"
    )


def without_password(connection: Connection, text: str) -> str:
    """A text of the database's or of a library's, in which the password is not."""
    password = connection.password()
    return text.replace(password, "…") if password else text


def _unreachable(connection: Connection) -> str | None:
    """Why nothing can be reached at the server's address; None if something answers."""
    address = connection.address
    try:
        if isinstance(address, str):
            with closing(socket.socket(socket.AF_UNIX)) as probe:
                probe.settimeout(_TIMEOUT_S)
                probe.connect(address)
        elif address is not None:
            socket.create_connection(address, _TIMEOUT_S).close()
    except OSError as error:
        return why(error)
    return None


def _said_by_postgresql(connection: Connection) -> str:
    """What PostgreSQL says, which ML Metadata only logs: another process logs it again."""
    environment = {**os.environ, "GLOG_minloglevel": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CHILD],
            input=connection.config().SerializeToString(),
            env=environment,
            capture_output=True,
            timeout=6 * _TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    said = _SAID_BY_POSTGRESQL.search(done.stderr.decode(errors="replace"))
    return said[1] if said else ""
