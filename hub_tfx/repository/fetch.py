"""Handles into a repository: ``repo+DIRECTORY//publisher/model/3`` and ``…@stable``."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hub_tfx.errors import DigestMismatchError, FetchError, HubTfxError, InputError, OutputError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.repository.layout import MODULE, Version
from hub_tfx.repository.names import ModuleName, Reference
from hub_tfx.repository.signing import verify_version
from hub_tfx.repository.storage import Storage, open_storage
from hub_tfx.repository.verify import damage_of
from hub_tfx.repository.versions import aliases_of, find, yank_of
from hub_tfx.store.fetch.base import Pinned
from hub_tfx.store.fetch.local import copy_file

_log = logging.getLogger(__name__)


class RepositoryFetcher:
    """Fetches published versions; see ``store.fetch.base.PinningFetcher``."""

    def pin(self, handle: ModuleHandle, verify_key: Path | None = None) -> Pinned:
        with _told(handle):
            storage, version = _found(handle)
            signed_by = verify_version(storage, version, verify_key) if verify_key else None
            _warn_if_yanked(storage, version, handle)
            numbered = replace(handle, version=version.number, alias="")
            return Pinned(numbered, version.digest, storage.directory(version), signed_by)

    def fetch(self, handle: ModuleHandle, into: Path) -> None:
        with _told(handle):
            storage, version = _found(handle)
            with storage.content(version, into.parent) as content:
                for entry in version.manifest.files:
                    source = content[f"{MODULE}/{entry.path}"]
                    if damage := damage_of(source, entry):
                        raise DigestMismatchError(
                            f"{entry.path} of {version.key}: {damage}: copy the version from "
                            "elsewhere"
                        )
                    _take(source, into / entry.path, into.parent)


def _found(handle: ModuleHandle) -> tuple[Storage, Version]:
    storage = open_storage(handle.authority)
    name = ModuleName.parse(handle.path)
    return storage, find(storage, Reference(name, handle.version, handle.alias or None))


def _warn_if_yanked(storage: Storage, version: Version, handle: ModuleHandle) -> None:
    if (yank := yank_of(storage, version.name, version.number)) is None:
        return
    named = aliases_of(storage, version.name, version.number)
    still = f"; the alias {', '.join(named)} still stands for it" if named else ""
    _log.warning("%s: %s is yanked: %s (%s)%s", handle, version.key, yank.why, yank.who, still)


def _take(source: Path, target: Path, ours: Path) -> None:
    """Moves a file that was downloaded for us, and copies every other."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if ours in source.parents:
            os.rename(source, target)
            return
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error}") from error
    copy_file(source, target)


@contextmanager
def _told(handle: ModuleHandle) -> Iterator[None]:
    """Has errors name the handle, as those of every fetcher do."""
    try:
        yield
    except InputError as error:
        raise FetchError(f"{handle}: {error}") from error
    except HubTfxError as error:
        raise type(error)(f"{handle}: {error}") from error
