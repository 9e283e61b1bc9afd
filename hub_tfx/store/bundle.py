"""Bundles: modules of a cache in one file, for machines without a network.

    bundle.json                  {"bundle": 1, "modules": [{"digest": …, "handles": […]}, …]}
    modules/<digest>.tar.gz      each module as ``pack`` writes it

A bundle is a plain tar. It is read as suspiciously as any archive from elsewhere: each module is
unpacked and hashed by the cache itself, and appears there complete or not at all. What a bundle
says about handles is believed, so that it has to come from somebody who is trusted.
"""

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from hub_tfx._files import MAKE_ROOM, open_regular, replacing, why
from hub_tfx.errors import (
    ArchiveError,
    HubTfxError,
    InputError,
    OutputError,
    UnsafeArchiveError,
)
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import is_digest
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.store.archive import DEFAULT_LIMITS, pack, tar_header, unpack
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.member_names import MemberNames
from hub_tfx.store.tar_reader import Member, read_members

_INDEX = "bundle.json"
_FORMAT = 1
_INDEX_BYTES = 16 << 20
_ASK = "ask for the bundle again, or make it again by `hub-tfx cache export`"
_Wanted = dict[str, tuple[ModuleHandle, ...]]


@dataclass(frozen=True)
class BundledModule:
    """A module of a bundle.

    Attributes:
      digest: SHA-256 of its manifest, in hex.
      handles: handles under which it is found after the import; none where it came from a path, or
        its handle may hold a secret: it is then resolved by its digest.
      size_bytes: size of its files together.
      was_cached: on import: whether the cache had it already.
    """

    digest: str
    handles: tuple[str, ...]
    size_bytes: int
    was_cached: bool = False


def export_bundle(
    cache: ModuleCache, handles: Iterable[str], file: str | os.PathLike[str]
) -> list[BundledModule]:
    """Writes modules to a bundle; those that the cache does not have are fetched first.

    Args:
      cache: the cache.
      handles: any handles; an alias of a repository becomes the number of the version.
      file: the bundle, which is replaced where it is there; equal modules give equal bytes.

    Raises:
      HubTfxError: a module cannot be resolved; see ModuleCache.resolve.
      DigestMismatchError: a module's files have changed in the cache.
      OutputError: the bundle cannot be written.
    """
    bundled: dict[str, BundledModule] = {}
    modules: dict[str, ResolvedModule] = {}
    for given in handles:
        module = cache.resolve(given)
        modules[module.digest] = module
        before = bundled.get(module.digest, BundledModule(module.digest, (), module.size_bytes))
        names = {*before.handles, *_names(ModuleHandle.parse(given), module)}
        bundled[module.digest] = replace(before, handles=tuple(sorted(names)))
    in_order = [bundled[digest] for digest in sorted(bundled)]
    try:
        with replacing(Path(file)) as temporary, temporary.open("wb") as output:
            _write(output, in_order, modules, temporary.parent)
    except OSError as error:
        raise OutputError(f"{file} cannot be written: {why(error)}; {MAKE_ROOM}") from error
    return in_order


def import_bundle(cache: ModuleCache, file: str | os.PathLike[str]) -> list[BundledModule]:
    """Puts the modules of a bundle into a cache, one after the other.

    Where it ends with an error, the modules before are there, and the others are not.

    Raises:
      ArchiveError: the bundle is cut short or damaged, or is not a bundle.
      UnsafeArchiveError: a member of the bundle or of a module is refused.
      DigestMismatchError: a module is not what the bundle says, or a handle was another module.
      NotAModuleError: what a module should be is none.
      InputError: the bundle cannot be read.
      OutputError: the cache cannot be written.
    """
    try:
        with open_regular(file) as opened:
            return list(_imported(cache, opened))
    except OSError as error:
        raise InputError(f"{file} cannot be read: {why(error)}; check the path") from error
    except HubTfxError as error:
        fix = f"; {_ASK}" if isinstance(error, ArchiveError | UnsafeArchiveError) else ""
        raise type(error)(f"{file}: {error}{fix}") from error


def _names(given: ModuleHandle, module: ResolvedModule) -> list[str]:
    """What a handle is called where nobody should see a secret; a path means nothing elsewhere."""
    return [] if given.is_local or given.may_hold_secret else [module.handle]


# --- Writing -------------------------------------------------------------------------------------


def _write(
    output: BinaryIO,
    bundled: Sequence[BundledModule],
    modules: Mapping[str, ResolvedModule],
    folder: Path,
) -> None:
    listed = [{"digest": module.digest, "handles": list(module.handles)} for module in bundled]
    index = json.dumps({"bundle": _FORMAT, "modules": listed}, indent=1).encode()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(tar_header(_INDEX, len(index)), io.BytesIO(index))
        for module in bundled:
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                packed = Path(scratch, "module.tar.gz")
                modules[module.digest].verify()
                pack(modules[module.digest].path, packed)
                with open_regular(packed) as content:
                    size_bytes = packed.stat().st_size
                    tar.addfile(tar_header(_member(module.digest), size_bytes), content)


def _member(digest: str) -> str:
    return f"modules/{digest}.tar.gz"


# --- Reading -------------------------------------------------------------------------------------


def _imported(cache: ModuleCache, file: BinaryIO) -> Iterator[BundledModule]:
    members = read_members(file, DEFAULT_LIMITS)
    names = MemberNames(DEFAULT_LIMITS.depth, DEFAULT_LIMITS.members)
    wanted = _index(next(members, None), names)
    waiting = dict(wanted)
    for member, pieces in members:
        path = "/".join(names.add_file(member.name))
        digest = next((digest for digest in waiting if _member(digest) == path), None)
        if member.is_directory or digest is None:
            raise UnsafeArchiveError(f"member {member.name[:200]!r} does not belong to a bundle")
        yield _taken(cache, digest, waiting.pop(digest), pieces)
    if waiting:
        raise ArchiveError(f"cut short: the module {min(waiting)} is missing")


def _index(first: tuple[Member, Iterator[bytes]] | None, names: MemberNames) -> _Wanted:
    """Digest -> handles of every module that the bundle says it holds."""
    if first is None or "/".join(names.add_file(first[0].name)) != _INDEX:
        raise ArchiveError(f"not a bundle of modules: it does not begin with {_INDEX}")
    member, pieces = first
    if member.size_bytes > _INDEX_BYTES:
        raise UnsafeArchiveError(f"its {_INDEX} has more than {_INDEX_BYTES} bytes")
    try:
        document = json.loads(b"".join(pieces))
        if document["bundle"] != _FORMAT:
            raise ValueError(f"format {document['bundle']!r}")
        wanted = {entry["digest"]: _handles(entry["handles"]) for entry in document["modules"]}
        if not all(map(is_digest, wanted)) or len(wanted) != len(document["modules"]):
            raise ValueError("digests")
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ArchiveError(f"damaged: its {_INDEX} cannot be read") from error
    return wanted


def _handles(texts: object) -> tuple[ModuleHandle, ...]:
    """The handles of an index; raises ValueError for those that no export writes."""
    if not isinstance(texts, list):
        raise ValueError("handles")
    try:
        handles = tuple(ModuleHandle.parse(text) for text in texts)
    except HubTfxError as error:
        raise ValueError("a handle") from error
    if any(handle.is_local or handle.may_hold_secret for handle in handles):
        raise ValueError("a path or a secret")
    return handles


def _taken(
    cache: ModuleCache, digest: str, handles: tuple[ModuleHandle, ...], pieces: Iterator[bytes]
) -> BundledModule:
    module = cache.take(digest, _Packed(pieces), handles)
    for _ in pieces:  # Those of a module that was there.
        pass
    names = tuple(map(str, handles))
    return BundledModule(digest, names, module.size_bytes, module.cache_hit)


class _Packed:
    """Fetches the module whose archive comes in pieces."""

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces = pieces

    def fetch(self, handle: ModuleHandle, into: Path) -> None:
        packed = into.parent / "module.tar.gz"
        try:
            with packed.open("xb") as file:
                file.writelines(self._pieces)
        except OSError as error:
            message = f"{packed} cannot be written: {why(error)}; {MAKE_ROOM}"
            raise OutputError(message) from error
        unpack(packed, into, name=str(handle))
        packed.unlink()
