"""What a cache holds, and how it gets smaller: a plan first, which is then carried out.

An entry is renamed aside before it is deleted, by whoever holds its lease alone: those who use it
keep it, and nobody ever sees half of it. Handles keep their records, so that a module that is
fetched again has to be the same one.
"""

import logging
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hub_tfx._files import sync, why
from hub_tfx.errors import OutputError
from hub_tfx.module.manifest import is_digest
from hub_tfx.store import leases
from hub_tfx.store.folder import WHAT_TO_SET, CacheFolder
from hub_tfx.store.records import read_record

_log = logging.getLogger(__name__)
_PRUNED = "pruned."


@dataclass(frozen=True)
class CachedModule:
    """An entry of a cache, as it lies there.

    Attributes:
      digest: digest of the module, in hex.
      size_bytes: size of its files together.
      used_s: Unix time of its last use, to a minute; 0 if it is not known.
      handles: handles that gave it, without secrets.
    """

    digest: str
    size_bytes: int
    used_s: float
    handles: tuple[str, ...]


@dataclass(frozen=True)
class Removal:
    """Something that is to be removed, or was to be.

    Attributes:
      digest: digest of the module, or name of what is in quarantine.
      size_bytes: size of its files together.
      used_s: Unix time of its last use; 0 if it is not known.
      handles: handles that gave it.
      kept: why it stays; empty if it goes.
    """

    digest: str
    size_bytes: int
    used_s: float
    handles: tuple[str, ...]
    kept: str = ""


@dataclass(frozen=True)
class PrunePlan:
    """What is to be removed, least recently used first, and what stays although it should go.

    Attributes:
      modules: entries of modules.
      quarantine: damaged entries that were set aside.
      size_bytes: size of all entries before.
    """

    modules: tuple[Removal, ...]
    quarantine: tuple[Removal, ...]
    size_bytes: int

    @property
    def freed_bytes(self) -> int:
        return sum(item.size_bytes for item in self.modules + self.quarantine if not item.kept)

    @property
    def kept_bytes(self) -> int:
        """Size of all entries of modules afterwards."""
        return self.size_bytes - sum(item.size_bytes for item in self.modules if not item.kept)


def cached_modules(folder: CacheFolder) -> list[CachedModule]:
    """The entries of a cache, most recently used first.

    Raises:
      RefusedError: somebody else may write to the cache.
      OutputError: the cache cannot be read.
    """
    folder.check_owner()
    handles = _handles(folder)
    found = [
        CachedModule(
            path.name,
            _size_bytes(path),
            leases.last_used_s(folder.leases / path.name) or leases.last_used_s(path),
            tuple(sorted(handles.get(path.name, ()))),
        )
        for path in _inside(folder, folder.modules)
        if is_digest(path.name)
    ]
    return sorted(found, key=lambda module: (-module.used_s, module.digest))


def quarantined(folder: CacheFolder) -> list[Removal]:
    """What was set aside since it was damaged: name, size and time of its last change."""
    folder.check_owner()
    return [
        Removal(path.name, _size_bytes(path), path.lstat().st_mtime, ())
        for path in sorted(_inside(folder, folder.quarantine))
    ]


def plan_prune(
    folder: CacheFolder,
    *,
    max_size_bytes: int | None = None,
    older_than_s: float | None = None,
    quarantine: bool = False,
    keep: Collection[str] = (),
) -> PrunePlan:
    """What pruning would remove now.

    Args:
      folder: the cache.
      max_size_bytes: size of all modules together that may stay: the least recently used go first.
      older_than_s: seconds since the last use after which a module goes.
      quarantine: whether what is in quarantine goes.
      keep: digests of modules that stay.
    """
    modules = cached_modules(folder)
    size_bytes = left_bytes = sum(module.size_bytes for module in modules)
    wanted: list[Removal] = []
    for module in reversed(modules):
        is_old = older_than_s is not None and time.time() - module.used_s > older_than_s
        is_too_much = max_size_bytes is not None and left_bytes > max_size_bytes
        if not is_old and not is_too_much:
            continue
        item = Removal(module.digest, module.size_bytes, module.used_s, module.handles)
        item = replace(item, kept=_reason_to_keep(folder, item.digest, keep))
        wanted.append(item)
        left_bytes -= 0 if item.kept else item.size_bytes
    aside = tuple(quarantined(folder)) if quarantine else ()
    return PrunePlan(tuple(wanted), aside, size_bytes)


def prune(folder: CacheFolder, plan: PrunePlan) -> PrunePlan:
    """Carries out a plan; returns what came of it: what has come into use meanwhile stays.

    Raises:
      OutputError: something cannot be removed; what was removed before stays removed.
    """
    try:
        _delete(_left_by_killed(folder))
        modules = tuple(item if item.kept else _removed(folder, item) for item in plan.modules)
        for item in plan.quarantine:
            _delete([folder.quarantine / item.digest])
    except OSError as error:
        raise OutputError(
            f"the cache {folder.root} cannot be pruned: {why(error)}; {WHAT_TO_SET}"
        ) from error
    return replace(plan, modules=modules)


def _removed(folder: CacheFolder, item: Removal) -> Removal:
    lease = folder.lease(item.digest)
    with leases.alone(lease, folder.file_mode) as kept:
        if kept:
            return replace(item, kept=kept)
        aside = folder.tmp / f"{_PRUNED}{uuid.uuid4().hex}"
        try:
            os.rename(folder.modules / item.digest, aside)
        except FileNotFoundError:  # Another prune was first.
            return replace(item, kept="it was gone already")
        sync(folder.modules)
        lease.unlink(missing_ok=True)
    _delete([aside])
    _log.info("%s removed from the cache", item.digest)
    return item


def _reason_to_keep(folder: CacheFolder, digest: str, keep: Collection[str]) -> str:
    if digest in keep:
        return "a lock file names it"
    with leases.alone(folder.lease(digest), folder.file_mode) as kept:
        return kept


def _left_by_killed(folder: CacheFolder) -> list[Path]:
    return [path for path in _inside(folder, folder.tmp) if path.name.startswith(_PRUNED)]


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _handles(folder: CacheFolder) -> dict[str, set[str]]:
    """Digest -> the handles that gave it."""
    handles: dict[str, set[str]] = {}
    for path in _inside(folder, folder.handles):
        record = read_record(folder, path)
        if record and isinstance(record.get("handle"), str):
            handles.setdefault(record["digest"], set()).add(record["handle"])
    return handles


def _inside(folder: CacheFolder, directory: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(directory)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(
            f"the cache {folder.root} cannot be read: {why(error)}; {WHAT_TO_SET}"
        ) from error


def _size_bytes(path: Path) -> int:
    """Size of all files below a path. No link is followed."""
    total = 0
    with suppress(OSError):
        total += path.lstat().st_size if not path.is_dir() or path.is_symlink() else 0
    for inside, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(inside, name)).st_size
    return total
