"""What a repository needs of the place that it lies in.

The roles are small, as in oras-go, and a disk and a bucket play them in their own ways: a version
appears on a disk by the rename of a directory, in a bucket by the marker, which is created last.
``hub_tfx.testing.repositories`` tests what is promised here.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from hub_tfx.errors import HandleError
from hub_tfx.module.handle import IN_REPOSITORY
from hub_tfx.repository.layout import Version

Content = Mapping[str, Path]
"""The files of a version on this machine, by their path in the version, as ``Version.entries``."""


class Storage(Protocol):
    """A place for a repository. Keys are paths below its root, with ``/``.

    Attributes:
      url: what a person types to name it, without secrets.

    Every method raises OutputError or InputError where the place cannot be written or read, and
    TransientFetchError where trying again may help.
    """

    url: str

    def read(self, key: str) -> bytes | None:
        """The content of a small file; None where it is not there."""

    def open(self, key: str) -> BinaryIO | None:
        """A file of any size, to be read from any position; None where it is not there."""

    def names(self, folder: str) -> list[str]:
        """Names of the files and folders directly in a folder, sorted; none where it is missing."""

    def create(self, key: str, data: bytes) -> bool:
        """Writes a small file that is not there yet; False, and nothing done, where it is.

        Of several that create the same file one gets True. Nobody sees a part of it.
        """

    def put(self, key: str, source: str) -> bool:
        """Brings a file to the place, over what is there; a reader may see a part of it.

        It is a link, or the store itself copies it, where that can be.

        Args:
          key: where it goes.
          source: path on this machine, or the URL of a store.

        Returns:
          Whether it was brought; False, and nothing done, where it lies in another kind of store.
        """

    def replace(self, key: str, change: Callable[[bytes | None], bytes | None]) -> None:
        """Replaces a small file as a whole, until there is nothing to change.

        Args:
          key: where it is.
          change: the new content after what is there now, or None where that may stay. On a disk
            nobody else writes the file meanwhile. In a bucket somebody may, so it is asked again.
        """

    def remove(self, key: str) -> None:
        """Removes a file, if it is there, or on a disk the folders in a folder that hold nothing.

        On a disk the folders above that are empty afterwards go as well.
        """

    def sweep(self) -> None:
        """Removes what is left of files whose writers were killed, and nothing of the others'."""

    def work(self) -> AbstractContextManager[Path]:
        """An empty folder of this machine for a publisher, which is known to be at work meanwhile.

        What the repository collects as garbage spares what a publisher at work relies on.

        Raises:
          OutputError: garbage is being collected.
        """

    def push(self, version: Version, content: Content, work: Path) -> None:
        """Brings the files of a version to the place, where nobody sees them yet.

        The bytes are compared with the version's manifest on their way.

        Args:
          version: what the files are to be; its number does not matter.
          content: file for each of ``version.entries``.
          work: folder that ``work()`` gave.

        Raises:
          DigestMismatchError: a file is not what the manifest says.
        """

    def commit(self, version: Version, work: Path) -> bool:
        """Makes a version appear, complete; False, and nothing done, where its number is taken.

        A process that is killed leaves no version, or a complete one. A version that lost its
        number may be committed under another.

        Args:
          version: what the marker is to say; its files have been pushed with the same folder.
          work: folder that ``work()`` gave.
        """

    def finish(self, version: Version) -> None:
        """Puts right what a kill right after the marker left out; nothing where all is there."""

    def content(
        self, version: Version, folder: Path | None = None
    ) -> AbstractContextManager[Content]:
        """The files of a version, on this machine while the context lasts.

        They are not verified, and one that is missing in the place is missing here.

        Args:
          version: the version.
          folder: where to put what has to be downloaded; a temporary folder if None.
        """

    def directory(self, version: Version) -> Path | None:
        """The directory of the module itself where it lies on this machine; otherwise None."""

    def files(self, folder: str) -> Iterator[tuple[str, int]]:
        """(key, size in bytes) of every file below a folder, in no order."""

    def stamps(self) -> Iterator[tuple[str, str]]:
        """(key, stamp) of the marker of every version and of every record, in no order.

        These files never change, so that equal keys are equal content; the stamp tells one that
        was put in the place of another. A folder that cannot be listed is told by its key with a
        ``/`` at the end, and the reason in the place of a stamp.
        """

    def collect(
        self, named: Callable[[], Set[str]], *, execute: bool, forget: bool = False
    ) -> "Garbage":
        """Finds what publishers that were killed left, and blobs that no version names.

        What a publisher at work relies on is spared; no clock is asked who that is.

        Args:
          named: gives the digests that the markers name, when no publisher can add one.
          execute: whether to remove what is found.
          forget: whether publishers that seem to be at work are known to be dead. Needed in a
            bucket only: a disk knows who holds a lock.

        Raises:
          OutputError: another process collects.
        """


@dataclass(frozen=True)
class Garbage:
    """What may be removed, or was.

    Attributes:
      files: (key, bytes that are free afterwards) of each file.
      at_work: publishers for whose sake something was spared, in words.
    """

    files: tuple[tuple[str, int], ...]
    at_work: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(size_bytes for _, size_bytes in self.files)


def handle_of(storage: Storage, version: str) -> str:
    """Handle of a version, such as ``publisher/model/3``, wherever handles are taken."""
    return f"{IN_REPOSITORY}{storage.url}//{version}"


def open_storage(repository: str | os.PathLike[str]) -> Storage:
    """The storage of a repository: a directory of this machine, or ``s3://``, ``gs://`` and so on.

    Nothing is read or written yet.

    Raises:
      HandleError: it is not the name of a place.
    """
    text = os.fspath(repository)
    if not text.strip():
        raise HandleError("the repository has no name: give a directory, s3://… or gs://…")
    if "://" in text and not text.startswith("file://"):
        from hub_tfx.repository.buckets import BucketStorage

        return BucketStorage(text)
    from hub_tfx.repository.local import LocalStorage

    return LocalStorage(text.removeprefix("file://"))
