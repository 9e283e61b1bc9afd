"""A repository in a directory of this machine.

A version is staged beside the others, on the disk, and appears by the rename of its directory,
which fails where the number is taken. Its files are hard links of the blobs, so that what versions
share is there once; a version needs no blob, so that losing one costs room and nothing else.
"""

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from hub_tfx._files import (
    MAKE_ROOM,
    odd_name,
    open_regular,
    read_regular,
    remove_temporary,
    replacing,
    sync,
    sync_tree,
    why,
)
from hub_tfx._lock import sole_writer
from hub_tfx.errors import DigestMismatchError, HandleError, InputError, OutputError
from hub_tfx.module.manifest import FileEntry, hash_file
from hub_tfx.repository import layout
from hub_tfx.repository.layout import Version
from hub_tfx.repository.storage import Content, Garbage

_log = logging.getLogger(__name__)
_STAGED = "version"
_CHUNK_BYTES = 1 << 20
_MISSING = (errno.ENOENT, errno.ENOTDIR)
_WITHOUT_LINKS = (errno.EPERM, errno.ENOTSUP)
_WITHOUT_LINK_HERE = (*_WITHOUT_LINKS, errno.EXDEV, errno.EMLINK)
_NO_LINKS = "use a directory on a filesystem that has hard links"
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


class LocalStorage:
    """See ``storage.Storage``."""

    def __init__(self, root: str):
        """A repository in a directory, which need not be there yet.

        Raises:
          HandleError: its name is not valid UTF-8, or holds what no handle can.
        """
        path = os.path.abspath(os.path.expanduser(root))
        if (shown := odd_name(path)) is not None or "\0" in path:
            raise HandleError(f"the repository {shown or path!r} has a name that is not UTF-8")
        self.root = Path(path)
        self.url = path

    def read(self, key: str) -> bytes | None:
        try:
            return read_regular(self.root / key)
        except OSError as error:
            if error.errno in _MISSING:
                return None
            raise self._unreadable(key, error) from error

    def open(self, key: str) -> BinaryIO | None:
        try:
            return open_regular(self.root / key, follow_link=False)
        except OSError as error:
            if error.errno in _MISSING:
                return None
            raise self._unreadable(key, error) from error

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(f"{self.url}/{folder}"))
        except OSError as error:
            if error.errno in _MISSING:
                return []
            raise self._unreadable(folder, error) from error

    def create(self, key: str, data: bytes) -> bool:
        target = self.root / key
        with self._written(key):
            if target.exists():
                return False
            while True:
                with suppress(FileNotFoundError):  # Garbage was collected just now.
                    return self._create(target, data)

    def _create(self, target: Path, data: bytes) -> bool:
        for folder in (target.parent, self.root / layout.WORK):
            folder.mkdir(parents=True, exist_ok=True)
        temporary = self.root / layout.WORK / uuid.uuid4().hex
        with temporary.open("xb") as file:
            try:
                with suppress(OSError):  # Some filesystems have no locks.
                    fcntl.flock(file, fcntl.LOCK_EX)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.link(temporary, target)
            except FileExistsError:
                return False
            finally:
                temporary.unlink(missing_ok=True)
        self._sync_up(target.parent)
        return True

    def _sync_up(self, folder: Path) -> None:
        """Syncs a folder and those above it, whose names may be new, up to the root."""
        for above in (folder, *folder.parents):
            sync(above)
            if above == self.root:
                return

    def put(self, key: str, source: str) -> bool:
        if "://" in source:
            return False
        target = self.root / key
        with self._written(key):
            while os.path.exists(source):
                target.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # Its folder, which was empty, has been removed.
                    target.unlink(missing_ok=True)
                    _link_or_copy(Path(source), target)
                    self._sync_up(target.parent)
                    return True
        raise InputError(f"{source} cannot be read: it is not there; see that it stays")

    def replace(self, key: str, change: Callable[[bytes | None], bytes | None]) -> None:
        target = self.root / key
        with self._written(key), self._alone():
            data = change(self.read(key))
            if data is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                with replacing(target) as temporary:
                    temporary.write_bytes(data)

    def remove(self, key: str) -> None:
        target = self.root / key
        with self._written(key):
            if not target.is_dir():
                target.unlink(missing_ok=True)
            below = (Path(folder) for folder, _, _ in os.walk(target, topdown=False))
            above = (self.root / path for path in Path(key).parents[:-1])
            for folder in (*below, *above):
                with suppress(OSError):  # It is not empty.
                    folder.rmdir()

    def sweep(self) -> None:
        with self._written(layout.WORK), self._alone():
            remove_temporary(self.root)
            for name in self.names(layout.WORK):
                _is_left(self.root / layout.WORK / name, execute=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Waits until nobody else replaces files here; the lock of a process that dies is free."""
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with suppress(OSError):  # Some filesystems have no locks.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def work(self) -> Iterator[Path]:
        folder = self.root / layout.WORK / uuid.uuid4().hex
        with self._written(layout.WORK):
            folder.parent.mkdir(parents=True, exist_ok=True)
        with sole_writer(folder):
            files = folder / "files"
            with self._written(layout.WORK):
                files.mkdir()
            try:
                yield files
            finally:
                shutil.rmtree(files, ignore_errors=True)

    def push(self, version: Version, content: Content, work: Path) -> None:
        staged = work / _STAGED
        with self._written(layout.module_key(version.name)):
            staged.mkdir()
            for entry in version.entries:
                self._stage(entry, content[entry.path], staged / entry.path, work)
            sync_tree(staged)

    def commit(self, version: Version, work: Path) -> bool:
        staged, target = work / _STAGED, self.root / version.key
        with self._written(version.key):
            marker = staged / layout.MARKER
            marker.unlink(missing_ok=True)
            marker.write_text(version.to_json())
            marker.chmod(0o444)
            sync(marker)
            sync(staged)
            self._keep_blobs(version, staged)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(staged, target)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
                return False
            self._sync_up(target.parent)
        return True

    def _stage(self, entry: FileEntry, source: Path, target: Path, work: Path) -> None:
        """Puts a file of a version where it is staged, as a link if it can be one."""
        target.parent.mkdir(parents=True, exist_ok=True)
        if self._link_blob(entry, target) or self._move(entry, source, target, work):
            return
        _compare(entry, _copy(source, target), source)
        target.chmod(target.stat().st_mode & 0o444)

    def _link_blob(self, entry: FileEntry, target: Path) -> bool:
        """Links a file to the blob of its bytes, if there is one that has them."""
        blob = self.root / layout.blob_key(entry.sha256)
        try:
            if hash_file(blob) != (entry.size_bytes, entry.sha256):
                return False  # `verify` finds it in the version that it is a part of.
            os.link(blob, target)
        except OSError:  # Missing, or with as many links as a file may have.
            return False
        return True

    def _move(self, entry: FileEntry, source: Path, target: Path, work: Path) -> bool:
        """Takes a file that was made in the folder of work, where it need not be copied."""
        if work not in source.parents:
            return False
        os.link(source, target)
        _compare(entry, hash_file(target), source)
        target.chmod(target.stat().st_mode & 0o444)
        return True

    def _keep_blobs(self, version: Version, staged: Path) -> None:
        """Names the files of a version by their digest, for the versions to come."""
        made = list[Path]()
        try:
            for entry in version.entries:
                blob = self.root / layout.blob_key(entry.sha256)
                blob.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileExistsError):
                    os.link(staged / entry.path, blob)
                    made.append(blob)
        except OSError as error:
            if error.errno == errno.ENOSPC:  # Otherwise they would keep what fills the disk.
                for blob in made:
                    blob.unlink(missing_ok=True)
                raise
            _log.info("%s: versions do not share files: %s", self.root, why(error))

    def finish(self, version: Version) -> None:
        """Nothing: a version appears with all that it has."""

    @contextmanager
    def content(self, version: Version, folder: Path | None = None) -> Iterator[Content]:
        yield {entry.path: self.root / version.key / entry.path for entry in version.entries}

    def directory(self, version: Version) -> Path | None:
        return self.root / version.key / layout.MODULE

    def files(self, folder: str) -> Iterator[tuple[str, int]]:
        for below, _, names in os.walk(self.root / folder):
            for name in names:
                path = Path(below, name)
                with suppress(FileNotFoundError):
                    yield path.relative_to(self.root).as_posix(), path.lstat().st_size

    def stamps(self) -> Iterator[tuple[str, str]]:
        for publisher in self.names(""):
            if publisher == layout.RESERVED or publisher.startswith("."):
                continue
            try:
                modules = self.names(publisher)
            except InputError as error:
                yield f"{publisher}/", str(error)
                continue
            for model in modules:
                try:
                    yield from [*self._stamps_of(f"{publisher}/{model}")]
                except InputError as error:
                    yield f"{publisher}/{model}/", str(error)

    def _stamps_of(self, module: str) -> Iterator[tuple[str, str]]:
        for name in self.names(module):
            if name != layout.RESERVED:
                yield from self._stamp(f"{module}/{name}/{layout.MARKER}")
                continue
            for kind in self.names(f"{module}/{name}"):
                for subject in self.names(f"{module}/{name}/{kind}"):
                    folder = f"{module}/{name}/{kind}/{subject}"
                    for record in self.names(folder):
                        yield from self._stamp(f"{folder}/{record}")

    def _stamp(self, key: str) -> Iterator[tuple[str, str]]:
        try:
            found = os.stat(f"{self.url}/{key}")
        except OSError as error:
            if error.errno not in _MISSING:
                raise self._unreadable(key, error) from error
        else:
            yield key, f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}"

    # --- Garbage --------------------------------------------------------------------------------

    def collect(
        self, named: Callable[[], Set[str]], *, execute: bool, forget: bool = False
    ) -> Garbage:
        """Folders of work whose lock nobody holds, and blobs that are linked from nowhere.

        A publisher that has linked a blob has the bytes: removing the blob does not hurt it.
        """
        found, at_work = list[tuple[str, int]](), list[str]()
        with self._written(layout.WORK):
            for name in self.names(layout.WORK):
                key = f"{layout.WORK}/{name}"
                size_bytes = sum(size for _, size in self.files(key)) or _size(self.root / key)
                if _is_left(self.root / key, execute=execute):
                    found.append((key, size_bytes))
                else:
                    at_work.append(key)
            for key, size_bytes in self.files(layout.BLOBS):
                blob = self.root / key
                with suppress(FileNotFoundError):  # Another process collects as well.
                    if blob.stat().st_nlink == 1:
                        found.append((key, size_bytes))
                        if execute:
                            blob.unlink()
        return Garbage(tuple(found), tuple(at_work))

    # --- Errors ---------------------------------------------------------------------------------

    @contextmanager
    def _written(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            fix = _NO_LINKS if error.errno in _WITHOUT_LINKS else MAKE_ROOM
            message = f"{self.root / key} cannot be written: {why(error)}; {fix}"
            raise OutputError(message) from error

    def _unreadable(self, key: str, error: OSError) -> InputError:
        return InputError(
            f"{self.root / key} cannot be read: {why(error)}; see that you may read it"
        )


def _copy(source: Path, target: Path) -> tuple[int, str]:
    """Copies a file; returns length and SHA-256 of what was written."""
    sha256, size_bytes = hashlib.sha256(), 0
    try:
        file = open_regular(source, follow_link=False)
    except OSError as error:
        raise InputError(f"{source} cannot be read: {why(error)}; see that you may") from error
    with file, target.open("xb") as copy:
        while chunk := file.read(_CHUNK_BYTES):
            sha256.update(chunk)
            copy.write(chunk)
            size_bytes += len(chunk)
    return size_bytes, sha256.hexdigest()


def _link_or_copy(source: Path, target: Path) -> None:
    """Gives a file another name, or copies it where it cannot have one there."""
    if not source.is_symlink():
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _WITHOUT_LINK_HERE:
                raise
        else:
            sync(target)
            return
    with open_regular(source) as file, target.open("wb") as copy:
        shutil.copyfileobj(file, copy, _CHUNK_BYTES)
    sync(target)


def _compare(entry: FileEntry, actual: tuple[int, str], source: Path) -> None:
    if actual != (entry.size_bytes, entry.sha256):
        raise DigestMismatchError(
            f"{source} changed while it was published: nothing was; try again when it is at rest"
        )


def _size(path: Path) -> int:
    return 0 if path.is_dir() else path.lstat().st_size


def _is_left(path: Path, *, execute: bool) -> bool:
    """Whether nobody is at work in a file or folder of work; removes it then if asked to."""
    if path.is_dir():
        try:
            with sole_writer(path):
                if execute:
                    shutil.rmtree(path / "files", ignore_errors=True)
        except OutputError:
            return False
        if execute:
            shutil.rmtree(path, ignore_errors=True)
        return True
    with suppress(FileNotFoundError), open_regular(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if execute:
            path.unlink(missing_ok=True)
    return True
