"""The entries of a cache: found by digest, put in their place, set aside where they are damaged."""

import errno
import logging
import os
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hub_tfx._files import exchange, sync
from hub_tfx.errors import OutputError
from hub_tfx.store.entry import DamagedEntryError, Entry, read_entry
from hub_tfx.store.folder import WHAT_TO_SET, CacheFolder

_log = logging.getLogger(__name__)
_COMMIT_ATTEMPTS = 3
_LOCK_TIMEOUT_S = 60


def find_entry(folder: CacheFolder, digest: str, *, full: bool = False) -> tuple[Entry | None, str]:
    """The entry of a digest; or None and, if something is there, what is wrong with it.

    Args:
      folder: the cache.
      digest: the digest.
      full: whether somebody relies on the digest; see ``read_entry``.

    Raises:
      RefusedError: somebody else may have made the entry or may change it.
    """
    directory = folder.modules / digest
    if os.path.lexists(directory):
        folder.hold(digest)  # Before it is looked at: from here on it stays.
    return _looked_at(folder, directory, full=full)


def commit_entry(folder: CacheFolder, entry: Entry) -> Entry:
    """Moves a finished entry to its place, where an equal one may have come first.

    A damaged one is swapped with the new one in one step, so that those who use it miss no file.
    """
    target = folder.modules / entry.manifest.digest
    folder.hold(target.name)
    if _renamed(entry.directory, target):
        return replace(entry, directory=target)
    winner, _ = find_entry(folder, target.name, full=True)
    if winner is not None:
        return winner
    with folder.lock(target.name, _LOCK_TIMEOUT_S):  # Of those that find the same damage, one acts.
        for _ in range(_COMMIT_ATTEMPTS):
            winner, damage = find_entry(folder, target.name, full=True)
            if winner is not None:
                return winner
            if damage and exchange(entry.directory, target):
                sync(target.parent)
                _keep_damaged(folder, entry.directory, target.name, damage)
                return replace(entry, directory=target)
            _set_aside(folder, target, damage)
            if _renamed(entry.directory, target):
                return replace(entry, directory=target)
    raise OutputError(
        f"{target} keeps being damaged while it is replaced: end the programs that write "
        f"there, or {WHAT_TO_SET}"
    )


def _looked_at(folder: CacheFolder, directory: Path, *, full: bool) -> tuple[Entry | None, str]:
    try:
        return read_entry(directory, folder.trust, full=full), ""
    except DamagedEntryError as damage:
        return None, str(damage)
    except FileNotFoundError:  # Without locks another process may remove it meanwhile.
        return None, "it was removed meanwhile"


def _renamed(directory: Path, target: Path) -> bool:
    """Moves a directory to a place that is free; False where it is not."""
    try:
        os.rename(directory, target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        return False
    sync(target.parent)
    return True


def _set_aside(folder: CacheFolder, target: Path, damage: str) -> None:
    """Where two names cannot be swapped: the entry is away until the new one has its name."""
    if damage:
        with suppress(FileNotFoundError):  # Another process was first.
            _keep_damaged(folder, target, target.name, damage)


def _keep_damaged(folder: CacheFolder, directory: Path, digest: str, damage: str) -> None:
    aside = folder.quarantine / f"{digest}.{uuid.uuid4().hex}"
    os.rename(directory, aside)
    _log.warning("damaged cache entry moved to %s: %s", aside, damage)
