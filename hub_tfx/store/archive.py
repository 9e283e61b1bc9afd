"""Archives of modules: unpacked with suspicion, packed so that equal modules give equal bytes.

tarfile's own extraction is not used: its filters have been escaped (CVE-2025-4517).
"""

import gzip
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from hub_tfx._files import MAKE_ROOM, open_regular, replacing, why
from hub_tfx.errors import ArchiveError, HubTfxError, InputError, OutputError, UnsafeArchiveError
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.member_names import MemberNames
from hub_tfx.store.tar_reader import BLOCK_BYTES, GZIP_MAGIC, Limits, read_members

SUFFIXES = (".tar", ".tar.gz", ".tgz")
HEAD_BYTES = BLOCK_BYTES
DEFAULT_LIMITS = Limits()

_PACK = "pack the module's directory again, with `tar -C DIRECTORY -czf FILE .`"
_WHAT_TO_DO: Mapping[type[HubTfxError], str] = {
    ArchiveError: f"download it again, or {_PACK}",
    UnsafeArchiveError: f"{_PACK}, or give the directory if the module is larger than archives may",
    InputError: "see that it is a file that you may read",
}
_COMPRESS_LEVEL = 6  # Fixed, since the level shows in the bytes.


def unpack(
    archive: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    limits: Limits = DEFAULT_LIMITS,
    *,
    name: str | None = None,
) -> None:
    """Unpacks a .tar or .tar.gz (told apart by their first bytes) whose root is the module's root.

    Writes regular files and directories with fresh names and plain modes, nothing else. On any
    error what was written is removed.

    Args:
      archive: path of the archive.
      destination: a directory that is empty or does not exist yet.
      limits: how much the archive may hold.
      name: name of the archive in error messages; its path if None.

    Raises:
      ArchiveError: the archive is cut short, damaged, not a tar, or followed by other bytes.
      UnsafeArchiveError: a member is refused; the message has its name and the rule.
      InputError: the archive cannot be read.
      OutputError: the destination is not empty or cannot be written.
    """
    destination = Path(destination)
    _make_fresh(destination)
    try:
        with _open(archive) as file:
            _unpack(file, destination, limits)
    except BaseException as error:
        _empty(destination)
        for kind, fix in _WHAT_TO_DO.items():
            if isinstance(error, kind):
                raise kind(f"{name or os.fspath(archive)}: {error}; {fix}") from error
        raise


def pack(directory: str | os.PathLike[str], archive: str | os.PathLike[str]) -> None:
    """Writes a .tar.gz; directories with equal manifests give equal bytes.

    Members are sorted, and have neither times nor owners nor the file's name. There are entries for
    directories because TF Hub's resolver does not create parents itself, but none for empty
    directories, which no manifest lists.

    Raises:
      NotAModuleError: ``directory`` is not a directory, or holds a link or a device.
      UnsafeArchiveError: a file has a name that ``unpack`` would refuse.
      InputError: a file cannot be read, or changed while it was packed.
      OutputError: the archive cannot be written.
    """
    directory, archive = Path(directory), Path(archive)
    manifest = Manifest.of_directory(directory)
    try:
        with replacing(archive) as temporary, temporary.open("wb") as file:
            _pack(directory, manifest, file)
    except OSError as error:
        raise OutputError(f"{archive} cannot be written: {why(error)}; {MAKE_ROOM}") from error


def looks_like_archive(head: bytes) -> bool:
    """Whether a file with these first bytes (HEAD_BYTES of them) may be a .tar or .tar.gz."""
    if head.startswith(GZIP_MAGIC):
        return True
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _make_fresh(destination: Path) -> None:
    try:
        destination.mkdir(parents=True, exist_ok=True)
        if any(destination.iterdir()):
            raise OutputError(
                f"{destination} is not empty: name another one, nothing is unpacked over files"
            )
    except OSError as error:
        raise OutputError(f"{destination} cannot be written: {why(error)}; {MAKE_ROOM}") from error


def _empty(directory: Path) -> None:
    for folder, folders, names in os.walk(directory, topdown=False):
        for name in names:
            os.unlink(os.path.join(folder, name))
        for name in folders:
            os.rmdir(os.path.join(folder, name))


def _open(archive: str | os.PathLike[str]) -> BinaryIO:
    try:
        return open_regular(archive)
    except OSError as error:
        raise InputError(f"the archive cannot be read: {why(error)}") from error


def _unpack(file: BinaryIO, destination: Path, limits: Limits) -> None:
    names = MemberNames(limits.depth, limits.members)
    written: set[Path] = set()
    for member, pieces in read_members(file, limits):
        if member.is_directory:
            _make_directory(destination.joinpath(*names.add_directory(member.name)))
        else:
            path = destination.joinpath(*names.add_file(member.name))
            if path in written:
                _compare(member.name, path, pieces)
                continue
            _make_directory(path.parent)
            _write(path, pieces)
            written.add(path)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be created: {why(error)}; {MAKE_ROOM}") from error


def _compare(name: str, path: Path, pieces: Iterator[bytes]) -> None:
    """Some writers pack a file twice, which is harmless while both are the same."""
    try:
        with open_regular(path, follow_link=False) as file:
            is_same = all(file.read(len(piece)) == piece for piece in pieces)
            if is_same and not file.read(1):
                return
    except OSError as error:
        raise OutputError(f"{path} cannot be read back: {why(error)}; {MAKE_ROOM}") from error
    raise UnsafeArchiveError(f"member {name[:200]!r}: a second member of that name, of other bytes")


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(path, flags, 0o644), "wb") as file:
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {why(error)}; {MAKE_ROOM}") from error


def _pack(directory: Path, manifest: Manifest, file: BinaryIO) -> None:
    sizes = {entry.path: entry.size_bytes for entry in manifest.files}
    folders = {str(f) for path in sizes for f in PurePosixPath(path).parents} - {"."}
    names = MemberNames(DEFAULT_LIMITS.depth, DEFAULT_LIMITS.members)
    packed = gzip.GzipFile("", "wb", _COMPRESS_LEVEL, file, mtime=0)
    with packed, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folders | sizes.keys()):
            if path in folders:
                names.add_directory(path)
                tar.addfile(tar_header(path, kind=tarfile.DIRTYPE, mode=0o755))
            else:
                names.add_file(path)
                _add_file(tar, tar_header(path, sizes[path]), directory)


def tar_header(
    path: str, size_bytes: int = 0, *, kind: bytes = tarfile.REGTYPE, mode: int = 0o644
) -> tarfile.TarInfo:
    """The header of a member, the same whoever writes it and whenever."""
    header = tarfile.TarInfo(path)  # The defaults are time 0, owner 0, no names of owners.
    header.type, header.mode, header.size = kind, mode, size_bytes
    return header


def _add_file(tar: tarfile.TarFile, header: tarfile.TarInfo, directory: Path) -> None:
    with open_regular(directory / header.name) as source:
        tar.addfile(header, source)
        if source.read(1):
            raise InputError(f"{directory / header.name} grew while it was packed: pack it again")
