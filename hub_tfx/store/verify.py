"""Reads every byte of a cache again, on all cores, and has what is damaged fetched again."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hub_tfx.errors import HubTfxError
from hub_tfx.module.examine import examine
from hub_tfx.module.hashes import Stamp, hash_file
from hub_tfx.module.manifest import FileEntry
from hub_tfx.store.entry import (
    DamagedEntryError,
    expected_files,
    forget_stamps,
    module_path,
    read_manifest,
    record_stamps,
)
from hub_tfx.store.folder import CacheFolder
from hub_tfx.store.prune import CachedModule, cached_modules


@dataclass(frozen=True)
class Verified:
    """What became of an entry.

    Attributes:
      module: the entry.
      damage: what is wrong with it; empty if each byte is right.
    """

    module: CachedModule
    damage: str


@dataclass(frozen=True)
class _File:
    digest: str
    entry: FileEntry
    path: Path
    stamp: Stamp


def verify_cache(folder: CacheFolder, threads: int | None = None) -> list[Verified]:
    """Hashes every module of a cache.

    What is right is known by the look of its files from then on. What is damaged stays where it is,
    for those who use it; whoever resolves it next has it fetched again and put in its place.

    Args:
      folder: the cache.
      threads: how many files to read at once; None for one a core.

    Raises:
      RefusedError: somebody else may write to the cache.
      OutputError: the cache cannot be read.
    """
    modules = cached_modules(folder)
    damages = {module.digest: "" for module in modules}
    files: list[_File] = []
    for digest in damages:
        try:
            files.extend(_files(folder, digest))
        except (DamagedEntryError, OSError) as error:
            damages[digest] = str(error)
    files.sort(key=lambda file: -file.entry.size_bytes)  # None of the large ones is left for last.
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for file, damage in zip(files, pool.map(_damage_of, files), strict=True):
            damages[file.digest] = damages[file.digest] or damage
    for digest, damage in damages.items():
        stamps = {file.entry.path: file.stamp for file in files if file.digest == digest}
        damages[digest] = damage or _kept(folder.modules / digest, stamps)
        if damages[digest]:
            forget_stamps(folder.modules / digest)
    return [Verified(module, damages[module.digest]) for module in modules]


def _files(folder: CacheFolder, digest: str) -> Iterator[_File]:
    directory = folder.modules / digest
    folder.hold(digest, as_use=False)
    if not directory.is_dir() or directory.is_symlink():
        raise DamagedEntryError("it is not a directory")
    found = expected_files(directory, read_manifest(directory), folder.trust)
    return (_File(digest, entry, path, Stamp.of(status)) for entry, path, status in list(found))


def _damage_of(file: _File) -> str:
    try:
        is_right = hash_file(file.path) == (file.entry.size_bytes, file.entry.sha256)
    except OSError as error:
        return f"{file.entry.path} cannot be read: {error.strerror or error}"
    return "" if is_right else f"{file.entry.path} does not have the bytes that it should"


def _kept(directory: Path, stamps: dict[str, Stamp]) -> str:
    try:
        record_stamps(directory, stamps, examine(module_path(directory)).spec)
    except HubTfxError as error:
        return str(error)
    return ""
