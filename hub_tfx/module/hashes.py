"""Hashes of files, which are not read twice while nothing shows that they have changed.

What shows it is a file's stamp: size, times and inode. Of these a program can set all but the time
of the last change, which is that of the system's clock. Two changes within one tick of that clock
look the same, so that a stamp says something only once a tick has passed.
"""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from hub_tfx._files import open_regular

_CHUNK_BYTES = 1 << 20
_TICK_S = 0.02  # Linux counts in steps of 10 ms at most.
_MOST_REMEMBERED = 100_000
_remembered: dict[tuple[int, "Stamp"], str] = {}


@dataclass(frozen=True)
class Stamp:
    """What a file looks like from outside; as long as it stays, the file's bytes do, too."""

    size_bytes: int
    mtime_ns: int
    inode: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)

    @property
    def is_settled(self) -> bool:
        """Whether a change from now on would give another stamp."""
        return abs(time.time() - self.ctime_ns / 1e9) > _TICK_S


def hash_file(path: Path) -> tuple[int, str]:
    """Length in bytes and SHA-256, in hex, of a file."""
    sha256 = hashlib.sha256()
    size_bytes = 0
    buffer = bytearray(_CHUNK_BYTES)
    view = memoryview(buffer)
    with open_regular(path) as file:
        while count := file.readinto(buffer):  # type: ignore[attr-defined]
            sha256.update(view[:count])
            size_bytes += count
    return size_bytes, sha256.hexdigest()


def hash_once(path: Path) -> tuple[int, str]:
    """As ``hash_file``; a file that this process has hashed, and whose stamp stays, is not read."""
    status = os.stat(path)
    stamp = Stamp.of(status)
    key = (status.st_dev, stamp)
    if (known := _remembered.get(key)) is not None:
        return stamp.size_bytes, known
    is_settled = stamp.is_settled  # Before it is read: what changes from here on shows.
    size_bytes, sha256 = hash_file(path)
    if is_settled and size_bytes == stamp.size_bytes:
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        _remembered[key] = sha256
    return size_bytes, sha256


def wait_for_tick() -> None:
    """Waits until the stamps of files that were written before are settled."""
    time.sleep(1.5 * _TICK_S)
