"""A filesystem that is remote to Beam, as a bucket is, and lies in a folder of this machine."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, ClassVar, cast

from apache_beam.io.filesystem import FileMetadata, FileSystem, MatchResult
from apache_beam.io.localfilesystem import LocalFileSystem

_BINARY = "application/octet-stream"


class RemoteFileSystem(FileSystem):
    """``remote://…`` for what lies below ``root``; Beam finds it by its scheme.

    As in a bucket, there are no folders, an object is there once it is closed, and as a whole, and
    giving it another name is to copy and to delete it.
    """

    root: ClassVar[Path] = Path()

    @classmethod
    @contextmanager
    def at(cls, root: Path) -> Iterator[None]:
        """Has ``remote://`` stand for a folder while the body runs."""
        before, cls.root = cls.root, root
        try:
            yield
        finally:
            cls.root = before

    @classmethod
    def scheme(cls) -> str:
        return "remote"

    def _request(self, method: str, path: str) -> AbstractContextManager[None]:
        """What is around each request to the store, for stores that answer otherwise."""
        return nullcontext()

    def _local(self, path: str) -> Path:
        return self.root / path.removeprefix(f"{self.scheme()}://")

    def _remote(self, path: Path) -> str:
        return f"{self.scheme()}://{path.relative_to(self.root)}"

    def join(self, base: str, *parts: str) -> str:
        return "/".join([base.rstrip("/"), *parts])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def has_dirs(self) -> bool:
        return False

    def mkdirs(self, path: str) -> None:
        raise AssertionError("buckets have no folders to make")

    def match(self, patterns: Sequence[str], limits: object = None) -> list[MatchResult]:
        results = []
        for pattern in patterns:
            with self._request("match", pattern):
                found = [FileMetadata(self._remote(p), size) for p, size in self._found(pattern)]
            results.append(MatchResult(pattern, found))
        return results

    def _found(self, pattern: str) -> list[tuple[Path, int]]:
        """The objects that a pattern stands for, with their sizes."""
        below = pattern.removeprefix(f"{self.scheme()}://")
        if pattern.endswith("/**"):
            paths = list((self.root / below[:-3]).rglob("*"))
        else:
            paths = list(self.root.glob(below))
        return [(path, path.stat().st_size) for path in paths if path.is_file()]

    def create(
        self, path: str, mime_type: str = _BINARY, compression_type: str = "auto"
    ) -> IO[bytes]:
        folder = Path(tempfile.mkdtemp(prefix="hub_tfx-testing-"))
        uploading = folder / Path(path).name
        file = LocalFileSystem(None).create(str(uploading), mime_type, compression_type)

        def finish(is_whole: bool) -> None:
            file.close()
            try:
                if is_whole:
                    with self._request("create", path):
                        self._put(uploading, path)
            finally:
                shutil.rmtree(folder)

        return cast("IO[bytes]", _Upload(file, finish))

    def _put(self, source: Path, path: str) -> None:
        target = self._local(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)

    def open(
        self, path: str, mime_type: str = _BINARY, compression_type: str = "auto"
    ) -> IO[bytes]:
        with self._request("open", path):
            opened = LocalFileSystem(None).open(str(self._local(path)), mime_type, compression_type)
        return cast("IO[bytes]", opened)

    def copy(self, sources: Sequence[str], destinations: Sequence[str]) -> None:
        raise NotImplementedError

    def rename(self, sources: Sequence[str], destinations: Sequence[str]) -> None:
        for source, destination in zip(sources, destinations, strict=True):
            with tempfile.TemporaryDirectory(prefix="hub_tfx-testing-") as folder:
                copy = Path(folder, "copy")
                with self._request("copy", destination):
                    shutil.copyfile(self._local(source), copy)
                    self._put(copy, destination)
            self.delete([source])

    def exists(self, path: str) -> bool:
        with self._request("exists", path):
            return self._local(path).is_file()

    def size(self, path: str) -> int:
        return self._local(path).stat().st_size

    def last_updated(self, path: str) -> float:
        return self._local(path).stat().st_mtime

    def checksum(self, path: str) -> str:
        return hashlib.sha256(self._local(path).read_bytes()).hexdigest()

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, self.size(path), self.last_updated(path))

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            with self._request("delete", path):
                LocalFileSystem(None).delete([str(self._local(path))])

    def _list(self, dir_or_prefix: str) -> Any:
        raise NotImplementedError


class _Upload:
    """A file that becomes an object when it is closed, unless an error closes it."""

    def __init__(self, file: IO[bytes], finish: Callable[[bool], None]):
        self._file = file
        self._finish: Callable[[bool], None] | None = finish

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_Upload":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._end(kind is None)

    def close(self) -> None:
        self._end(True)

    def _end(self, is_whole: bool) -> None:
        finish, self._finish = self._finish, None
        if finish is not None:
            finish(is_whole)
