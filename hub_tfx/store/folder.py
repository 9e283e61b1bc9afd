"""The folder of a cache: where it is, what lies where in it, and what is made there.

<root>/hub_tfx/
  modules/<digest>/       see entry.py; appears by one rename, complete
  handles/<key>.json      which digest a handle gave; see records.py
  quarantine/             damaged entries, kept for inspection
  locks/, tmp/            used by running processes; may be deleted when there are none
"""

import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub_tfx._files import odd_name, remove_older
from hub_tfx.errors import OutputError
from hub_tfx.module.handle import ModuleHandle

_log = logging.getLogger(__name__)
_KILLED_S = 24 * 3600
"""Seconds after which a download that nothing was written to is taken for a killed process's."""
WHAT_TO_SET = "set TFHUB_CACHE_DIR or --cache-dir to a directory that you may write"


class CacheFolder:
    """Paths of a cache. Nothing is looked at or made before ``prepare``."""

    def __init__(self, root: str | os.PathLike[str] | None = None):
        """The folder of a cache; see ModuleCache.

        Raises:
          OutputError, HandleError: the root is not a path on this machine, or not valid UTF-8.
        """
        root = os.fspath(root) if root is not None else _default_root()
        if root.startswith("file://"):  # As TF Hub takes it.
            root = ModuleHandle.parse(root).path
        if "://" in root:
            raise OutputError(f"the cache {root} is not a local directory: {WHAT_TO_SET}")
        self.root = Path(os.path.abspath(os.path.expanduser(root)))
        if (shown := odd_name(self.root)) is not None:
            raise OutputError(f"the cache {shown} has a name that is not UTF-8: {WHAT_TO_SET}")
        self.base = self.root / "hub_tfx"

    @property
    def modules(self) -> Path:
        return self.base / "modules"

    @property
    def handles(self) -> Path:
        return self.base / "handles"

    @property
    def quarantine(self) -> Path:
        return self.base / "quarantine"

    @property
    def locks(self) -> Path:
        return self.base / "locks"

    @property
    def tmp(self) -> Path:
        return self.base / "tmp"

    def prepare(self) -> None:
        """Makes what is missing, readable by this user alone, and removes what was left in it."""
        if self.root.exists() and not self.root.is_dir():
            raise OutputError(f"the cache {self.root} is not a directory: {WHAT_TO_SET}")
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.base.mkdir(mode=0o700, exist_ok=True)
        for folder in (self.modules, self.handles, self.quarantine, self.locks, self.tmp):
            folder.mkdir(exist_ok=True)
        remove_older(self.tmp, "*", _KILLED_S)

    @contextmanager
    def work_directory(self) -> Iterator[Path]:
        """A new directory for one fetch, which is removed in the end."""
        work = self.tmp / uuid.uuid4().hex
        work.mkdir()
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    @contextmanager
    def lock(self, handle: ModuleHandle, timeout_s: float) -> Iterator[None]:
        """Held by one process at a time; where the file system cannot lock, by every process."""
        from filelock import FileLock  # Takes longer to import than a hit takes.

        # A soft lock outlives its holder, and its age proves nothing.
        lock = FileLock(
            self.locks / f"{handle.key}.lock", timeout=timeout_s, fallback_to_soft=False
        )
        try:
            lock.acquire()
        except (OSError, NotImplementedError) as error:  # filelock.Timeout is an OSError.
            _log.info("%s: fetched without a lock: %s", handle, error)
        try:
            yield
        finally:
            lock.release()


def _default_root() -> str:
    if configured := os.environ.get("TFHUB_CACHE_DIR"):
        return configured
    caches = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    return os.path.join(caches if os.path.isabs(caches) else "~/.cache", "hub_tfx")
