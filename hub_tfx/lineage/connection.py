"""Where ML Metadata is: a SQLite file, MySQL or MariaDB, PostgreSQL, or a gRPC server.

A password is never part of it, only the name of an environment variable that holds one. Messages
about a URL that cannot be read quote nothing of it, since any part may be a password by mistake.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn, get_args
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from ml_metadata.proto import metadata_store_pb2 as mlmd

from hub_tfx.errors import ConfigError

Backend = Literal["sqlite", "mysql", "postgresql", "grpc"]

_BACKENDS: Mapping[str, Backend] = {
    "mysql": "mysql",
    "mariadb": "mysql",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "grpc": "grpc",
}
_PORTS = {"mysql": 3306, "postgresql": 5432}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_NO_SLASHES = re.compile(rf"({'|'.join(_BACKENDS)}):", re.IGNORECASE)
_ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_RETRIES = 20
"""Of an aborted transaction, after two seconds on average: four pipelines at once need several."""
_UNLIMITED = -1
_FORMS = (
    "give the path of a SQLite file, mysql://USER@HOST:PORT/DATABASE, "
    "postgresql://USER@HOST:PORT/DATABASE or grpc://HOST:PORT"
)


@dataclass(frozen=True)
class Connection:
    """Where ML Metadata is; ``str`` and ``parse`` are each other's inverse.

    Attributes:
      backend: what keeps it.
      database: name of the database; the path of the file for ``sqlite``, empty for ``grpc``.
      user: name of the user in the database.
      host: name or address of the server; empty where there is a socket.
      port: port of the server.
      socket: absolute path of a Unix socket: MySQL's own, and for PostgreSQL the folder with it.
      password_env: name of the environment variable that holds the user's password, for each
        process that opens ML Metadata; None for no password.
    """

    backend: Backend
    database: str = ""
    user: str = ""
    host: str = ""
    port: int | None = None
    socket: str | None = None
    password_env: str | None = None

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem is not None:
            _refuse(problem)

    @classmethod
    def sqlite(cls, path: str) -> "Connection":
        """A SQLite file."""
        return cls("sqlite", path)

    @classmethod
    def parse(cls, text: str, password_env: str | None = None) -> "Connection":
        """Reads the form that the command line takes.

        Args:
          text: the path of a SQLite file, or a URL: ``mysql://user@host:3306/database``,
            ``mysql://user@/database?socket=/path``, ``postgresql://user@host:5432/database``, each
            with ``?password_env=NAME`` if there is a password; ``grpc://host:port``.
          password_env: name of the environment variable with the password, if the URL has none.

        Raises:
          ConfigError: the text is none of these, or holds a password.
        """
        connection = _parsed(text)
        if password_env is None or password_env == connection.password_env:
            return connection
        if connection.password_env is not None:
            _refuse("its password_env and that of the option are different: give one of the two")
        return replace(connection, password_env=password_env)

    def __str__(self) -> str:
        if self.backend == "sqlite":
            return self.database
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        path = f"/{quote(self.database, safe='')}" if self.database else ""
        options = {"socket": self.socket, "password_env": self.password_env}
        query = "&".join(f"{name}={quote(value)}" for name, value in options.items() if value)
        return f"{self.backend}://{user}{host}{port}{path}{'?' if query else ''}{query}"

    @property
    def address(self) -> tuple[str, int] | str | None:
        """Host and port, or the path of the socket, of the server; None for a file."""
        if self.backend == "sqlite":
            return None
        if self.socket is None:
            return self.host, self.port or _PORTS[self.backend]
        if self.backend == "mysql":
            return self.socket
        return f"{self.socket}/.s.PGSQL.{self.port or _PORTS['postgresql']}"

    def password(self) -> str:
        """The password, from the environment; empty where none is named.

        Raises:
          ConfigError: the variable is not set.
        """
        if self.password_env is None:
            return ""
        try:
            return os.environ[self.password_env]
        except KeyError:
            raise ConfigError(
                f"the environment variable {self.password_env} is not set: set it to the password "
                f"of {self.user} for ML Metadata"
            ) from None

    def config(self, *, read_only: bool = False) -> Any:
        """What MetadataStore and TFX take. It holds the password: do not print it.

        Args:
          read_only: whether SQLite leaves the file as it is. Servers have the rights of users.

        Returns:
          A ConnectionConfig, or a MetadataStoreClientConfig for ``grpc``.

        Raises:
          ConfigError: the variable with the password is not set.
        """
        if self.backend == "grpc":
            return self._client_config()
        config = mlmd.ConnectionConfig()
        config.retry_options.max_num_retries = _MAX_RETRIES
        if self.backend == "sqlite":
            modes = mlmd.SqliteMetadataSourceConfig
            mode = modes.READONLY if read_only else modes.READWRITE_OPENCREATE
            config.sqlite.filename_uri, config.sqlite.connection_mode = self.database, mode
        elif self.backend == "mysql":
            self._fill_mysql(config.mysql)
        else:
            self._fill_postgresql(config.postgresql)
        return config

    def _client_config(self) -> mlmd.MetadataStoreClientConfig:
        config = mlmd.MetadataStoreClientConfig(host=self.host, port=self.port)
        # By default an answer of 4 MB, some ten thousand steps, would be refused.
        config.channel_arguments.max_receive_message_length = _UNLIMITED
        return config

    def _fill_mysql(self, config: mlmd.MySQLDatabaseConfig) -> None:
        config.user, config.password = self.user, self.password()
        config.database, config.skip_db_creation = self.database, True
        if self.socket is not None:  # With a host as well the process would abort.
            config.socket = self.socket
            return
        # The client takes `localhost` for its default socket, whatever the port.
        config.host = "127.0.0.1" if self.host == "localhost" else self.host
        config.port = self.port or _PORTS["mysql"]

    def _fill_postgresql(self, config: mlmd.PostgreSQLDatabaseConfig) -> None:
        # ML Metadata puts them into a connection string as they are.
        config.user, config.password = _conninfo(self.user), _conninfo(self.password())
        config.dbname, config.skip_db_creation = _conninfo(self.database), True
        config.host = _conninfo(self.socket or self.host)
        config.port = str(self.port or _PORTS["postgresql"])


def _conninfo(value: str) -> str:
    """A value as PostgreSQL's connection strings quote it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _parsed(text: str) -> Connection:
    scheme = _SCHEME.match(text)
    if scheme is None:
        if _NO_SLASHES.match(text):
            _refuse("its URL has no // after the scheme")
        return Connection.sqlite(text)
    backend = _BACKENDS.get(scheme[1].lower())
    if backend is None:
        shown = f"{scheme[1]}://" if set(text) & set("@?#") else text  # Without a password.
        _refuse(f"{shown} is not one that can be used")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # Its text would quote what may be a password.
        _refuse("its URL cannot be read: the port is not a number, or an address is cut short")
    return Connection(backend, *_path_and_user(parts), parts.hostname or "", port, **_query(parts))


def _path_and_user(parts: SplitResult) -> tuple[str, str]:
    if parts.password is not None or ":" in (parts.username or ""):
        _refuse(
            "its URL holds a password: take it out, and name an environment variable that holds it "
            "(?password_env=NAME, or --metadata-password-env NAME)"
        )
    if parts.fragment or "#" in parts.geturl():
        _refuse("its URL has a #: write it as %23")
    return unquote(parts.path.removeprefix("/")), unquote(parts.username or "")


def _query(parts: SplitResult) -> dict[str, str]:
    try:
        given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        given = [("", "")]
    options = dict(given)
    if "password" in options:
        _refuse("its URL holds a password: write ?password_env=NAME of an environment variable")
    if len(options) != len(given) or options.keys() - {"socket", "password_env"}:
        _refuse("its URL takes the options password_env and socket, each once")
    return options


def _problem(connection: Connection) -> str | None:
    """What is wrong with a connection; quotes nothing of it."""
    c = connection
    if c.backend not in get_args(Backend):
        return "it has an unknown backend"
    if c.backend == "sqlite":
        return _problem_of_sqlite(c)
    texts = (c.database, c.user, c.host, c.socket or "", c.password_env or "")
    if not all(text.isprintable() for text in texts):
        return "it holds characters that are not printable"
    if c.port is not None and not 0 < c.port < 65536:
        return "the port is not between 1 and 65535"
    if c.backend == "grpc":
        return _problem_of_grpc(c)
    return _problem_of_database(c)


def _problem_of_sqlite(connection: Connection) -> str | None:
    c = connection
    if c.user or c.host or c.port is not None or c.socket or c.password_env is not None:
        return "a SQLite file has no user, no password, no host and no socket"
    if not c.database:
        return "the path of the SQLite file is empty"
    if _SCHEME.match(c.database) or _NO_SLASHES.match(c.database):
        return "the path of the SQLite file begins as a URL does: write ./ before it"
    return None


def _problem_of_grpc(connection: Connection) -> str | None:
    c = connection
    if not c.host or c.port is None:
        return "a gRPC server needs a host and a port: grpc://HOST:PORT"
    if c.user or c.database or c.socket or c.password_env is not None:
        return "a gRPC server takes a host and a port only, without a user or a password"
    return None


def _problem_of_database(connection: Connection) -> str | None:
    c = connection
    if not c.user:
        return "the user is missing: write USER@ before the host"
    if not c.database or "/" in c.database or "@" in c.database:
        return "the name of the database is missing, or holds a / or @"
    if bool(c.host) == bool(c.socket):
        return "it needs either a host or ?socket=/PATH, one of the two"
    if c.socket and (not c.socket.startswith("/") or (c.backend == "mysql" and c.port)):
        return "the socket is not an absolute path, or has a port beside it"
    if c.password_env is not None and not _ENVIRONMENT.fullmatch(c.password_env):
        return "password_env is not the name of an environment variable: letters, digits and _"
    return None


def _refuse(problem: str) -> NoReturn:
    raise ConfigError(f"the place of ML Metadata is wrong: {problem}; {_FORMS}")
