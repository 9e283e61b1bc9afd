"""Files of word vectors: packed in some way or not, as text or in word2vec's binary format."""

import bz2
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_tfx._files import open_regular
from hub_tfx.errors import InputError

_READERS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_ZIP = b"PK\x03\x04"
_BINARY = {
    b"\xba\x16\x4f\x2f": "is a binary model of fastText: take its .vec file",
    b"\x80": "is a pickle, such as gensim's: save the vectors as text (save_word2vec_format)",
    b"\x93NUMPY": "is an array of NumPy without words: save words and vectors as text",
    b"\x89HDF": "is an HDF5 file: save the vectors as text",
}
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
"""What reading a file raises that cannot be read, or is damaged."""
_HEAD_BYTES = 8
_READ_BYTES = 1 << 20
_MAX_WORD_BYTES = 1 << 20
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True)
class Header:
    """word2vec's first line: how many words there are, and how many numbers each has."""

    count: int
    dim: int


@contextmanager
def open_vectors(path: Path) -> Iterator[Any]:
    """The bytes of a file, unpacked, with ``readline``, ``read`` and ``peek``.

    Raises:
      InputError: it has a format that holds no words, or is an archive of several files.
      Exception: one of DAMAGE, also while it is read.
    """
    with open_regular(path) as file:
        head = file.read(_HEAD_BYTES)
        for magic, what in _BINARY.items():
            if head.startswith(magic):
                raise InputError(f"{path} {what}")
        file.seek(0)
        if head.startswith(_ZIP):
            with _only_member(path, file) as unpacked:
                yield unpacked
            return
        for magic, reader in _READERS.items():
            if head.startswith(magic):
                with reader(file, "rb") as unpacked:
                    yield unpacked
                return
        if path.suffix in (".gz", ".bz2", ".xz", ".zip"):
            raise InputError(f"{path}: cannot be read: it is not a {path.suffix} file")
        yield file


def _only_member(path: Path, file: Any) -> Any:
    try:
        archive = zipfile.ZipFile(file)
        members = [info for info in archive.infolist() if not info.is_dir()]
        if len(members) == 1:
            return archive.open(members[0])
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    names = ", ".join(info.filename for info in members)
    raise InputError(f"{path} holds several files: unpack it, and give one of {names}")


def binary_records(path: Path, file: Any, header: Header) -> Iterator[tuple[bytes, bytes]] | None:
    """Words and their little-endian float32s, after the header of word2vec's binary format.

    None where what comes is text. Ends where the file does, within a record or not; raises
    InputError for a word without an end.
    """
    head = file.peek(_READ_BYTES)
    _, space, rest = head.partition(b" ")
    size = 4 * header.dim
    if not space or not (_CONTROLS.search(rest[:size]) or _is_no_text(rest, size)):
        return None
    return _records(path, file, size)


def _is_no_text(data: bytes, size: int) -> bool:
    """Whether bytes before ``size`` belong to no letter, also with those that follow."""
    try:
        data[: size + 3].decode()  # A letter has at most four bytes.
    except UnicodeDecodeError as error:
        is_cut = error.end == len(data) < size  # By what was read of the file.
        return error.start < size and not is_cut
    return False


def _records(path: Path, file: Any, size: int) -> Iterator[tuple[bytes, bytes]]:
    data, start = b"", 0
    while True:
        space = data.find(b" ", start)
        stop = space + 1 + size
        if space < 0 or stop > len(data):
            if len(data) - start > _MAX_WORD_BYTES + size:
                raise InputError(
                    f"{path} is damaged, or not in word2vec's binary format: it has a word of more "
                    f"than {_MAX_WORD_BYTES:,} bytes"
                )
            more = file.read(_READ_BYTES)
            if not more:
                return
            data, start = data[start:] + more, 0
            continue
        # Some writers end each record with a line break.
        yield data[start:space].lstrip(b"\n"), data[space + 1 : stop]
        start = stop
