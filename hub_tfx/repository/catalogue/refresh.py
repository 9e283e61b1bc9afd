"""Brings the index up to date with the repository.

Markers and records are created once and never change. So the names of those that are there say
which state a module is in, and a listing of names is all that is read where nothing has happened:
a disk lists ten thousand modules in less than a second, a bucket a thousand keys in a request.
Nobody has to be told who publishes, and no publisher has to remember to tell. The times of folders
would be quicker still, and lie: they are as coarse as a tick of the clock or worse, and a folder
does not change with what is below it. The stamp of a file tells one that was put in the place of
another of the same name, as where a repository was removed and another one begun there.
"""

import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hub_tfx._typed_json import known_only
from hub_tfx.errors import HandleError, HubTfxError, TransientFetchError
from hub_tfx.repository.catalogue.database import Database, count_change
from hub_tfx.repository.catalogue.entries import Changes
from hub_tfx.repository.catalogue.gather import Gathered, Row, gather, line_of
from hub_tfx.repository.names import ModuleName, is_version
from hub_tfx.repository.storage import Storage
from hub_tfx.repository.versions import check_repository

_BATCH = 200
"""Modules that one transaction writes: what was written is not read again after a kill."""
_AT_ONCE = 16

Stamps = Mapping[str, str]


@dataclass(frozen=True)
class _Known:
    """What the index has of a module.

    Attributes:
      id: number of its row.
      stamp: digest of the stamps that it was read by; empty where something could not be read.
      content: digest of what is indexed.
    """

    id: int
    stamp: str
    content: str


def refresh(database: Database, storage: Storage) -> Changes:
    """Reads what has changed since the index was written, and writes it.

    Raises:
      InputError: the place is not a repository, or cannot be read.
      TransientFetchError: the place cannot be asked now.
      OutputError: the index cannot be written.
      DamagedIndexError: the index is damaged.
    """
    check_repository(storage)
    # Before the repository is listed: so what is known here, and is not listed, is gone.
    with database.reading() as connection:
        known = _known(connection)
    listing = _list(storage)
    work = _Refresh(database, storage, known, listing)
    changed = [h for h in listing.modules if h not in known or known[h].stamp != listing.stamp(h)]
    with ThreadPoolExecutor(_AT_ONCE if "://" in storage.url else 1) as pool:
        for first in range(0, len(changed), _BATCH):
            work.bring(changed[first : first + _BATCH], pool)
    work.remove([h for h in known if h not in listing.modules and not listing.hides(h)])
    return work.changes()


@dataclass(frozen=True)
class _Listing:
    """What there is in a repository.

    Attributes:
      modules: handle -> keys of its markers and records, with their stamps.
      unlisted: publishers and modules that cannot be listed -> the reason.
    """

    modules: Mapping[str, Stamps]
    unlisted: Mapping[str, str]

    def stamp(self, handle: str) -> str:
        """A text that is the same for a module as long as nothing happens to it."""
        return hashlib.sha256(repr(sorted(self.modules[handle].items())).encode()).hexdigest()

    def hides(self, handle: str) -> bool:
        """Whether a module may be there, though it is not listed."""
        return handle in self.unlisted or handle.partition("/")[0] in self.unlisted


def _list(storage: Storage) -> _Listing:
    modules: dict[str, dict[str, str]] = defaultdict(dict)
    unlisted = dict[str, str]()
    for key, stamp in storage.stamps():
        if key.endswith("/"):
            unlisted[key[:-1]] = stamp
            continue
        publisher, model, _ = key.split("/", 2)
        modules[f"{publisher}/{model}"][key] = stamp
    return _Listing(
        {handle: keys for handle, keys in modules.items() if _is_module(handle, keys)},
        {name: why for name, why in unlisted.items() if _is_name(name)},
    )


def _is_module(handle: str, keys: Stamps) -> bool:
    """Whether a folder is that of a module with a version."""
    return _is_name(handle) and any(is_version(key.split("/")[2]) for key in keys)


def _is_name(name: str) -> bool:
    """Whether a folder can be that of a publisher or module, unlike lost+found."""
    try:
        ModuleName.parse(name if "/" in name else f"{name}/model")
    except HandleError:
        return False
    return True


class _Refresh:
    """One run: reads modules and writes them, batch by batch."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        known: Mapping[str, _Known],
        listing: _Listing,
    ):
        """Nothing is read yet."""
        self._database, self._storage = database, storage
        self._known, self._listing = known, listing
        self._added, self._updated, self._removed = list[str](), list[str](), list[str]()
        self._problems = [f"{name}: {why}" for name, why in sorted(listing.unlisted.items())]

    def changes(self) -> Changes:
        """What was done."""
        handles = (self._added, self._updated, self._removed)
        added, updated, removed = (tuple(sorted(found)) for found in handles)
        return Changes(added, updated, removed, tuple(self._problems))

    def bring(self, handles: Sequence[str], pool: ThreadPoolExecutor) -> None:
        """Reads modules, at once as far as the pool has threads, and writes them together."""
        with self._database.reading() as connection:
            rows = {handle: self._rows(connection, handle) for handle in handles}
        found = list(pool.map(lambda handle: self._read(handle, rows[handle]), handles))
        gone = list[str]()
        for handle, result in zip(handles, found, strict=True):
            if isinstance(result, HubTfxError):
                self._problems.append(f"{handle}: {line_of(result)}")
                if not isinstance(result, TransientFetchError):  # Then it stays as it was.
                    gone.append(handle)
        self._write({r.entry.handle: r for r in found if isinstance(r, Gathered)})
        self.remove([handle for handle in gone if handle in self._known])

    def _read(self, handle: str, rows: Mapping[int, Row]) -> Gathered | HubTfxError:
        try:
            name = ModuleName.parse(handle)
            return gather(self._storage, name, self._listing.modules[handle], rows)
        except HubTfxError as error:
            return error

    def _rows(self, connection: sqlite3.Connection, handle: str) -> dict[int, Row]:
        if handle not in self._known:
            return {}
        query = "SELECT number, stamp, published, yanked FROM versions WHERE module = ?"
        found = connection.execute(query, (self._known[handle].id,))
        return {row[0]: Row(row[0], row[1], row[2], bool(row[3])) for row in found}

    def _write(self, modules: Mapping[str, Gathered]) -> None:
        with self._database.writing() as connection:
            changed = [self._put(connection, module) for module in modules.values()]
            if any(changed):
                count_change(connection)

    def _put(self, connection: sqlite3.Connection, module: Gathered) -> bool:
        """Writes a module; returns whether anything of it is another than before."""
        handle, known = module.entry.handle, self._known.get(module.entry.handle)
        self._problems += [f"{handle}: {problem}" for problem in module.problems]
        stamp = "" if module.problems else self._listing.stamp(handle)
        content = _content(module)
        if known is not None and known.content == content:
            connection.execute("UPDATE modules SET stamp = ? WHERE handle = ?", (stamp, handle))
            return False
        (self._added if known is None else self._updated).append(handle)
        _delete(connection, handle)  # Another process may have added it.
        entry = json.dumps(known_only(module.entry))
        query = "INSERT INTO modules (handle, stamp, content, entry) VALUES (?, ?, ?, ?)"
        id_ = connection.execute(query, (handle, stamp, content, entry)).lastrowid
        rows = [(id_, row.number, row.stamp, row.when, row.yanked) for row in module.rows]
        connection.executemany("INSERT INTO versions VALUES (?, ?, ?, ?, ?)", rows)
        words = (id_, handle, module.entry.summary, module.labels, module.body)
        query = "INSERT INTO words (rowid, handle, summary, labels, body) VALUES (?, ?, ?, ?, ?)"
        connection.execute(query, words)
        return True

    def remove(self, handles: Sequence[str]) -> None:
        """Takes modules out of the index."""
        if not handles:
            return
        with self._database.writing() as connection:
            for handle in handles:
                _delete(connection, handle)
            count_change(connection)
        self._removed += handles


def _known(connection: sqlite3.Connection) -> dict[str, _Known]:
    rows = connection.execute("SELECT handle, id, stamp, content FROM modules")
    return {handle: _Known(*columns) for handle, *columns in rows}


def _content(module: Gathered) -> str:
    """Digest of what is indexed of a module; the stamps of its versions are a part of that."""
    return hashlib.sha256(
        repr((module.entry, module.rows, module.labels, module.body)).encode()
    ).hexdigest()


def _delete(connection: sqlite3.Connection, handle: str) -> None:
    query = "SELECT id FROM modules WHERE handle = ?"
    for row in connection.execute(query, (handle,)).fetchall():
        connection.execute("DELETE FROM words WHERE rowid = ?", row)
        connection.execute("DELETE FROM versions WHERE module = ?", row)
        connection.execute("DELETE FROM modules WHERE id = ?", row)
