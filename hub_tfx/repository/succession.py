"""Which version is in use, and which one was published to follow it.

A run publishes a version first, and then has the alias stand for it. The version is what counts:
once it is there, whoever comes next moves the alias if the run has died, and nothing else can
follow the version that was in use.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hub_tfx.repository import records
from hub_tfx.repository.changes import move_alias, set_alias
from hub_tfx.repository.facts import facts_of
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import Storage, open_storage
from hub_tfx.repository.versions import (
    alias_key,
    found,
    latest,
    numbers,
    read_version,
    target_of,
    yank_of,
)


@dataclass(frozen=True)
class Seen:
    """What was in use when somebody looked.

    Attributes:
      newest: number of the newest version; 0 where there is none.
      alias: number that the alias stands for; None without it.
      in_use: the version in use: that of the alias, otherwise the newest that is not yanked; None
        where there is none.
    """

    newest: int
    alias: int | None
    in_use: Version | None


def look(storage: Storage, name: ModuleName, alias: str | None) -> Seen:
    """What is in use now, as far as the alias says so."""
    newest = max(numbers(storage, name), default=0)  # First: what is newer than this was not seen.
    target = None if alias is None else target_of(storage, name, alias)
    number = latest(storage, name) if target is None else target
    return Seen(newest, target, None if number is None else read_version(storage, name, number))


def settle(storage: Storage, name: ModuleName, aliases: Sequence[str], why: str) -> Seen:
    """Has the aliases stand for what runs that died have published; what is in use then.

    Args:
      storage: the place of the repository.
      name: name of the module.
      aliases: aliases of the version in use; the first says which version that is.
      why: the reason in the record of an alias.
    """
    alias = aliases[0] if aliases else None
    while True:
        seen = look(storage, name, alias)
        successor = None if alias is None else _successor(storage, name, alias, seen)
        if successor is None or alias is None:
            return seen
        storage.finish(successor)
        move_alias(storage, name, alias, successor.number, seen.alias, why)


def finish(repository: str, name: str, aliases: Sequence[str], version: str, why: str) -> None:
    """Does what a run that died has left undone after it had published a version.

    Args:
      repository: directory, ``s3://…`` or ``gs://…``.
      name: ``publisher/model``.
      aliases: as ``settle`` takes them.
      version: the version, as ``publisher/model/3``; nothing more is done unless it is in use.
      why: the reason in the record of an alias.
    """
    storage, parsed = open_storage(repository), ModuleName.parse(name)
    seen = settle(storage, parsed, aliases, why)
    if seen.in_use is not None and seen.in_use.key == version:
        storage.finish(seen.in_use)
        add_aliases(storage, parsed, aliases[1:], seen.in_use.number, why)


def add_aliases(
    storage: Storage, name: ModuleName, aliases: Sequence[str], number: int, why: str
) -> None:
    """Has aliases stand for a version, except those that did and were moved away again."""
    for alias in aliases:
        if number not in _past(storage, name, alias):
            set_alias(storage, name, alias, number, why)


def _successor(storage: Storage, name: ModuleName, alias: str, seen: Seen) -> Version | None:
    """The version that was published to follow the one in use, if the alias was never its."""
    if seen.alias is None:  # Then the newest version is the one in use.
        is_next = seen.in_use is not None and _follows(storage, seen.in_use, alias, None)
        return seen.in_use if is_next else None
    assert seen.in_use is not None
    for number in numbers(storage, name):
        version = found(storage, name, number) if number > seen.alias else None
        if version is None or yank_of(storage, name, number):
            continue
        is_next = _follows(storage, version, alias, seen.in_use.digest)
        if is_next and number not in _past(storage, name, alias):
            return version
    return None


def _follows(storage: Storage, version: Version, alias: str, after: str | None) -> bool:
    """Whether a version was published for an alias, to follow a module; any module if None."""
    facts = facts_of(storage, version)
    succession = facts and facts.succession
    if not succession or succession.alias != alias:
        return False
    return after is None or succession.after == after


def _past(storage: Storage, name: ModuleName, alias: str) -> set[int]:
    """The numbers that an alias stands for, or has stood for."""
    return {r.value("to", int) for r in records.history(storage, alias_key(name, alias))}
