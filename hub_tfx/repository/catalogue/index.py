"""Catalogue: the index of a repository, asked and brought up to date from any thread."""

import sqlite3
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hub_tfx.errors import OutputError
from hub_tfx.repository.catalogue.database import DamagedIndexError, Database, generation
from hub_tfx.repository.catalogue.entries import (
    CatalogueEntry,
    CatalogueQuery,
    CatalogueResults,
    Changes,
    Counts,
    NewVersion,
    Publisher,
)
from hub_tfx.repository.catalogue.refresh import refresh
from hub_tfx.repository.catalogue.snapshot import (
    Snapshot,
    entry_of,
    number_of,
    page_of,
    take_snapshot,
    width_of,
)
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import Storage

_MAX_NEW = 500
_REMEMBERED = 64
"""Searches for words whose results are kept, at 4 bytes a module that they find."""
_WEIGHTS = "8.0, 4.0, 3.0, 1.0"
"""What a word counts in the name, summary, labels and body of a card."""

_Match = tuple[Sequence[int], int]
"""Places of the modules that match, the best first, and their bits."""


class Catalogue:
    """The modules of a repository, by words and facets.

    Many threads may use it. They see what the last refresh has written, and do not wait for one
    that is at work.
    """

    def __init__(self, storage: Storage, path: Path):
        """See ``open``."""
        self._storage = storage
        self._database = Database(path, storage.url)
        self._refreshing = threading.Lock()
        self._taking = threading.Lock()
        self._is_damaged = False
        self._taken: Snapshot | None = None
        self._matched = OrderedDict[tuple[int, str], _Match]()

    @classmethod
    def open(cls, storage: Storage, path: Path) -> "Catalogue":
        """Opens the index of a repository, which is made where it is missing or of another one.

        What was indexed before is found at once; ``refresh`` brings what has happened since.

        Args:
          storage: the repository.
          path: file of the index, on a disk of this machine.

        Raises:
          OutputError: the file cannot be written, or is not an index.
        """
        return cls(storage, path)

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def __enter__(self) -> "Catalogue":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def refresh(self) -> Changes:
        """Brings the index up to date with the repository, by what has changed.

        A module appears, and changes, all at once. One that is damaged is told among the problems.

        Raises:
          InputError: the place is not a repository, or cannot be read. The index stays as it was.
          TransientFetchError: the place cannot be asked now. The index stays as it was.
          OutputError: the index cannot be written.
        """
        with self._refreshing:
            try:
                if not self._is_damaged:
                    return refresh(self._database, self._storage)
            except DamagedIndexError:
                pass
            self._begin_again()
            try:
                return refresh(self._database, self._storage)
            except DamagedIndexError as error:
                raise self._useless(error) from error

    def search(self, query: CatalogueQuery) -> CatalogueResults:
        """A page of the modules that a query finds, and what to filter them by.

        Equal searches of an equal repository give equal results in an equal order.

        Raises:
          ConfigError: no module has a value that is to be filtered by.
          OutputError: the index cannot be read.
        """
        with self._read() as (connection, snapshot):
            snapshot.check(query)
            match = _match_expression(query.text)
            ranked, matching = None, snapshot.everything
            if match:
                ranked, matching = self._match(connection, snapshot, match)
            order = ranked if query.sort == "relevance" else snapshot.orders.get(query.sort)
            found = snapshot.among(query) & matching
            first = (query.page - 1) * query.per_page
            places = page_of(found, order, width_of(snapshot.ids), first, query.per_page)
            total = found.bit_count()
            return CatalogueResults(
                query=query,
                entries=_entries(connection, [snapshot.ids[place] for place in places]),
                total=total,
                page=query.page,
                pages=max(1, -(-total // query.per_page)),
                facets=snapshot.counted(query, matching),
            )

    def module(self, name: ModuleName) -> CatalogueEntry | None:
        """A module by its name; None where the index does not have it."""
        query = "SELECT entry FROM modules WHERE handle = ?"
        with self._reading() as connection:
            row = connection.execute(query, (str(name),)).fetchone()
            return None if row is None else entry_of(row[0])

    def nearest(self, handle: str, limit: int = 3) -> list[str]:
        """Handles of modules that look like a text, the most similar first."""
        with self._read() as (_, snapshot):
            return snapshot.nearest(handle, limit)

    def newest(self, limit: int) -> list[NewVersion]:
        """The versions that were published last, without yanked ones; at most 500."""
        query = (
            "SELECT modules.entry, number, published FROM versions"
            " JOIN modules ON modules.id = versions.module WHERE NOT yanked"
            " ORDER BY published DESC, handle, number DESC LIMIT ?"
        )
        with self._reading() as connection:
            rows = connection.execute(query, (max(0, min(limit, _MAX_NEW)),)).fetchall()
        entries = [(entry_of(text), number, when) for text, number, when in rows]
        return [NewVersion(f"{e.handle}/{number}", when, e.summary) for e, number, when in entries]

    def count(self) -> Counts:
        """How much is in the index."""
        query = "SELECT (SELECT count(*) FROM modules), (SELECT count(*) FROM versions)"
        with self._reading() as connection:
            return Counts(*connection.execute(query).fetchone())

    def publishers(self) -> list[Publisher]:
        """Every publisher, by name."""
        with self._read() as (_, snapshot):
            return list(snapshot.publishers())

    def publisher(self, name: str) -> Publisher | None:
        """A publisher by name; None where there is no module of theirs."""
        with self._read() as (_, snapshot):
            return snapshot.publisher(name) if name in snapshot.facets["publisher"] else None

    @contextmanager
    def _read(self) -> Iterator[tuple[sqlite3.Connection, Snapshot]]:
        """A connection, and the snapshot of the state that it sees."""
        with self._reading() as connection:
            yield connection, self._snapshot(connection)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state."""
        try:
            with self._database.reading() as connection:
                yield connection
        except DamagedIndexError as error:
            self._is_damaged = True
            raise self._useless(error) from error

    def _snapshot(self, connection: sqlite3.Connection) -> Snapshot:
        now, taken = generation(connection), self._taken
        if taken is not None and taken.generation == now:
            return taken
        with self._taking:  # Others that wait here would take the same one.
            if self._taken is None or self._taken.generation != now:
                self._taken = take_snapshot(connection, self._taken)
            return self._taken

    def _match(self, connection: sqlite3.Connection, snapshot: Snapshot, match: str) -> _Match:
        """What matches; that of the last searches is remembered."""
        key = (snapshot.generation, match)
        if (known := self._matched.get(key)) is not None:
            return known
        found = _matching(connection, snapshot, match)
        with self._taking:
            self._matched[key] = found
            while len(self._matched) > _REMEMBERED:
                self._matched.popitem(last=False)
        return found

    def _begin_again(self) -> None:
        try:
            self._database.begin_again()
        except DamagedIndexError as error:
            raise self._useless(error) from error
        self._is_damaged, self._taken = False, None
        self._matched.clear()

    def _useless(self, error: DamagedIndexError) -> OutputError:
        return OutputError(
            f"the index {self._database.path} is damaged ({error}): it is built again by the next "
            "refresh; if this is told again, check the disk"
        )


def _matching(connection: sqlite3.Connection, snapshot: Snapshot, match: str) -> _Match:
    query = f"SELECT rowid, bm25(words, {_WEIGHTS}) FROM words WHERE words MATCH ?"
    rows = connection.execute(query, (match,)).fetchall()
    ranked = [place for _, place in sorted((rank, snapshot.places[id_]) for id_, rank in rows)]
    found = bytearray(width_of(snapshot.ids))
    for place in ranked:
        found[place >> 3] |= 1 << (place & 7)
    return array("I", ranked), number_of(found)


def _match_expression(text: str) -> str:
    """A query of FTS5 for all words of a text, each quoted, so that none is taken for syntax."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    words = ['"{}"'.format(word.replace('"', '""')) for word in clean.split()]
    # Signs at the end, as in c++, end a word.
    is_open = bool(words) and clean.rstrip()[-1].isalnum()
    return " ".join(words) + "*" * is_open


def _entries(connection: sqlite3.Connection, ids: Sequence[int]) -> tuple[CatalogueEntry, ...]:
    marks = ", ".join("?" * len(ids))
    rows = connection.execute(f"SELECT id, entry FROM modules WHERE id IN ({marks})", ids)
    found = {id_: entry_of(text) for id_, text in rows}
    return tuple(found[id_] for id_ in ids)
