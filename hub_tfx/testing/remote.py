"""A filesystem that is remote to Beam, as a bucket is, and lies in a folder of this machine."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar, cast

from apache_beam.io.filesystem import FileMetadata, FileSystem, MatchResult
from apache_beam.io.localfilesystem import LocalFileSystem

_BINARY = "application/octet-stream"


class RemoteFileSystem(FileSystem):
    """``remote://…`` for what lies below ``root``; Beam finds it by its scheme."""

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

    def _local(self, path: str) -> Path:
        return self.root / path.removeprefix("remote://")

    def _remote(self, path: Path) -> str:
        return f"remote://{path.relative_to(self.root)}"

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
            below = pattern.removeprefix("remote://")
            if pattern.endswith("/**"):
                paths = list((self.root / below[:-3]).rglob("*"))
            else:
                paths = list(self.root.glob(below))
            files = [FileMetadata(self._remote(p), p.stat().st_size) for p in paths if p.is_file()]
            results.append(MatchResult(pattern, files))
        return results

    def create(
        self, path: str, mime_type: str = _BINARY, compression_type: str = "auto"
    ) -> IO[bytes]:
        self._local(path).parent.mkdir(parents=True, exist_ok=True)
        created = LocalFileSystem(None).create(str(self._local(path)), mime_type, compression_type)
        return cast("IO[bytes]", created)

    def open(
        self, path: str, mime_type: str = _BINARY, compression_type: str = "auto"
    ) -> IO[bytes]:
        opened = LocalFileSystem(None).open(str(self._local(path)), mime_type, compression_type)
        return cast("IO[bytes]", opened)

    def copy(self, sources: Sequence[str], destinations: Sequence[str]) -> None:
        raise NotImplementedError

    def rename(self, sources: Sequence[str], destinations: Sequence[str]) -> None:
        for source, destination in zip(sources, destinations, strict=True):
            target = self._local(destination)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._local(source).rename(target)

    def exists(self, path: str) -> bool:
        return self._local(path).is_file()

    def size(self, path: str) -> int:
        return self._local(path).stat().st_size

    def last_updated(self, path: str) -> float:
        return self._local(path).stat().st_mtime

    def checksum(self, path: str) -> str:
        return str(self.size(path))

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, self.size(path), self.last_updated(path))

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            LocalFileSystem(None).delete([str(self._local(path))])

    def _list(self, dir_or_prefix: str) -> Any:
        raise NotImplementedError
