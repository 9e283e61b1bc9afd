"""Records: what changes in a repository, kept as files that do not.

A folder holds ``0001.json``, ``0002.json`` and so on; the highest counts, the others are its
history. One that is there is never written again, and of two writers of the same number one is
first, so that no lock is needed.
"""

import getpass
import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from hub_tfx.errors import DigestMismatchError
from hub_tfx.repository.storage import Storage


@dataclass(frozen=True)
class Record:
    """One change.

    Attributes:
      number: 1, 2, 3 ... in its folder.
      who: who made it, as user@host.
      when: when, in UTC as ISO 8601 writes it.
      why: the reason that was given.
      values: what was changed, such as ``from`` and ``to``.
    """

    number: int
    who: str
    when: str
    why: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def value(self, name: str, kind: type) -> Any:
        """A value of this type; raises DigestMismatchError where the record does not have it."""
        found = self.values.get(name)
        if type(found) is not kind:
            raise DigestMismatchError(
                f"a record of {self.when} by {self.who} has no {name!r}: copy it from elsewhere"
            )
        return found


def newest(storage: Storage, folder: str) -> Record | None:
    """The record that counts; None where there is none yet."""
    numbers = _numbers(storage, folder)
    return _read(storage, folder, numbers[-1]) if numbers else None


def history(storage: Storage, folder: str) -> list[Record]:
    """Every record of a folder, the oldest first."""
    return [_read(storage, folder, number) for number in _numbers(storage, folder)]


def append(
    storage: Storage,
    folder: str,
    change: Callable[[Record | None], Mapping[str, Any] | None],
    why: str,
    who: str | None = None,
) -> Record | None:
    """Writes the next record.

    Args:
      storage: the place of the repository.
      folder: key of the folder.
      change: the values that follow after the newest record, or None where nothing is to change;
        called again where another writer was first.
      why: the reason.
      who: who makes the change; the user of this process if None.

    Returns:
      The new record, or the newest one where nothing was to change.
    """
    while True:
        before = newest(storage, folder)
        values = change(before)
        if values is None:
            return before
        record = Record(before.number + 1 if before else 1, who or whoami(), now(), why, values)
        if storage.create(_key(folder, record.number), _text(record)):
            return record


def whoami() -> str:
    """The user of this process, as user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # As in a container that runs under a number only.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def now() -> str:
    """The time, in UTC as ISO 8601 writes it; for people, nothing is decided by it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _numbers(storage: Storage, folder: str) -> list[int]:
    stems = [name.removesuffix(".json") for name in storage.names(folder)]
    return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdigit())


def _key(folder: str, number: int) -> str:
    return f"{folder}/{number:04}.json"


def _text(record: Record) -> bytes:
    document = {"who": record.who, "when": record.when, "why": record.why, **record.values}
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _read(storage: Storage, folder: str, number: int) -> Record:
    key = _key(folder, number)
    try:
        document = json.loads(storage.read(key) or b"")
        who, when, why = (document.pop(field) for field in ("who", "when", "why"))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise DigestMismatchError(
            f"{storage.url}: the record {key} is damaged: copy it from elsewhere"
        ) from error
    return Record(number, str(who), str(when), str(why), document)
