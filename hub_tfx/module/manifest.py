"""Manifest: which files a module has, and which bytes. Its SHA-256 is the module's digest."""

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from hub_tfx._files import odd_name, why
from hub_tfx.errors import ConfigError, DigestMismatchError, InputError, NotAModuleError
from hub_tfx.module.hashes import hash_file, hash_once

__all__ = ["FileEntry", "Manifest", "hash_file", "is_digest", "is_inside", "parse_digest"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, order=True)
class FileEntry:
    """One file of a module.

    Attributes:
      path: POSIX path relative to the module's root.
      size_bytes: length of the file.
      sha256: SHA-256 of the file, in hex.
    """

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The files of a directory, sorted by path. ``from_json(m.to_json()) == m``."""

    files: tuple[FileEntry, ...]

    @classmethod
    def of_directory(cls, root: str | os.PathLike[str], *, once: bool = False) -> "Manifest":
        """Reads and hashes every file below ``root``; empty directories do not count.

        Args:
          root: the directory.
          once: whether to believe what this process has hashed before, where size, times and inode
            of a file have stayed as they were.

        Raises:
          NotAModuleError: ``root`` is not a directory, or holds a link or a device.
          InputError: something in ``root`` cannot be read.
        """
        root = Path(root)
        if not root.is_dir():
            raise NotAModuleError(f"{root} is not a directory")
        hashed = hash_once if once else hash_file
        return cls(tuple(sorted(_entry(root, path, hashed) for path in _walk(root))))

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """The manifest of a text; raises ValueError for anything but what ``to_json`` writes."""
        document: Any = json.loads(text)
        if not isinstance(document, dict) or set(document) != {"files"}:
            raise ValueError("a manifest is a JSON object with the one key 'files'")
        try:
            files = [FileEntry(**entry) for entry in document["files"]]
        except TypeError as error:
            raise ValueError(f"not a manifest: {error}") from error
        for entry in files:
            _check(entry)
        if len({entry.path for entry in files}) != len(files):
            raise ValueError("not a manifest: a file is there twice")
        return cls(tuple(sorted(files)))

    def to_json(self) -> str:
        """Canonical JSON: equal manifests give equal bytes."""
        return json.dumps(
            {"files": [asdict(entry) for entry in self.files]},
            sort_keys=True,
            separators=(",", ":"),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hex: the identity of the module."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.files)

    def verify(self, root: str | os.PathLike[str]) -> None:
        """Reads ``root`` again and compares it with the manifest.

        Raises:
          DigestMismatchError: a file is missing, new or changed; the message names the first one.
          NotAModuleError, InputError: as ``of_directory`` does.
        """
        expected = {entry.path: entry for entry in self.files}
        actual = {entry.path: entry for entry in Manifest.of_directory(root).files}
        for path in sorted(expected.keys() | actual.keys()):
            if expected.get(path) != actual.get(path):
                what = (
                    "is missing"
                    if path not in actual
                    else "is not in the manifest"
                    if path not in expected
                    else "has other bytes than the manifest says"
                )
                raise DigestMismatchError(f"{Path(root) / path} {what}")


def _walk(root: Path) -> Iterator[Path]:
    # Without onerror a directory that cannot be listed would pass for an empty one.
    for folder, folders, names in os.walk(root, onerror=_unreadable, followlinks=False):
        for name in names + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
            yield Path(folder, name)


def _unreadable(error: OSError) -> NoReturn:
    raise InputError(f"{error.filename} cannot be read: {error.strerror}") from error


def _entry(root: Path, path: Path, hashed: Callable[[Path], tuple[int, str]]) -> FileEntry:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise NotAModuleError(
                f"{path} is not a regular file: a module holds files only: copy it with `cp -rL`"
            )
        if (shown := odd_name(path)) is not None:
            raise NotAModuleError(f"{shown}: its name is not valid UTF-8: rename it")
        return FileEntry(path.relative_to(root).as_posix(), *hashed(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {why(error)}") from error


def _check(entry: FileEntry) -> None:
    """Raises ValueError for an entry that no manifest may hold: those of others are read, too."""
    if not isinstance(entry.path, str) or not is_inside(entry.path):
        raise ValueError(f"not a manifest: a file cannot be called {entry.path!r}")
    if type(entry.size_bytes) is not int or entry.size_bytes < 0:
        raise ValueError(f"not a manifest: {entry.path!r} of {entry.size_bytes!r} bytes")
    if not is_digest(entry.sha256):
        raise ValueError(f"not a manifest: {entry.path!r} has no SHA-256 in hex")


def is_inside(path: str) -> bool:
    """Whether a relative path leads to a file below the folder that it is joined to.

    It has no part that is empty, as the first one of an absolute path is, or that leads elsewhere.
    """
    return not any(part in ("", ".", "..") or "\0" in part for part in path.split("/"))


def is_digest(value: object) -> bool:
    """Whether a value is a SHA-256 in hex as we write it: 64 digits, in lower case."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def parse_digest(text: str) -> str:
    """Checks a digest that a person gave, and returns it in lower case.

    Raises:
      ConfigError: the text is not a SHA-256 in hex.
    """
    if not is_digest(text.lower()):
        raise ConfigError(f"{text!r} is not a digest: give all of its 64 hex digits")
    return text.lower()
