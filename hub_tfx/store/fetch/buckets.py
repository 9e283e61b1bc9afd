"""Modules in buckets and on HDFS: a directory that holds a SavedModel, or an archive of one.

Through fsspec's filesystems, with the credentials that the store's own tools would find. Every call
of them is waited for until the deadline at most, since none can be interrupted.
"""

import hashlib
import logging
import posixpath
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hub_tfx.errors import (
    FetchError,
    HubTfxError,
    NotAModuleError,
    RefusedError,
    TransientFetchError,
    UnsafeArchiveError,
)
from hub_tfx.module.files import SAVED_MODEL, SAVED_MODEL_TEXT
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.archive import DEFAULT_LIMITS, SUFFIXES, unpack
from hub_tfx.store.bucket_filesystem import open_bucket, told_by
from hub_tfx.store.fetch.access import Access, current
from hub_tfx.store.fetch.deadline import Deadline, OverdueError
from hub_tfx.store.fetch.part import Part, new_part, scratch
from hub_tfx.store.fetch.progress import Download, arrived, downloading
from hub_tfx.store.member_names import MemberNames
from hub_tfx.store.tar_reader import Limits

Result = TypeVar("Result")

_CHUNK_BYTES = 8 << 20
_LIBRARIES = ("adlfs", "aiobotocore", "azure", "botocore", "fsspec", "gcsfs", "google.auth", "s3fs")
_TAGS = ("generation", "ETag", "etag")
"""By what stores know the bytes of an object."""
_CHECK = "check the handle, and that your credentials let you read it"
_RENAME = "rename the object in the bucket"
_TRY_LATER = "check the network and your credentials, or try again later"


@dataclass(frozen=True)
class BucketFetcher:
    """Copies the objects below a name, or unpacks a .tar, .tar.gz or .tgz.

    The libraries of the stores try again by themselves.

    Attributes:
      total_timeout_s: time that everything may take.
      limits: how much the module may hold.
      access: policy of hosts, which knows a bucket by its URL; that of ``access.using`` or of the
        environment if None.
    """

    total_timeout_s: float = 3600
    limits: Limits = DEFAULT_LIMITS
    access: Access | None = None

    def fetch(self, handle: ModuleHandle, into: Path) -> None:
        with self._opened(handle) as bucket:
            if handle.path.lower().endswith(SUFFIXES):
                bucket.unpack(into)
            else:
                bucket.copy(into)

    def entity_tag(self, handle: ModuleHandle) -> str:
        """A hash over the names of the objects and what the store knows them by."""
        with self._opened(handle) as bucket:
            return bucket.tag()

    @contextmanager
    def _opened(self, handle: ModuleHandle) -> "Iterator[_Bucket]":
        try:
            (self.access or current()).hosts.check_name(f"{handle.scheme}://{handle.authority}")
        except RefusedError as error:
            raise RefusedError(f"{handle}: refused: {error}") from None
        with _QUIET, Deadline(self.total_timeout_s) as deadline, _told(handle, deadline):
            opened = deadline.call(open_bucket, handle.url)
            yield _Bucket(handle, deadline, self.limits, *opened)


@dataclass(frozen=True)
class _Bucket:
    """The objects of one handle."""

    handle: ModuleHandle
    deadline: Deadline
    limits: Limits
    filesystem: Any
    root: str

    def unpack(self, into: Path) -> None:
        size_bytes = int(self._ask(self.filesystem.info, self.root)["size"])
        with scratch(into.parent) as part:
            with downloading(str(self.handle), 0, size_bytes) as download:
                self._download(self.root, size_bytes, part, download)
            unpack(part.path, into, self.limits, name=str(self.handle))

    def copy(self, into: Path) -> None:
        found = self._ask(lambda: self.filesystem.find(self.root, detail=True))
        files = self._checked(found)
        total_bytes = sum(size for *_, size in files)
        with downloading(str(self.handle), 0, total_bytes) as download:
            for name, parts, size_bytes in files:
                with new_part(into.joinpath(*parts)) as part:
                    self._download(name, size_bytes, part, download)

    def tag(self) -> str:
        found = self._ask(lambda: self.filesystem.find(self.root, detail=True))
        tagged = hashlib.sha256()
        for name, info in sorted(found.items()):
            tags = [info[key] for key in _TAGS if info.get(key)]
            if not tags:
                return ""
            tagged.update(repr((name, info.get("size"), str(tags[0]))).encode())
        return tagged.hexdigest() if found else ""

    def _checked(self, found: dict[str, Any]) -> list[tuple[str, tuple[str, ...], int]]:
        """(name, parts of the path, size) of each object, before any is downloaded."""
        names, files = MemberNames(self.limits.depth, self.limits.members), []
        for name, info in sorted(found.items()):
            path = self._below(name)
            # Some tools keep an empty object for each folder.
            if not path or info.get("type") != "file" or path.endswith("/"):
                continue
            files.append((name, self._parts(names, path), int(info["size"] or 0)))
        if not files:
            raise FetchError(f"{self.handle}: there is nothing at that name: {_CHECK}")
        total_bytes = sum(size for *_, size in files)
        if len(files) > self.limits.members or total_bytes > self.limits.total_bytes:
            raise UnsafeArchiveError(
                f"{self.handle}: more than {self.limits.members} objects or "
                f"{self.limits.total_bytes} bytes: if you trust it, download it yourself, and give "
                "the directory"
            )
        if not any(parts in ((SAVED_MODEL,), (SAVED_MODEL_TEXT,)) for _, parts, _ in files):
            raise NotAModuleError(
                f"{self.handle} is not a module: it does not hold {SAVED_MODEL}: give the folder "
                "that does"
            )
        return files

    def _below(self, name: str) -> str:
        """The name of an object below the module's; empty for what is not."""
        below = f"{self.root.strip('/')}/"
        name = name.lstrip("/")
        return name.removeprefix(below) if name.startswith(below) else ""

    def _parts(self, names: MemberNames, path: str) -> tuple[str, ...]:
        if {"", "."} & set(path.split("/")):
            raise UnsafeArchiveError(
                f"{self.handle}: member {path[:200]!r}: an empty part or '.' in its path; {_RENAME}"
            )
        try:
            return names.add_file(path)
        except UnsafeArchiveError as error:
            raise UnsafeArchiveError(f"{self.handle}: {error}; {_RENAME}") from error

    def _download(self, name: str, size_bytes: int, part: Part, download: Download) -> None:
        """Brings an object of a size that was listed into a file."""
        opened = self._ask(lambda: self.filesystem.open(name, "rb", block_size=_CHUNK_BYTES))
        try:
            while chunk := self._ask(opened.read, _CHUNK_BYTES):
                part.write(chunk)
                if part.size_bytes > size_bytes:
                    break
                arrived(download, len(chunk))
        finally:
            self.deadline.call(opened.close)
        if part.size_bytes != size_bytes:
            raise TransientFetchError(
                f"{self.handle}: {posixpath.basename(name)} changed during the copy; {_TRY_LATER}"
            )

    def _ask(self, function: Callable[..., Result], *arguments: object) -> Result:
        return self.deadline.call(function, *arguments)


@contextmanager
def _told(handle: ModuleHandle, deadline: Deadline) -> Iterator[None]:
    """Tells in our errors what the libraries raise, of which each has many."""
    try:
        yield
    except HubTfxError:
        raise
    except OverdueError:
        raise TransientFetchError(
            f"{handle}: not complete after {deadline.total_s:g} s; {_TRY_LATER}"
        ) from None
    except FileNotFoundError:
        raise FetchError(f"{handle}: there is nothing at that name: {_CHECK}") from None
    except PermissionError as error:
        raise FetchError(f"{handle} may not be read: {told_by(error)}; {_CHECK}") from None
    except Exception as error:  # noqa: BLE001 (each library has its own)
        raise TransientFetchError(
            f"{handle}: the store cannot be asked: {told_by(error)}; {_TRY_LATER}"
        ) from None


class _Quiet:
    """Keeps the libraries from logging requests, which have signatures and session tokens.

    What they log of failures is in the errors that they raise. Several threads may be within it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._levels: list[tuple[logging.Logger, int]] = []

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                loggers = map(logging.getLogger, _LIBRARIES)
                self._levels = [(logger, logger.level) for logger in loggers]
                for logger, level in self._levels:
                    logger.setLevel(max(logging.CRITICAL, level))

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for logger, level in self._levels:
                    logger.setLevel(level)


_QUIET = _Quiet()
