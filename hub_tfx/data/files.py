"""The files of an input: found by pattern, and Parquet files by their row groups."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from apache_beam.io.filesystem import BeamIOError, FileMetadata
from apache_beam.io.filesystems import FileSystems

from hub_tfx.data.filesystems import is_local
from hub_tfx.data.readers import PARQUET, format_of
from hub_tfx.errors import InputError


@dataclass(frozen=True)
class SourceFile:
    """A file to read, or some row groups of one.

    Attributes:
      path: on any Beam filesystem.
      format: a key of READERS.
      size_bytes: of what is to be read.
      version: tells the file from another one that had its path; empty where that is unknown.
      row_groups: their numbers; None for a whole file.
      start, stop: index of the first row, from 0, and of the one behind the last, None where only
        reading tells.
      finished: ranges of rows that are not to be read, each its first and the one behind its last.
    """

    path: str
    format: str
    size_bytes: int = 0
    version: str = ""
    row_groups: range | None = None
    start: int = 0
    stop: int | None = None
    finished: tuple[tuple[int, int], ...] = ()

    def unfinished(self, start: int, stop: int) -> list[tuple[int, int]]:
        """What of a range of rows is to be read: ranges in order."""
        cuts = [
            (max(start, first), min(stop, behind))
            for first, behind in sorted(self.finished)
            if first < stop and behind > start
        ]
        edges = [(start, start), *cuts, (stop, stop)]
        return [(a, b) for (_, a), (b, _) in pairwise(edges) if a < b]


def split_row_groups(files: Iterable[SourceFile]) -> list[SourceFile]:
    """Parquet files as their row groups, so that several workers read one; others as they are."""
    split = []
    for file in files:
        groups = PARQUET.row_groups(file.path) if file.format == "parquet" else []
        start = 0
        for number, group in enumerate(groups):
            split.append(
                replace(
                    file,
                    size_bytes=group.size_bytes,
                    row_groups=range(number, number + 1),
                    start=start,
                    stop=start + group.rows,
                )
            )
            start += group.rows
        if not groups:
            split.append(file)
    return split


def find_files(patterns: Iterable[str], file_format: str | None = None) -> list[SourceFile]:
    """Expands paths and globs of any Beam filesystem, sorted and each file once.

    Args:
      patterns: the paths.
      file_format: a key of READERS; None to go by each file's ending.

    Raises:
      InputError: a pattern matches nothing, or a file has an ending that is not read.
    """
    found = {file.path: file for pattern in patterns for file in _matching(pattern)}
    unique = {real_path(path): found[path] for path in sorted(found, reverse=True)}
    return [
        SourceFile(
            file.path, file_format or format_of(file.path), file.size_in_bytes, _version(file)
        )
        for file in sorted(unique.values(), key=lambda file: file.path)
    ]


def version_of(path: str) -> str:
    """``SourceFile.version`` of what a local path is now."""
    return _version(_stat(path))


def real_path(path: str) -> str:
    """One name for a file that has several: links and relative paths are followed."""
    return os.path.realpath(path) if is_local(path) else path


def _matching(pattern: str) -> list[FileMetadata]:
    if Path(pattern).is_file():  # Its name may hold characters that a glob gives a meaning.
        return [_stat(pattern)]
    # Beam finds nothing for a local glob without a folder.
    here = "./" if is_local(pattern) and "/" not in pattern else ""
    try:
        found = FileSystems.match([here + pattern])[0].metadata_list
    except (BeamIOError, ValueError) as error:
        raise InputError(f"input {pattern} cannot be listed: {error}") from error
    if not found:
        hint = " (it is a directory: name its files)" if Path(pattern).is_dir() else ""
        raise InputError(f"no file matches the input {pattern}{hint}")
    if is_local(pattern):
        return [_stat(file.path.removeprefix(here)) for file in found]
    return list(found)


def _stat(path: str) -> FileMetadata:
    stat = os.stat(path)
    return FileMetadata(path, stat.st_size, stat.st_mtime_ns / 1e9)


def _version(file: FileMetadata) -> str:
    return f"{file.size_in_bytes} bytes of {file.last_updated_in_seconds!r}"
