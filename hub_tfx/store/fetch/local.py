"""Modules on this machine: a directory that holds a SavedModel, or an archive of one."""

import errno
import os
import shutil
import stat
from pathlib import Path

from hub_tfx._files import MAKE_ROOM, open_regular, why
from hub_tfx.errors import FetchError, InputError, NotAModuleError, OutputError
from hub_tfx.module.files import SAVED_MODEL, SAVED_MODEL_TEXT, holds_module, why_no_module
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.archive import DEFAULT_LIMITS, SUFFIXES, unpack
from hub_tfx.store.tar_reader import Limits

_LET_READ = "see that you may read it"


class LocalFetcher:
    """Copies a directory's files, or unpacks a .tar, .tar.gz or .tgz."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS):
        self._limits = limits

    def fetch(self, handle: ModuleHandle, into: Path) -> None:
        source = checked_source(handle)
        if source.is_dir():
            copy_files(source, into)
        else:
            unpack(source, into, self._limits, name=str(handle))


def checked_source(handle: ModuleHandle) -> Path:
    """The path of a local handle, whose kind is checked but whose files are not read.

    Raises:
      FetchError: nothing is there, or it cannot be read.
      NotAModuleError: the path is neither a directory that holds a SavedModel nor an archive.
    """
    path = Path(handle.path)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise FetchError(
            f"{path} cannot be read: {why(error)}; check the path, and that you may read it"
        ) from error
    if stat.S_ISDIR(mode):
        if not holds_module(path):
            raise NotAModuleError(
                f"{path} is not a module: {why_no_module(path)}: give the directory that does"
            )
    elif path.name in (SAVED_MODEL, SAVED_MODEL_TEXT):
        raise NotAModuleError(f"{path} is a file of a module: give its directory, {path.parent}")
    elif not stat.S_ISREG(mode) or not path.name.endswith(SUFFIXES):
        raise NotAModuleError(
            f"{path} is not a module: give a directory, or a {', '.join(SUFFIXES)} file"
        )
    return path


def copy_files(source: Path, into: Path) -> None:
    """Copies regular files and the directories that hold them.

    Each directory is opened once and read from there, so that a link that is put in its place
    meanwhile is not followed.

    Raises:
      NotAModuleError: there is a link or a device.
      InputError: a file cannot be read.
      OutputError: a copy cannot be written.
    """
    try:
        folder = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InputError(f"{source} cannot be read: {why(error)}; {_LET_READ}") from error
    _copy_folder(folder, source, into)


def _copy_folder(folder: int, source: Path, into: Path) -> None:
    """Copies what is in an open directory, which is closed then; ``source`` is for messages."""
    try:
        for name, is_folder in _listed(folder, source):
            if not is_folder:
                copy_file(source / name, into / name, folder)
                continue
            below = _open_folder(folder, source / name)
            try:
                (into / name).mkdir()
            except OSError as error:
                os.close(below)
                message = f"{into / name} cannot be created: {why(error)}; {MAKE_ROOM}"
                raise OutputError(message) from error
            _copy_folder(below, source / name, into / name)
    finally:
        os.close(folder)


def _listed(folder: int, source: Path) -> list[tuple[str, bool]]:
    """The names in an open directory, and which of them are directories."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError as error:
        raise InputError(f"{source} cannot be read: {why(error)}; {_LET_READ}") from error


def _open_folder(folder: int, path: Path) -> int:
    try:
        return os.open(path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _not_regular(path) from error
        raise InputError(f"{path} cannot be read: {why(error)}; {_LET_READ}") from error


def copy_file(source: Path, target: Path, folder: int | None = None) -> None:
    """Copies a regular file; with ``folder``, the one of its name in that open directory."""
    name = source if folder is None else source.name
    try:
        # This follows no link that was just put there, and does not wait at a FIFO.
        file = open_regular(name, follow_link=False, folder=folder)
    except OSError as error:
        if not _is_regular(name, folder):
            raise _not_regular(source) from error
        raise InputError(f"{source} cannot be read: {why(error)}; {_LET_READ}") from error
    with file:
        try:
            with target.open("xb") as copy:
                shutil.copyfileobj(file, copy, 1 << 20)
        except OSError as error:
            raise OutputError(f"{target} cannot be written: {why(error)}; {MAKE_ROOM}") from error


def _is_regular(name: str | Path, folder: int | None) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:  # It is gone: that it cannot be read is what there is to say.
        return True


def _not_regular(path: Path) -> NotAModuleError:
    return NotAModuleError(
        f"{path} is not a regular file: a module holds files only: copy it with `cp -rL`"
    )
