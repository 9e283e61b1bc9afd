"""Files and directories that survive a crash: written beside their final name, synced, renamed."""

import ctypes
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from hub_tfx.errors import OutputError

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")  # See _beside.
MAKE_ROOM = "free some space there, or name a directory that you may write to"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # Arguments of renameat2(2).


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path`` and puts what was written there in its place.

    On any error ``path`` is left as it was, and the temporary file is removed.
    """
    temporary = _beside(path)
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


@contextmanager
def staged_directory(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Gives a new directory beside ``path``, which becomes ``path`` when the block ends well.

    On any error ``path`` is left as it was, and the temporary directory is removed. A process that
    is killed leaves the old directory or the new one under ``path``. Where the filesystem cannot
    swap two names, a kill between two renames leaves the old one beside it, and the next call puts
    it back.

    Args:
      path: the final directory; its parent is made if it is missing.
      replace: whether to replace an existing directory; otherwise it must be empty or missing.

    Raises:
      OSError: the directory cannot be written, or ``path`` is taken.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.hub_tfx-replaced")
    _recover(path, aside)
    temporary = _beside(path)
    try:
        temporary.mkdir()
        yield temporary
        sync_tree(temporary)
        if replace and path.is_dir():
            _swap(temporary, path, aside)
        else:
            os.rename(temporary, path)
        sync(path.parent)
    finally:  # This is the new one if the block failed, otherwise the old one.
        shutil.rmtree(temporary, ignore_errors=True)


def remove_temporary(folder: Path) -> None:
    """Removes from a folder what killed processes left there half written."""
    for left in folder.glob(".*.tmp"):
        if not is_half_written(left.name):
            continue
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def is_half_written(name: str) -> bool:
    """Whether a name is that of a file or directory that ``replacing`` and its like work on."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_older(folder: Path, pattern: str, age_s: float) -> None:
    """Removes what processes that were killed have left in a folder that others use as well.

    Args:
      folder: the folder, which need not be there.
      pattern: glob for the names of files and directories.
      age_s: seconds for which nothing may have changed in what is removed.
    """
    latest_s = time.time() - age_s
    for left in folder.glob(pattern):
        if _changed_s(left) < latest_s:
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                with suppress(OSError):
                    left.unlink()


def _changed_s(path: Path) -> float:
    """Unix time at which a file, or anything in a directory, was last changed."""
    changed_s = 0.0
    # Path.rglob fails where a process that is alive after all removes a directory meanwhile.
    inside: Iterator[str] = (
        os.path.join(folder, name)
        for folder, folders, names in os.walk(path)
        for name in (*folders, *names)
    )
    for found in (os.fspath(path), *inside):
        with suppress(FileNotFoundError):
            changed_s = max(changed_s, os.lstat(found).st_mtime)
    return changed_s


def sync(path: Path) -> None:
    """Forces a file's bytes, or a directory's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Syncs every file below ``root`` and every directory, ``root`` last."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            sync(Path(folder, name))
        sync(Path(folder))


def open_regular(
    path: str | os.PathLike[str], *, follow_link: bool = True, folder: int | None = None
) -> BinaryIO:
    """Opens a file of this machine to read; never waits, and opens nothing that may have no end.

    Every file that a user names, or that lies in a folder of someone else, is opened by this.

    Args:
      path: path of the file.
      follow_link: whether the path may be a symbolic link.
      folder: descriptor of an open directory that the path is relative to.

    Raises:
      OSError: it cannot be opened, or is a directory, a device, a FIFO or a socket.
    """
    # A FIFO that is opened to wait does so until somebody writes to it.
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow_link else os.O_NOFOLLOW)
    descriptor = os.open(path, flags, dir_fd=folder)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(f"it is {kind_of_file(mode)}, not a file")
    return open(descriptor, "rb")


def read_regular(path: str | os.PathLike[str], *, follow_link: bool = True) -> bytes:
    """What a file of this machine holds; raises OSError as ``open_regular`` does."""
    with open_regular(path, follow_link=follow_link) as file:
        return file.read()


def kind_of_file(mode: int) -> str:
    """What ``st_mode`` says that a path is, in words."""
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "a file")


def odd_name(path: str | os.PathLike[str]) -> str | None:
    """A path that is not valid UTF-8, as it can be shown; None for every other path.

    Such a name cannot be written to a manifest, a report or ML Metadata.
    """
    name = os.fspath(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        with suppress(UnicodeEncodeError):  # Of half a character that stands for no byte.
            return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return name.encode("utf-8", "backslashreplace").decode()
    return None


def check_output_name(path: str | os.PathLike[str]) -> None:
    """Raises OutputError for an output whose name is not valid UTF-8: see ``odd_name``."""
    if (shown := odd_name(path)) is not None:
        raise OutputError(f"{shown}: its name is not valid UTF-8: name another directory")


def why(error: OSError) -> str:
    """The reason of an OSError without the path, which the message around it names."""
    return error.strerror or str(error) or type(error).__name__


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


def _swap(new: Path, path: Path, aside: Path) -> None:
    """Puts ``new`` in the place of ``path``, and what was there in the place of ``new``."""
    if exchange(new, path):
        return
    os.rename(path, aside)
    try:
        os.rename(new, path)
    except OSError:
        os.rename(aside, path)
        raise
    os.rename(aside, new)


def _recover(path: Path, aside: Path) -> None:
    """Repairs what a kill between the renames of ``_swap`` left."""
    if not aside.is_dir():
        return
    if path.exists():
        shutil.rmtree(aside)
    else:
        os.rename(aside, path)


def exchange(one: Path, other: Path) -> bool:
    """Swaps two names in one step; False where the system or the filesystem cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    return rename is not None and rename(*names, _RENAME_EXCHANGE) == 0
