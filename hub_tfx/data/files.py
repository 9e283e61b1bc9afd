"""The files of an input: found by pattern, and Parquet files by their row groups."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from glob import escape, glob
from itertools import pairwise
from pathlib import Path

from apache_beam.io.filesystem import BeamIOError, FileMetadata
from apache_beam.io.filesystems import FileSystems

from hub_tfx._files import kind_of_file, odd_name
from hub_tfx.data.filesystems import is_local
from hub_tfx.data.readers import PARQUET, format_of
from hub_tfx.data.readers.formats import format_of_name
from hub_tfx.errors import InputError
from hub_tfx.module.hashes import hash_file

_READ_AT_ONCE = 16
_HIDDEN = (".", "_")
"""Names that begin so are those of hidden files, and of markers, as Hadoop's tools have them."""
_ABOUT_DATASETS = ("dataset_info.json", "dataset_infos.json", "features.json", "README.md")
"""Files that TensorFlow Datasets and Hugging Face have beside records."""


@dataclass(frozen=True)
class SourceFile:
    """A file to read, or some row groups of one.

    Attributes:
      path: on any Beam filesystem.
      format: a key of READERS.
      size_bytes: of what is to be read.
      version: tells the file from another one that had its path; empty where that is unknown.
      row_groups: their numbers; None for a whole file.
      start, stop: half-open range of the rows, from 0; ``stop`` is None where only reading tells.
      finished: half-open ranges of rows that are not to be read.
      content: ``content_version`` that it had when these were read; empty where there are none.
    """

    path: str
    format: str
    size_bytes: int = 0
    version: str = ""
    row_groups: range | None = None
    start: int = 0
    stop: int | None = None
    finished: tuple[tuple[int, int], ...] = ()
    content: str = ""

    def unfinished(self, start: int, stop: int) -> list[tuple[int, int]]:
        """What of a range of rows is to be read: ranges in order."""
        cuts = [
            (max(start, first), min(stop, end))
            for first, end in sorted(self.finished)
            if first < stop and end > start
        ]
        edges = [(start, start), *cuts, (stop, stop)]
        return [(a, b) for (_, a), (b, _) in pairwise(edges) if a < b]


def count_rows(files: Iterable[SourceFile]) -> int | None:
    """How many rows are to be read from files; None where only reading tells."""
    rows = 0
    for file in files:
        if file.stop is None:
            return None
        rows += sum(stop - start for start, stop in file.unfinished(file.start, file.stop))
    return rows


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
    """Expands paths, folders and globs of any Beam filesystem, sorted and each file once.

    Of a folder all files are taken, at any depth, but those that hold no records by their names:
    hidden ones, markers such as _SUCCESS, and what datasets say of themselves. Of what a glob
    finds, only the hidden ones and markers without an ending that is read are left out.

    Args:
      patterns: the paths.
      file_format: a key of READERS; None to go by each file's ending, or else by its first bytes.
        Files in a folder whose ending says another format are left out.

    Raises:
      InputError: a pattern matches nothing, or what is not a file, or the format of one cannot be
        told.
    """
    found = {file.path: file for pattern in patterns for file in _matching(pattern, file_format)}
    unique = {real_path(path): found[path] for path in sorted(found, reverse=True)}
    files = sorted(unique.values(), key=lambda file: file.path)
    formats = [file_format] * len(files) if file_format else _formats_of(files)
    return [
        SourceFile(file.path, of_file, file.size_in_bytes, _version(file))
        for file, of_file in zip(files, formats, strict=True)
    ]


def list_below(folder: str, pattern: str) -> list[tuple[str, str]]:
    """The files that a glob names below a folder of any Beam filesystem, sorted.

    Hidden ones and markers are left out, as ``find_files`` does with those that a glob finds.

    Returns:
      Of each file its path below the folder, and its whole path.

    Raises:
      InputError: the folder cannot be listed, or what the glob names is not a file.
    """
    above = f"{folder.rstrip('/')}/"
    if is_local(folder):
        found = glob(pattern, root_dir=folder, recursive=True)
        names = {name for name in found if not os.path.isdir(above + name)}
    else:
        names = {file.path.removeprefix(above) for file in _glob(escape(above) + pattern)}
    listed = [(name, above + name) for name in sorted(names) if _is_wanted(name)]
    if is_local(folder):
        for _, path in listed:
            _stat(path)
    return listed


def version_of(path: str) -> str:
    """``SourceFile.version`` of what a local path is now."""
    return _version(_stat(path))


def content_version(path: str) -> str:
    """Tells what a file holds from anything else that it held before, whatever its times say.

    The SHA-256 of a local file, which is read once while it stays as it is; of another one the
    checksum that its filesystem keeps.
    """
    if not is_local(path):
        return str(FileSystems.checksum(path))
    found = os.stat(path)
    return _sha256(path, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


@lru_cache(maxsize=1 << 12)
def _sha256(path: str, about: tuple[int, ...]) -> str:
    """Nobody sets the time of the last change of an inode, which is in ``about``."""
    return hash_file(Path(path))[1]


def real_path(path: str) -> str:
    """One name for a file that has several: links and relative paths are followed."""
    return os.path.realpath(path) if is_local(path) else path


def _formats_of(files: Sequence[FileMetadata]) -> list[str]:
    """The format of each file; an empty one whose name does not say it has that of the others."""
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        found = list(pool.map(_format_if_told, files))
    known = next(filter(None, found), None)
    return [
        of_file or known or format_of(file.path) for file, of_file in zip(files, found, strict=True)
    ]


def _format_if_told(file: FileMetadata) -> str | None:
    return format_of(file.path) if file.size_in_bytes else format_of_name(file.path)


def _matching(pattern: str, file_format: str | None) -> list[FileMetadata]:
    """The files that a path, a folder or a glob stands for, at least one."""
    if is_local(pattern):
        found = _local(pattern, file_format)
    elif not (found := _glob(pattern)):
        found = _in_folder(pattern, _glob(f"{pattern.rstrip('/')}/**"), file_format)
    named = [file for file in found if file.path == pattern or _is_wanted(file.path)]
    if not named:
        what = "except for markers" if found else "and no folder there holds data"
        raise InputError(f"no file matches the input {pattern}, {what}")
    return named


def _local(pattern: str, file_format: str | None) -> list[FileMetadata]:
    _check_name(pattern)
    if os.path.lexists(pattern):  # Its name may hold characters that a glob gives a meaning.
        if not os.path.isdir(pattern):
            return [_stat(pattern)]
        return _in_folder(pattern, [_stat(path) for path in _walk(pattern, set())], file_format)
    # Beam finds nothing for a local glob without a folder.
    here = "./" if "/" not in pattern else ""
    if paths := [file.path.removeprefix(here) for file in _glob(here + pattern)]:
        return [_stat(path) for path in paths]
    folders = [path for path in glob(pattern) if os.path.isdir(path)]
    return [file for folder in folders for file in _local(folder, file_format)]


def _glob(pattern: str) -> list[FileMetadata]:
    try:
        return list(FileSystems.match([pattern])[0].metadata_list)
    except (BeamIOError, ValueError, OSError) as error:
        raise InputError(f"input {pattern} cannot be listed: {error}") from error


def _walk(folder: str, above: set[str]) -> Iterator[str]:
    """The files in a folder, at any depth, but for hidden ones and those in hidden folders.

    Links to folders are followed, unless to one that is ``above`` or has been walked through.
    """
    if (real := os.path.realpath(folder)) in above:
        return
    above.add(real)
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise InputError(f"input {folder} cannot be listed: {error.strerror}") from error
    for name in names:
        path = os.path.join(folder, name)
        if name.startswith(_HIDDEN):
            continue
        if os.path.isdir(path):
            yield from _walk(path, above)
        else:
            yield path


def _in_folder(
    folder: str, files: Iterable[FileMetadata], file_format: str | None
) -> list[FileMetadata]:
    """Those of the files in a folder that are data, of a format if it is told."""
    return [
        file
        for file in files
        if not any(part.startswith(_HIDDEN) for part in _parts(file.path, folder))
        and Path(file.path).name not in _ABOUT_DATASETS
        and file_format in (None, format_of_name(file.path) or file_format)
    ]


def _parts(path: str, folder: str) -> tuple[str, ...]:
    return Path(path.removeprefix(folder).lstrip("/")).parts


def _is_wanted(path: str) -> bool:
    """Whether what a glob found is data, and not what a tool has left beside it."""
    is_marker = Path(path).name.startswith(_HIDDEN)
    return not path.endswith("/") and (not is_marker or format_of_name(path) is not None)


def _check_name(path: str) -> None:
    """Raises InputError for a name that cannot be written down in an output."""
    if (shown := odd_name(path)) is not None:
        raise InputError(f"input {shown}: its name is not valid UTF-8: rename it")


def _stat(path: str) -> FileMetadata:
    _check_name(path)
    try:
        found = os.stat(path)
    except OSError as error:
        raise InputError(f"input {path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"input {path} is {kind_of_file(found.st_mode)}, not a file")
    return FileMetadata(path, found.st_size, found.st_mtime_ns / 1e9)


def _version(file: FileMetadata) -> str:
    return f"{file.size_in_bytes} bytes of {file.last_updated_in_seconds!r}"
