"""Reads a whole repository again and compares it with what its markers say."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hub_tfx.errors import DigestMismatchError, InputError
from hub_tfx.module.manifest import FileEntry, hash_file
from hub_tfx.repository import layout, records
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import ModuleName, is_version
from hub_tfx.repository.storage import Storage
from hub_tfx.repository.versions import (
    alias_names,
    check_repository,
    found,
    modules,
    numbers,
    target_of,
)

_OF_VERSIONS = ("cards", "signatures", "yanks")
"""Kinds of records that a version may have."""


@dataclass(frozen=True)
class Damage:
    """What is not as it was published.

    Attributes:
      key: where, below the root of the repository.
      what: what is wrong, in words.
    """

    key: str
    what: str


@dataclass(frozen=True)
class Verified:
    """What was looked at, and the damage that was found."""

    versions: int
    size_bytes: int
    damages: tuple[Damage, ...]


def verify(storage: Storage, name: ModuleName | None = None) -> Verified:
    """Hashes every file of every version again; changes nothing.

    Args:
      storage: the place of the repository.
      name: the only module to look at; all if None.

    Raises:
      InputError: there is no repository, or it cannot be read.
    """
    check_repository(storage)
    versions, size_bytes, damages = 0, 0, list[Damage]()
    for module in modules(storage) if name is None else [name]:
        damages += _damaged_records(storage, module)
        for number in numbers(storage, module):
            versions += 1
            version, damage = _read(storage, module, number)
            damages += damage
            if version is not None:
                size_bytes += sum(entry.size_bytes for entry in version.entries)
                damages += _damaged_files(storage, version)
    return Verified(versions, size_bytes, tuple(damages))


def _read(
    storage: Storage, name: ModuleName, number: int
) -> tuple[Version | None, tuple[Damage, ...]]:
    key = layout.version_key(name, number)
    try:
        version = found(storage, name, number)
    except (DigestMismatchError, InputError) as error:
        return None, (Damage(f"{key}/{layout.MARKER}", str(error)),)
    if version is None:
        return None, (Damage(key, f"it has no {layout.MARKER}, so that it is not a version"),)
    return version, ()


def _damaged_files(storage: Storage, version: Version) -> Iterator[Damage]:
    with storage.content(version) as content:
        for entry in version.entries:
            if damage := damage_of(content[entry.path], entry):
                yield Damage(f"{version.key}/{entry.path}", damage)
    known = {entry.path for entry in version.entries} | {layout.MARKER}
    for key, _ in storage.files(version.key):
        if key.removeprefix(f"{version.key}/") not in known:
            yield Damage(key, "it does not belong there")


def damage_of(file: Path, entry: FileEntry) -> str | None:
    """In words: how a file is not what was published; None where it is."""
    if not file.exists():
        return "it is missing"
    if file.is_symlink() or not file.is_file():
        return "it is not a file"
    if hash_file(file) != (entry.size_bytes, entry.sha256):
        return "it has other bytes than were published"
    return None


def _damaged_records(storage: Storage, name: ModuleName) -> Iterator[Damage]:
    there = numbers(storage, name)
    for alias in alias_names(storage, name):
        key = layout.records_key(name, "aliases", alias)
        try:
            number = target_of(storage, name, alias)
            if number is not None and number not in there:
                yield Damage(key, f"it stands for version {number}, which is not there")
        except (DigestMismatchError, InputError) as error:
            yield Damage(key, str(error))
    for kind in _OF_VERSIONS:
        folder = layout.records_key(name, kind, "")
        for version in filter(is_version, storage.names(folder)):
            try:
                records.history(storage, f"{folder}{version}")
            except (DigestMismatchError, InputError) as error:
                yield Damage(f"{folder}{version}", str(error))
