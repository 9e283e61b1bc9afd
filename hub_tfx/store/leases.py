"""Leases: what a process uses is not pruned.

Each process that resolves a module holds a shared lock on a small file of that digest, until it
ends: the system frees the lock however it ends, so that neither a clock nor a process id is asked.
Whoever removes an entry needs the same lock for itself alone. The time of the last use is that of
the file. Where the file system has no locks, nobody knows what is in use, and nothing is removed.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hub_tfx._files import why
from hub_tfx._lock import is_at

_log = logging.getLogger(__name__)
_ATTEMPTS, _PAUSE_S = 50, 0.01  # A prune holds a lease for the time of one rename.
_USE_KNOWN_TO_S = 60
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_held: dict[Path, int] = {}
_guard = threading.Lock()


def make(lease: Path, mode: int, used_s: float) -> None:
    """Makes a lease that was last used at this Unix time; raises OSError where it is there."""
    descriptor = os.open(lease, os.O_CREAT | os.O_EXCL | _FLAGS, mode)
    try:
        os.utime(descriptor, (used_s, used_s))
    finally:
        os.close(descriptor)


def hold(lease: Path, mode: int = 0o644, *, as_use: bool = True) -> bool:
    """Keeps an entry from being pruned until this process ends; False where that cannot be.

    A read-only cache in which the file is missing, a file system without locks, and a process that
    was stopped while it prunes do not keep the entry from being used.
    """
    with _guard:
        descriptor = _held.get(lease)
        if descriptor is None or not is_at(lease, descriptor):
            if descriptor is not None:
                os.close(_held.pop(lease))
            descriptor = _acquired(lease, mode)
            if descriptor is None:
                return False
            _held[lease] = descriptor
    if as_use:
        _note_use(descriptor)
    return True


def release(folder: Path) -> None:
    """Gives up the leases of this process on files in a folder."""
    with _guard:
        for lease in [lease for lease in _held if lease.parent == folder]:
            os.close(_held.pop(lease))


@contextmanager
def alone(lease: Path, mode: int = 0o644) -> Iterator[str]:
    """Holds a lease against everyone; gives the reason where that cannot be, otherwise ``""``."""
    try:
        descriptor = os.open(lease, os.O_RDWR | os.O_CREAT | _FLAGS, mode)
    except OSError as error:
        yield f"it cannot be locked: {why(error)}"
        return
    try:
        yield _refused(lease, descriptor)
    finally:
        os.close(descriptor)


def last_used_s(lease: Path) -> float:
    """Unix time of the last use; 0 if there is none that is known."""
    try:
        return lease.lstat().st_mtime
    except OSError:
        return 0.0


def _forked() -> None:
    """A thread that held the guard is not there in a child."""
    global _guard
    _guard = threading.Lock()


os.register_at_fork(after_in_child=_forked)


def _refused(lease: Path, descriptor: int) -> str:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "in use"
    except OSError as error:
        return f"the file system cannot tell what is in use: {why(error)}"
    return "" if is_at(lease, descriptor) else "in use"


def _acquired(lease: Path, mode: int) -> int | None:
    for _ in range(_ATTEMPTS):
        try:
            descriptor = os.open(lease, _FLAGS | os.O_CREAT, mode)
        except OSError as error:
            _log.debug("%s: used without a lease: %s", lease.name, why(error))
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if is_at(lease, descriptor):
                return descriptor
        except BlockingIOError:
            time.sleep(_PAUSE_S)
        except OSError as error:
            _log.debug("%s: used without a lease: %s", lease.name, why(error))
            os.close(descriptor)
            return None
        os.close(descriptor)
    return None


def _note_use(descriptor: int) -> None:
    if abs(time.time() - os.fstat(descriptor).st_mtime) > _USE_KNOWN_TO_S:
        with suppress(OSError):  # Of a read-only cache, or of somebody else's.
            os.utime(descriptor)
