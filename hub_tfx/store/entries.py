"""The entries of a cache: found by digest, put in their place, set aside where they are damaged."""

import errno
import logging
import os
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hub_tfx._files import sync
from hub_tfx.errors import OutputError
from hub_tfx.store.entry import DamagedEntryError, Entry, read_entry
from hub_tfx.store.folder import WHAT_TO_SET, CacheFolder

_log = logging.getLogger(__name__)
_COMMIT_ATTEMPTS = 3


def find_entry(folder: CacheFolder, digest: str) -> tuple[Entry | None, str]:
    """The entry of a digest; or None and, if something is there, what is wrong with it."""
    try:
        return read_entry(folder.modules / digest), ""
    except DamagedEntryError as damage:
        return None, str(damage)


def commit_entry(folder: CacheFolder, entry: Entry) -> Entry:
    """Moves a finished entry to its place, where an equal one may have come first."""
    target = folder.modules / entry.manifest.digest
    for _ in range(_COMMIT_ATTEMPTS):
        try:
            os.rename(entry.directory, target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        else:
            sync(target.parent)
            return replace(entry, directory=target)
        winner, damage = find_entry(folder, target.name)
        if winner is not None:
            return winner
        _set_aside(folder, target, damage)
    raise OutputError(
        f"{target} keeps being damaged while it is replaced: end the programs that write "
        f"there, or {WHAT_TO_SET}"
    )


def _set_aside(folder: CacheFolder, directory: Path, damage: str) -> None:
    aside = folder.quarantine / f"{directory.name}.{uuid.uuid4().hex}"
    with suppress(FileNotFoundError):  # Another process was first.
        os.rename(directory, aside)
        _log.warning("damaged cache entry moved to %s: %s", aside, damage)
