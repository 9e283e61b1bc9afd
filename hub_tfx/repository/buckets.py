"""A repository in a bucket, ``s3://`` or ``gs://``, through fsspec.

A bucket has no rename. Content goes to blobs first, which are named by their bytes, so that two
publishers cannot disturb each other; then the marker is created, if it is absent; and last what a
web server is to find beside it is copied from the blobs, by the store itself; in ``gs://`` the
module's files, too, which TensorFlow reads in place. A reader of ours needs marker and blobs only.
"""

import json
import os
import posixpath
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from hub_tfx.errors import (
    DigestMismatchError,
    HandleError,
    HubTfxError,
    InputError,
    OutputError,
    TransientFetchError,
)
from hub_tfx.module.manifest import FileEntry, hash_file
from hub_tfx.repository import layout
from hub_tfx.repository.layout import Version
from hub_tfx.repository.records import now, whoami
from hub_tfx.repository.storage import Content, Garbage
from hub_tfx.store.bucket_filesystem import open_bucket, told_by

_COLLECTOR = f"{layout.WORK}/collector.json"
_BLOCK_BYTES = 4 << 20
_LISTED_AT_ONCE = 16
_TELLING = ("ETag", "etag", "generation", "md5Hash", "created")
_CREATE_ONCE = ("s3", "s3a", "gs", "gcs", "memory")
"""Stores that create a file only where it is absent. Others take the option and overwrite."""


class BucketStorage:
    """See ``storage.Storage``."""

    def __init__(self, url: str):
        """A repository below a URL; nothing is asked yet.

        Raises:
          HandleError: the URL is not one of a store, or holds a credential.
          ConfigError: what reaches this kind of store is not installed.
        """
        self.url = url.rstrip("/")
        check_url(url)
        self._fs, root = open_bucket(self.url)
        self._root = root.rstrip("/")

    def read(self, key: str) -> bytes | None:
        with self._asked(key):
            try:
                content: bytes = self._fs.cat_file(self._at(key))
            except (FileNotFoundError, IsADirectoryError):
                return None
            return content

    def open(self, key: str) -> BinaryIO | None:
        with self._asked(key):
            try:
                file = self._fs.open(self._at(key), "rb", block_size=_BLOCK_BYTES)
            except (FileNotFoundError, IsADirectoryError):
                return None
            return cast(BinaryIO, file)

    def names(self, folder: str) -> list[str]:
        with self._asked(folder):
            at = self._at(folder)
            try:
                paths = self._fs.ls(at, detail=False)
            except FileNotFoundError:
                return []
            below = f"{at.strip('/')}/"
            found = {p.strip("/").removeprefix(below) for p in paths if p.strip("/") != below[:-1]}
            return sorted(found - {""})

    def create(self, key: str, data: bytes) -> bool:
        with self._asked(key, writing=True):
            try:
                self._fs.pipe_file(self._at(key), data, mode="create")
            except FileExistsError:
                return False
            return True

    def put(self, key: str, source: str) -> bool:
        scheme, is_url, _ = source.partition("://")
        if is_url and scheme not in self._schemes:
            return False
        with self._asked(key, writing=True):
            if is_url:
                self._fs.cp_file(self._fs._strip_protocol(source), self._at(key))
            else:
                self._fs.put_file(source, self._at(key))
        return True

    def replace(self, key: str, change: Callable[[bytes | None], bytes | None]) -> None:
        while (data := change(self.read(key))) is not None:
            with self._asked(key, writing=True):
                self._fs.pipe_file(self._at(key), data)

    def remove(self, key: str) -> None:
        with self._asked(key, writing=True), suppress(FileNotFoundError):
            self._fs.rm_file(self._at(key))

    def sweep(self) -> None:
        """Nothing: an object appears as a whole."""

    @property
    def _schemes(self) -> Sequence[str]:
        """The beginnings of URLs of this kind of store."""
        schemes: str | Sequence[str] = self._fs.protocol
        return (schemes,) if isinstance(schemes, str) else schemes

    @contextmanager
    def work(self) -> Iterator[Path]:
        lease = f"{layout.WORK}/{uuid.uuid4().hex}.json"
        self.create(lease, _whose())
        try:
            # Each side first says that it is there and then looks for the other, so that at least
            # one of two sees the other.
            self._refuse_collector()
            with tempfile.TemporaryDirectory(prefix="hub_tfx-publish-") as folder:
                yield Path(folder)
        finally:
            with suppress(HubTfxError):
                self.remove(lease)

    def push(self, version: Version, content: Content, work: Path) -> None:
        for entry in version.entries:
            self._push(entry, content[entry.path])

    def commit(self, version: Version, work: Path) -> bool:
        if not self.create(f"{version.key}/{layout.MARKER}", version.to_json().encode()):
            return False
        self.finish(version)
        return True

    def _push(self, entry: FileEntry, source: Path) -> None:
        if hash_file(source) != (entry.size_bytes, entry.sha256):
            raise DigestMismatchError(
                f"{source} changed while it was published: nothing was; try again when it is at "
                "rest"
            )
        key = layout.blob_key(entry.sha256)
        if self._size(key) != entry.size_bytes:
            with self._asked(key, writing=True):
                self._fs.put_file(os.fspath(source), self._at(key))

    def finish(self, version: Version) -> None:
        for entry in version.entries if self._is_read_in_place else version.beside:
            key = f"{version.key}/{entry.path}"
            if self._size(key) != entry.size_bytes:
                with self._asked(key, writing=True):
                    self._fs.cp_file(self._at(layout.blob_key(entry.sha256)), self._at(key))

    @contextmanager
    def content(self, version: Version, folder: Path | None = None) -> Iterator[Content]:
        with tempfile.TemporaryDirectory(prefix="hub_tfx-fetch-", dir=folder) as below:
            content = dict[str, Path]()
            for number, entry in enumerate(version.entries):
                content[entry.path] = Path(below, str(number))
                inside = entry.path.startswith(f"{layout.MODULE}/")
                key = layout.blob_key(entry.sha256) if inside else f"{version.key}/{entry.path}"
                with self._asked(key), suppress(FileNotFoundError):
                    self._fs.get_file(self._at(key), os.fspath(content[entry.path]))
            yield content

    def directory(self, version: Version) -> Path | None:
        """None: a bucket is not on this machine."""
        return None

    def files(self, folder: str) -> Iterator[tuple[str, int]]:
        with self._asked(folder):
            found = self._fs.find(self._at(folder), detail=True)
            for path, info in found.items():
                below = path.strip("/").removeprefix(f"{self._root.strip('/')}/")
                yield below, int(info["size"] or 0)

    def stamps(self) -> Iterator[tuple[str, str]]:
        """Those of several publishers at once: a listing of each leaves the blobs out."""
        publishers = [n for n in self.names("") if n != layout.RESERVED and not n.startswith(".")]
        with ThreadPoolExecutor(_LISTED_AT_ONCE) as pool:
            for found in pool.map(self._stamps_of, publishers):
                yield from found

    def _stamps_of(self, publisher: str) -> list[tuple[str, str]]:
        with self._asked(publisher):
            found = self._fs.find(self._at(publisher), detail=True)
        below = f"{self._root.strip('/')}/"
        named = ((path.strip("/").removeprefix(below), info) for path, info in found.items())
        return [(key, _stamp(info)) for key, info in named if _never_changes(key)]

    # --- Garbage --------------------------------------------------------------------------------

    def collect(
        self, named: Callable[[], Set[str]], *, execute: bool, forget: bool = False
    ) -> Garbage:
        """Leases of dead publishers, and blobs that no marker names.

        A publisher that found a blob does not send it again, so that nothing is removed while one
        is at work. A bucket does not know whether it lives: a person says so, by ``forget``.
        """
        if not execute:
            return self._garbage(named, forget)
        if forget:
            self.remove(_COLLECTOR)
        if not self.create(_COLLECTOR, _whose()):
            self._refuse_collector()
        try:
            garbage = self._garbage(named, forget)
            for key, _ in garbage.files:
                self.remove(key)
            return garbage
        finally:
            self.remove(_COLLECTOR)

    def _garbage(self, named: Callable[[], Set[str]], forget: bool) -> Garbage:
        leases = [k for k, _ in self.files(layout.WORK) if k != _COLLECTOR]
        if leases and not forget:
            return Garbage((), tuple(map(self._holder, leases)))
        blobs = list(self.files(layout.BLOBS))
        kept = named()
        left = [(key, 0) for key in leases]
        return Garbage((*left, *((k, s) for k, s in blobs if posixpath.basename(k) not in kept)))

    def _holder(self, lease: str) -> str:
        try:
            whose = json.loads(self.read(lease) or b"{}")
            return f"{whose['who']} since {whose['when']}"
        except (ValueError, LookupError, TypeError, RecursionError):
            return lease

    def _refuse_collector(self) -> None:
        if self.read(_COLLECTOR) is not None:
            raise OutputError(
                f"{self.url}: garbage is being collected by {self._holder(_COLLECTOR)}: try again "
                "when that has ended, or run `hub-tfx repo gc --yes --forget` if it is dead"
            )

    @property
    def _is_read_in_place(self) -> bool:
        """Whether TensorFlow reads modules where they are, by the uncompressed hosting protocol."""
        return self.url.startswith(("gs://", "gcs://"))

    # --- The store ------------------------------------------------------------------------------

    def _at(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root

    def _size(self, key: str) -> int | None:
        """Size of an object in bytes; None where it is not there."""
        with self._asked(key):
            try:
                return int(self._fs.info(self._at(key))["size"])
            except FileNotFoundError:
                return None

    @contextmanager
    def _asked(self, key: str, *, writing: bool = False) -> Iterator[None]:
        """Tells in our errors what a store answers in its own, of which each library has many."""
        try:
            yield
        except HubTfxError:
            raise
        except (FileNotFoundError, PermissionError) as error:
            kind = OutputError if writing else InputError
            verb = "written" if writing else "read"
            raise kind(
                f"{self.url}/{key} cannot be {verb}: {told_by(error)}; check that the bucket is "
                "there and that you may use it"
            ) from error
        except Exception as error:
            raise TransientFetchError(
                f"{self.url}/{key}: the store cannot be asked: {told_by(error)}; check the network "
                "and your credentials, or try again later"
            ) from error


def check_url(url: str, what: str = "a repository") -> None:
    """Raises HandleError for a URL that is not one of a store, or holds a credential.

    Args:
      url: the URL.
      what: what is to lie there, in words.
    """
    scheme, _, path = url.partition("://")
    if scheme not in _CREATE_ONCE:
        raise HandleError(
            f"{scheme}://… cannot hold {what}: use a directory, s3:// or gs://, which are known to "
            "let one of two publishers win"
        )
    if not path.strip("/") or any(c in path for c in "@?#"):
        raise HandleError(
            f"{scheme}://… is not the URL of {what}: give bucket and folder, without credentials, "
            "which come from where the store's own tools look for them"
        )


def _never_changes(key: str) -> bool:
    """Whether a key is that of a version's marker or of a record."""
    parts = key.split("/")
    if len(parts) == 4:
        return parts[3] == layout.MARKER
    return len(parts) == 6 and parts[2] == layout.RESERVED


def _stamp(info: Mapping[str, Any]) -> str:
    """What stores tell of an object that is another one for other bytes."""
    return "-".join(str(info[name]) for name in ("size", *_TELLING) if info.get(name))


def _whose() -> bytes:
    return json.dumps({"who": whoami(), "when": now()}).encode()
