"""The folder of a cache: where it is, what lies where in it, and what is made there.

<root>/hub_tfx/
  modules/<digest>/       see entry.py; appears by one rename, complete
  handles/<key>.json      which digest a handle gave; see records.py
  leases/<digest>         locked by those who use the entry; see leases.py
  quarantine/             damaged entries, kept for inspection
  locks/, tmp/            used by running processes; may be deleted when there are none
"""

import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hub_tfx._files import odd_name, remove_older
from hub_tfx.errors import OutputError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store import leases
from hub_tfx.store.owner import Trust, is_shared

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

    @property
    def leases(self) -> Path:
        return self.base / "leases"

    @property
    def catalogues(self) -> Path:
        return self.base / "catalogues"

    @property
    def trust(self) -> Trust:
        """Whose entries and records are used."""
        return Trust.of(self.root, self.base)

    def check_owner(self) -> None:
        """Checks what is there of the cache.

        Raises:
          RefusedError: somebody else may write there, or a folder is a link.
        """
        trust = self.trust
        for folder in (self.root, self.base, *self._folders):
            try:  # The root may be a link: whoever may set it may set TFHUB_CACHE_DIR, too.
                status = folder.stat() if folder == self.root else folder.lstat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            trust.check(folder, status, sticky=folder == self.root)

    def prepare(self) -> None:
        """Makes what is missing, for this user alone, and removes what was left in it."""
        if self.root.exists() and not self.root.is_dir():
            raise OutputError(f"the cache {self.root} is not a directory: {WHAT_TO_SET}")
        self.make_base()
        for folder in self._folders:
            self._make(folder, 0o755)
        self.check_owner()
        remove_older(self.tmp, "*", _KILLED_S)

    def make_base(self) -> None:
        """Makes the folder in which all else lies, if it is missing; raises OSError."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make(self.base, 0o700)

    def hold(self, digest: str, *, as_use: bool = True) -> None:
        """Keeps an entry, which may be about to come, from being pruned while this process runs.

        Args:
          digest: that of the entry.
          as_use: whether the time of its last use is now.
        """
        leases.hold(self.lease(digest), self.file_mode, as_use=as_use)

    def lease(self, digest: str) -> Path:
        """The file that whoever uses an entry locks; see leases.py.

        An entry of an earlier hub_tfx gets one, with the entry's time as that of its last use.
        """
        path = self.leases / digest
        if not os.path.lexists(path):
            with suppress(OSError):  # Of a read-only cache, or the entry is yet to come.
                made = (self.modules / digest / "manifest.json").stat().st_mtime
                self._make(self.leases, 0o755)
                leases.make(path, self.file_mode, made)
        return path

    @property
    def file_mode(self) -> int:
        return 0o664 if is_shared() else 0o644

    @property
    def _folders(self) -> tuple[Path, ...]:
        return (self.modules, self.handles, self.leases, self.quarantine, self.locks, self.tmp)

    def _make(self, folder: Path, mode: int) -> None:
        try:
            folder.mkdir(mode=mode)
        except FileExistsError:
            return
        if is_shared():  # New files belong to the group of the folder, not to that of their maker.
            folder.chmod(0o2770)

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
    def lock(self, name: str, timeout_s: float) -> Iterator[None]:
        """Held by one process at a time; where the file system cannot lock, by every process."""
        from filelock import FileLock  # Takes longer to import than a hit takes.

        # A soft lock outlives its holder, and its age proves nothing.
        lock = FileLock(
            self.locks / f"{name}.lock",
            timeout=timeout_s,
            mode=self.file_mode,
            fallback_to_soft=False,
        )
        try:
            lock.acquire()
        except (OSError, NotImplementedError) as error:  # filelock.Timeout is an OSError.
            _log.info("%s: without a lock: %s", name, error)
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
