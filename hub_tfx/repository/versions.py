"""What a repository holds: modules, versions, aliases and yanks, found by name."""

import json
from collections.abc import Iterator

from hub_tfx.errors import FetchError, InputError, OutputError, TakenError
from hub_tfx.repository import layout, records
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import LATEST, ModuleName, Reference, is_version
from hub_tfx.repository.records import Record
from hub_tfx.repository.signing import signatures
from hub_tfx.repository.storage import Storage

_NAMED = 5
_VERIFY = "see `hub-tfx repo verify`"


def check_repository(storage: Storage) -> None:
    """Raises InputError where there is no repository, or one of a layout that we do not know."""
    text = storage.read(layout.REPOSITORY)
    if text is None:
        raise InputError(
            f"{storage.url} is not a repository: check the path, or publish the first module to it"
        )
    try:
        number = json.loads(text)["layout"]
    except (ValueError, TypeError, LookupError, RecursionError):
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
      OutputError: the store cannot let one of two publishers win.
    """
    text = json.dumps({"layout": layout.LAYOUT}).encode() + b"\n"
    if storage.create(layout.REPOSITORY, text) and storage.create(layout.REPOSITORY, text):
        raise OutputError(
            f"{storage.url} cannot be a repository: its store overwrites a file that is to be "
            "created only where it is absent: use a newer server, or a directory"
        )
    check_repository(storage)
    for key, spelling in layout.spelling_keys(name):
        storage.create(key, spelling.encode())
    check_spelling(storage, name)


def check_spelling(storage: Storage, name: ModuleName) -> None:
    """Raises TakenError where a module or publisher has this name in another case."""
    for key, spelling in layout.spelling_keys(name):
        known = (storage.read(key) or spelling.encode()).decode(errors="replace")
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


def listed(storage: Storage, name: ModuleName) -> list[Version]:
    """The versions of a module, in order; raises FetchError where there is none."""
    if not numbers(storage, name):
        raise _missing(storage, name, "")
    versions = (found(storage, name, number) for number in numbers(storage, name))
    return [version for version in versions if version is not None]


def holding(storage: Storage, name: ModuleName, digest: str, above: int = 0) -> Version | None:
    """The newest version, above a number, that has these bytes; None where none has them."""
    for number in reversed(numbers(storage, name)):
        version = found(storage, name, number) if number > above else None
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
    if reference.alias is None or reference.alias == LATEST:
        number = latest(storage, name)
        if number is None:
            raise _missing(storage, name, "has no version that is not yanked")
    else:
        if not numbers(storage, name):
            raise _missing(storage, name, "")
        number = read_alias(storage, name, reference.alias)
    return read_version(storage, name, number)


def latest(storage: Storage, name: ModuleName) -> int | None:
    """Number of the newest version that is not yanked; None where there is none."""
    hidden = yanked(storage, name)
    for number in reversed(numbers(storage, name)):
        if number not in hidden and found(storage, name, number) is not None:
            return number
    return None


def in_use(storage: Storage, name: ModuleName, alias: str | None = None) -> int | None:
    """Number of the version that an alias stands for; without one, or without it, the latest."""
    target = None if alias is None or alias == LATEST else target_of(storage, name, alias)
    return latest(storage, name) if target is None else target


def alias_names(storage: Storage, name: ModuleName) -> list[str]:
    """The aliases of a module, sorted, without ``latest``."""
    return storage.names(f"{layout.module_key(name)}/{layout.RESERVED}/aliases")


def target_of(storage: Storage, name: ModuleName, alias: str) -> int | None:
    """The number that an alias stands for; None where there is no such alias.

    Its folder may be there without a record: somebody is at work on the first, or was killed.

    Raises:
      DigestMismatchError: its record is damaged.
    """
    record = records.newest(storage, alias_key(name, alias))
    return None if record is None else int(record.value("to", int))


def read_alias(storage: Storage, name: ModuleName, alias: str) -> int:
    """The number that an alias stands for.

    Raises:
      FetchError: there is no such alias.
      DigestMismatchError: its record is damaged.
    """
    target = target_of(storage, name, alias)
    if target is None:
        known = ", ".join([LATEST, *aliases(storage, name)])
        raise FetchError(f"{storage.url}: {name} has no alias {alias!r}: use one of {known}")
    return target


def aliases(storage: Storage, name: ModuleName) -> dict[str, int]:
    """Alias -> number, of every alias but ``latest``."""
    targets = {alias: target_of(storage, name, alias) for alias in alias_names(storage, name)}
    return {alias: number for alias, number in targets.items() if number is not None}


def aliases_of(storage: Storage, name: ModuleName, number: int) -> list[str]:
    """The aliases that stand for a version."""
    return [alias for alias, to in aliases(storage, name).items() if to == number]


def yanked(storage: Storage, name: ModuleName) -> dict[int, Record]:
    """The record of each version that is yanked now."""
    folder = f"{layout.module_key(name)}/{layout.RESERVED}/yanks"
    hidden = {}
    for number in filter(is_version, storage.names(folder)):
        record = records.newest(storage, f"{folder}/{number}")
        if record is not None and record.value("yanked", bool):
            hidden[int(number)] = record
    return hidden


def yank_of(storage: Storage, name: ModuleName, number: int) -> Record | None:
    """The record that has a version yanked now; None where it is not."""
    record = records.newest(storage, yank_key(name, number))
    return record if record is not None and record.value("yanked", bool) else None


def happened(storage: Storage, version: Version) -> list[tuple[str, Record]]:
    """(what, record) of every change that was about a version, the oldest first."""
    name, number = version.name, version.number
    changes = list[tuple[str, Record]]()
    for alias in alias_names(storage, name):
        for record in records.history(storage, alias_key(name, alias)):
            if number in (before := record.values.get("from"), record.values.get("to")):
                verb = "no longer" if before == number else "now"
                changes.append((f"{alias}: {verb} this version", record))
    for record in records.history(storage, yank_key(name, number)):
        changes.append(("yanked" if record.value("yanked", bool) else "no longer yanked", record))
    for record in records.history(storage, card_key(name, number)):
        changes.append(("card corrected", record))
    for record in signatures(storage, name, number):
        changes.append((f"signed by {record.values.get('key')}", record))
    return sorted(changes, key=lambda change: change[1].when)


def card_text(storage: Storage, version: Version) -> bytes:
    """The card of a version as it is now: its newest revision, or what it was published with."""
    record = records.newest(storage, card_key(version.name, version.number))
    if record is not None:
        return str(record.value("card", str)).encode()
    text = storage.read(f"{version.key}/{layout.CARD}")
    if text is None:
        raise InputError(f"{storage.url}: {version.key} has no card: {_VERIFY}")
    return text


def card_key(name: ModuleName, number: int) -> str:
    return layout.records_key(name, "cards", number)


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
