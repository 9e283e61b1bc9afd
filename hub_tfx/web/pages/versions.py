"""The page of a module's versions, and of what was changed about them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hub_tfx.repository import layout, records
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import Storage
from hub_tfx.repository.versions import (
    alias_key,
    alias_names,
    aliases,
    found,
    latest,
    numbers,
    yank_key,
    yanked,
)

PER_PAGE = 50
_LOGGED = 100


@dataclass(frozen=True)
class VersionRow:
    """A version in a list of them.

    Attributes:
      number: its number.
      when, who: when it was published, and by whom.
      digest: digest of the module.
      size_bytes: size of the module's files.
      aliases: aliases that stand for it.
      yanked: why it is withdrawn; None where it is not.
    """

    number: int
    when: str
    who: str
    digest: str
    size_bytes: int
    aliases: tuple[str, ...] = ()
    yanked: str | None = None


@dataclass(frozen=True)
class Change:
    """A change of an alias, or of what may be used.

    Attributes:
      when, who, why: when it was made, by whom, and why.
      what: what was changed, such as ``alias stable``.
      before, after: the version that it stood for, and the one it stands for.
    """

    when: str
    who: str
    why: str
    what: str
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class VersionsPage:
    """What the page and its twin hold.

    Attributes:
      name: ``publisher/model``.
      latest: number of the newest version that is not yanked.
      total: number of versions.
      page, pages: number of this page of the list, and of all.
      versions: the versions of this page, the newest first.
      aliases: alias -> number.
      changes: the newest changes first.
    """

    name: str
    latest: int | None
    total: int
    page: int
    pages: int
    versions: tuple[VersionRow, ...]
    aliases: Mapping[str, int]
    changes: tuple[Change, ...]


def versions_page(storage: Storage, name: ModuleName, page: int) -> VersionsPage:
    """The page of a module that has a version."""
    there = numbers(storage, name)[::-1]
    named = aliases(storage, name)
    listed = there[(page - 1) * PER_PAGE : page * PER_PAGE]
    return VersionsPage(
        name=str(name),
        latest=latest(storage, name),
        total=len(there),
        page=page,
        pages=max(1, -(-len(there) // PER_PAGE)),
        versions=version_rows(storage, name, listed, named),
        aliases=named,
        changes=_changes(storage, name, listed),
    )


def version_rows(
    storage: Storage, name: ModuleName, listed: Iterable[int], named: Mapping[str, int]
) -> tuple[VersionRow, ...]:
    """Some versions of a module, in the order of their numbers here.

    Args:
      storage: the repository.
      name: name of the module.
      listed: the numbers.
      named: alias -> number.
    """
    hidden = yanked(storage, name)
    versions = (found(storage, name, number) for number in listed)
    return tuple(
        VersionRow(
            number=version.number,
            when=version.when,
            who=version.who,
            digest=version.digest,
            size_bytes=version.size_bytes,
            aliases=tuple(alias for alias, to in named.items() if to == version.number),
            yanked=hidden[version.number].why if version.number in hidden else None,
        )
        for version in versions
        if version is not None
    )


def _changes(storage: Storage, name: ModuleName, listed: Iterable[int]) -> tuple[Change, ...]:
    """What was changed of the aliases, and of the versions that are listed."""
    changes = list[Change]()
    for alias in alias_names(storage, name):
        for record in records.history(storage, alias_key(name, alias)):
            before, after = record.values.get("from"), record.value("to", int)
            was = before if type(before) is int else None
            changes.append(
                Change(record.when, record.who, record.why, f"alias {alias}", was, after)
            )
    yanks = set(storage.names(layout.records_key(name, "yanks", "")))
    for number in (number for number in listed if str(number) in yanks):
        for record in records.history(storage, yank_key(name, number)):
            verb = "withdrawn" if record.value("yanked", bool) else "no longer withdrawn"
            what = f"version {number} {verb}"
            changes.append(Change(record.when, record.who, record.why, what))
    return tuple(sorted(changes, key=lambda change: change.when, reverse=True)[:_LOGGED])
