"""What a repository holds: modules, versions, aliases and yanks, found by name."""

import json
from collections.abc import Iterator
from typing import Any

from hub_tfx.errors import ConfigError, FetchError, InputError, TakenError
from hub_tfx.repository import layout, records
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import LATEST, ModuleName, Reference, is_version
from hub_tfx.repository.records import Record
from hub_tfx.repository.storage import Storage

_NAMED = 5


def check_repository(storage: Storage) -> None:
    """Raises InputError where there is no repository, or one of a layout that we do not know."""
    text = storage.read(layout.REPOSITORY)
    if text is None:
        raise InputError(
            f"{storage.url} is not a repository: check the path, or publish the first module to it"
        )
    try:
        number = json.loads(text)["layout"]
    except (ValueError, TypeError, LookupError):
        number = None
    if number != layout.LAYOUT:
        raise InputError(
            f"{storage.url} is a repository of layout {number!r}, not {layout.LAYOUT}: use the "
            "hub_tfx that published to it"
        )


def prepare(storage: Storage, name: ModuleName) -> None:
    """Makes a place a repository, and reserves a name in the case that it is written in.

    Raises:
      TakenError: a module or publisher has this name in another case.
    """
    storage.create(layout.REPOSITORY, json.dumps({"layout": layout.LAYOUT}).encode() + b"\n")
    check_repository(storage)
    for key, spelling in layout.spelling_keys(name):
        if storage.create(key, spelling.encode()):
            continue
        known = (storage.read(key) or b"").decode(errors="replace")
        if known != spelling:
            raise TakenError(
                f"{name}: {storage.url} has {known!r} already, which differs only in upper and "
                f"lower case: use {known!r}, or another name"
            )


def modules(storage: Storage) -> Iterator[ModuleName]:
    """Names of all modules that have a version, sorted."""
    for publisher in storage.names(""):
        if publisher == layout.RESERVED or publisher.startswith("."):
            continue
        for model in storage.names(publisher):
            name = ModuleName(publisher, model)
            if numbers(storage, name):
                yield name


def numbers(storage: Storage, name: ModuleName) -> list[int]:
    """Numbers of a module's versions, in order; none where there is no such module."""
    return sorted(int(n) for n in storage.names(layout.module_key(name)) if is_version(n))


def found(storage: Storage, name: ModuleName, number: int) -> Version | None:
    """The version of a number; None where there is none."""
    key = layout.version_key(name, number)
    text = storage.read(f"{key}/{layout.MARKER}")
    return None if text is None else Version.from_json(text, key)


def read_version(storage: Storage, name: ModuleName, number: int) -> Version:
    """The version of a number; raises FetchError where there is none."""
    version = found(storage, name, number)
    if version is None:
        raise _missing(storage, name, f"has no version {number}")
    return version


def holding(storage: Storage, name: ModuleName, digest: str) -> Version | None:
    """The newest version of a module that has these bytes; None where none has them."""
    for number in reversed(numbers(storage, name)):
        version = found(storage, name, number)
        if version is not None and version.digest == digest:
            return version
    return None


def find(storage: Storage, reference: Reference) -> Version:
    """The version that a reference stands for now.

    Raises:
      InputError: the place is not a repository.
      FetchError: there is no such module, version or alias.
    """
    check_repository(storage)
    name = reference.name
    if reference.version is not None:
        return read_version(storage, name, reference.version)
    if reference.alias in (None, LATEST):
        number = latest(storage, name)
        if number is None:
            raise _missing(storage, name, "has no version that is not yanked")
    else:
        record = records.newest(storage, alias_key(name, reference.alias))
        if record is None:
            known = ", ".join(["latest", *aliases(storage, name)])
            raise FetchError(
                f"{storage.url}: {name} has no alias {reference.alias!r}: use one of {known}"
            )
        number = int(record.values["to"])
    return read_version(storage, name, number)


def latest(storage: Storage, name: ModuleName) -> int | None:
    """Number of the newest version that is not yanked; None where there is none."""
    hidden = yanked(storage, name)
    for number in reversed(numbers(storage, name)):
        if number not in hidden and found(storage, name, number) is not None:
            return number
    return None


def aliases(storage: Storage, name: ModuleName) -> dict[str, Record]:
    """The newest record of each alias; its ``values["to"]`` is the version."""
    folder = f"{layout.module_key(name)}/{layout.RESERVED}/aliases"
    found = {alias: records.newest(storage, f"{folder}/{alias}") for alias in storage.names(folder)}
    return {alias: record for alias, record in found.items() if record is not None}


def aliases_of(storage: Storage, name: ModuleName, number: int) -> list[str]:
    """The aliases that stand for a version."""
    return [a for a, record in aliases(storage, name).items() if record.values["to"] == number]


def yanked(storage: Storage, name: ModuleName) -> dict[int, Record]:
    """The record of each version that is yanked now."""
    folder = f"{layout.module_key(name)}/{layout.RESERVED}/yanks"
    hidden = {}
    for number in filter(is_version, storage.names(folder)):
        record = records.newest(storage, f"{folder}/{number}")
        if record is not None and record.values["yanked"]:
            hidden[int(number)] = record
    return hidden


def yank_of(storage: Storage, name: ModuleName, number: int) -> Record | None:
    """The record that has a version yanked now; None where it is not."""
    record = records.newest(storage, yank_key(name, number))
    return record if record is not None and record.values["yanked"] else None


def set_alias(
    storage: Storage, name: ModuleName, alias: str, number: int, why: str, who: str | None = None
) -> Record:
    """Has an alias stand for a version from now on; where it does already, nothing is written.

    Raises:
      ConfigError: the alias cannot be set, or the version is yanked.
      FetchError: there is no such version.
    """
    if alias == LATEST:
        raise ConfigError(
            "the alias latest cannot be set: it is the newest version that is not yanked"
        )
    read_version(storage, name, number)
    if hidden := yank_of(storage, name, number):
        raise ConfigError(
            f"{name}/{number} is yanked ({hidden.why}): name a version that is not, or take the "
            "yank back"
        )

    def change(before: Record | None) -> dict[str, Any] | None:
        now = before.values["to"] if before else None
        return None if now == number else {"from": now, "to": number}

    record = records.append(storage, alias_key(name, alias), change, why, who)
    assert record is not None  # None is left only where there was nothing to change.
    return record


def set_yanked(
    storage: Storage,
    name: ModuleName,
    number: int,
    why: str,
    *,
    yanked: bool = True,
    who: str | None = None,
) -> Record | None:
    """Hides a version from ``latest``, or shows it again; it is never deleted.

    Raises:
      FetchError: there is no such version.
    """
    read_version(storage, name, number)

    def change(before: Record | None) -> dict[str, Any] | None:
        now = before is not None and before.values["yanked"]
        return None if now == yanked else {"yanked": yanked}

    return records.append(storage, yank_key(name, number), change, why, who)


def alias_key(name: ModuleName, alias: str) -> str:
    return layout.records_key(name, "aliases", alias)


def yank_key(name: ModuleName, number: int) -> str:
    return layout.records_key(name, "yanks", number)


def taken(storage: Storage, version: Version) -> TakenError:
    """The error of other bytes under a number that is taken."""
    free = (numbers(storage, version.name) or [version.number])[-1] + 1
    return TakenError(
        f"{storage.url}: {version.key} is published already, with other bytes (digest "
        f"{version.digest}): versions never change; the next free number is {free}"
    )


def _missing(storage: Storage, name: ModuleName, what: str) -> FetchError:
    known = numbers(storage, name)
    if not known:
        return FetchError(
            f"{storage.url} has no module {name}: see `hub-tfx repo ls` for what it has"
        )
    listed = ", ".join(map(str, known[-_NAMED:]))
    more = "the newest are" if len(known) > _NAMED else "it has"
    return FetchError(f"{storage.url}: {name} {what}: {more} {listed}")
