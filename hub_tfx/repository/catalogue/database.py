"""The SQLite file of a catalogue.

Readers and a writer do not wait for each other, since the file has a write-ahead log; each thread
has a connection of its own. What is in the file can be had from the repository again, so that a
damaged file is put aside and begun again.
"""

import os
import sqlite3
import stat
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hub_tfx._files import MAKE_ROOM, kind_of_file, why
from hub_tfx.errors import OutputError

_SCHEMA = 1
_APPLICATION = 0x68756263  # "hubc": see https://www.sqlite.org/pragma.html#pragma_application_id
_WAIT_S = 30.0
_CUT = ("no such table", "disk I/O error")
_TABLES = """
CREATE TABLE states (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE modules (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  handle TEXT NOT NULL UNIQUE,
  stamp TEXT NOT NULL,
  content TEXT NOT NULL,
  entry TEXT NOT NULL
);
CREATE TABLE versions (
  module INTEGER NOT NULL,
  number INTEGER NOT NULL,
  stamp TEXT NOT NULL,
  published TEXT NOT NULL,
  yanked INTEGER NOT NULL,
  PRIMARY KEY (module, number)
) WITHOUT ROWID;
CREATE INDEX versions_published ON versions (published);
CREATE VIRTUAL TABLE words USING fts5(
  handle, summary, labels, body, tokenize = "unicode61 remove_diacritics 2", prefix = '2 3'
);
"""


class DamagedIndexError(Exception):
    """The file is not an index any more; nothing is lost by building it again."""


class _Connection(sqlite3.Connection):
    """One that can be referred to weakly, so that it is closed with its thread."""


class Database:
    """Connections to the file of one repository's index."""

    def __init__(self, path: Path, repository: str):
        """Opens the file, and makes it where it is missing, damaged or of another repository.

        Args:
          path: path of the file; two more beside it end with -wal and -shm.
          repository: URL of the repository.

        Raises:
          OutputError: the file cannot be written, or is not an index of ours.
        """
        self.path = path
        self._repository = repository
        self._own = threading.local()
        self._all = weakref.WeakSet[_Connection]()
        self._gate = threading.Condition()
        self._users, self._is_closed, self._age = 0, False, 0
        _check_kind(path)
        try:
            self._prepare()
        except DamagedIndexError:
            self.begin_again()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees the file as it is now, whatever is written meanwhile.

        Raises:
          DamagedIndexError: the file is damaged.
          OutputError: the file cannot be read.
        """
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are seen together, or not at all; raises as ``reading``."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def begin_again(self) -> None:
        """Puts the file aside and makes an empty index in its place."""
        with self._alone():
            # Connections of others remove the log by its name when they are closed: first they.
            self._close_all()
            with _told(self.path):
                with suppress(FileNotFoundError):
                    os.replace(self.path, f"{self.path}.damaged")
                for suffix in ("-wal", "-shm"):
                    Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        self._prepare()

    def close(self) -> None:
        """Closes all connections; a later use opens new ones."""
        with self._alone():
            self._close_all()

    def _prepare(self) -> None:
        with _told(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._using() as connection, _told(self.path):
            _check_ours(connection, self.path)
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise DamagedIndexError
            connection.execute("BEGIN IMMEDIATE")
            with _ended(connection):
                if not self._fits(connection):
                    _drop_all(connection)
                    self._make(connection)

    def _fits(self, connection: sqlite3.Connection) -> bool:
        if connection.execute("PRAGMA user_version").fetchone() != (_SCHEMA,):
            return False
        query = "SELECT value FROM states WHERE name = 'repository'"
        known: bool = connection.execute(query).fetchone() == (self._repository,)
        return known

    def _make(self, connection: sqlite3.Connection) -> None:
        for statement in filter(str.strip, _TABLES.split(";")):
            connection.execute(statement)
        # Not from 0, since another process may remember a state of the file before.
        states = (("repository", self._repository), ("generation", time.time_ns()))
        connection.executemany("INSERT INTO states VALUES (?, ?)", states)
        connection.execute(f"PRAGMA user_version = {_SCHEMA}")
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._using() as connection, _told(self.path):
            connection.execute(begin)
            with _ended(connection):
                yield connection

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """The connection of this thread, which nobody closes meanwhile."""
        with self._gate:
            self._gate.wait_for(lambda: not self._is_closed)
            self._users += 1
        try:
            yield self._connection()
        finally:
            with self._gate:
                self._users -= 1
                self._gate.notify_all()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Waits until no thread uses a connection, and lets none begin meanwhile."""
        with self._gate:
            self._gate.wait_for(lambda: not self._is_closed)
            self._is_closed = True
            self._gate.wait_for(lambda: self._users == 0)
        try:
            yield
        finally:
            with self._gate:
                self._is_closed = False
                self._gate.notify_all()

    def _connection(self) -> sqlite3.Connection:
        if getattr(self._own, "age", None) != self._age:
            with _told(self.path):
                self._own.connection = self._connected()
            self._own.age = self._age
        connection: sqlite3.Connection = self._own.connection
        return connection

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=_WAIT_S,
            isolation_level=None,  # Transactions are ours to begin.
            check_same_thread=False,  # For close() alone.
            factory=_Connection,
        )
        self._all.add(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _close_all(self) -> None:
        for connection in list(self._all):
            connection.close()
        self._all.clear()
        self._age += 1


def generation(connection: sqlite3.Connection) -> int:
    """A number that is another one after every change."""
    query = "SELECT value FROM states WHERE name = 'generation'"
    row = connection.execute(query).fetchone()
    if row is None:
        raise DamagedIndexError
    return int(row[0])


def count_change(connection: sqlite3.Connection) -> None:
    """Has ``generation`` give another number from now on."""
    connection.execute("UPDATE states SET value = value + 1 WHERE name = 'generation'")


def _check_kind(path: Path) -> None:
    """Raises OutputError for what is there and is not a file, such as a FIFO."""
    with suppress(FileNotFoundError, NotADirectoryError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise OutputError(
                f"the index {path} cannot be opened: it is {kind_of_file(mode)}, not a file: name "
                "another one"
            )


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    """Raises OutputError for the database of another program."""
    [application] = connection.execute("PRAGMA application_id").fetchone()
    [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != _APPLICATION:
        raise OutputError(
            f"{path} is a database of another program, not the index of a repository: name another "
            "file"
        )


def _drop_all(connection: sqlite3.Connection) -> None:
    """Removes all tables: those of another repository, or of another version of hub_tfx."""
    query = (
        "SELECT name FROM sqlite_master"
        " WHERE type = 'table' AND sql LIKE ? AND name NOT LIKE 'sqlite_%'"
    )
    for pattern in ("CREATE VIRTUAL%", "CREATE TABLE%"):  # The virtual ones take theirs along.
        for (name,) in connection.execute(query, (pattern,)).fetchall():
            connection.execute('DROP TABLE "{}"'.format(name.replace('"', '""')))


@contextmanager
def _ended(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits a transaction, or takes it back after an error."""
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tells what SQLite and the system say in our errors."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # The other classes are derived from this one, and mean a file that is sound, except where
        # it was emptied or cut short.
        if type(error) is sqlite3.DatabaseError or any(told in str(error) for told in _CUT):
            raise DamagedIndexError(str(error)) from error
        message = f"the index {path} cannot be used: {error}; {MAKE_ROOM}"
        raise OutputError(message) from error
    except OSError as error:
        raise OutputError(f"the index {path} cannot be used: {why(error)}; {MAKE_ROOM}") from error
