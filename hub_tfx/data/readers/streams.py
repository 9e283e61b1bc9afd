"""The bytes and the lines of a file, whatever it is compressed with and encoded in."""

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import IO, Any

from hub_tfx.data.filesystems import open_file
from hub_tfx.data.isolate import describe
from hub_tfx.errors import InputError

MAX_LINE_BYTES = 1 << 30
"""A longer line is rejected, and the rest of it skipped."""
_SKIP_BYTES = 1 << 20
_BUFFER_BYTES = 1 << 20
_HEAD_BYTES = 16
_DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError)
_ENCODINGS = {  # The longer marks first: the shorter ones begin as they do.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def compression_of(head: bytes) -> str | None:
    """What a file that begins with these 16 bytes is compressed with; None for nothing we know."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    if head.startswith(b"\xfd7zXZ\0"):
        return "xz"
    # The number of pi, or of its square root where it is empty: a text may begin with "BZh" too.
    is_bzip2 = head[4:10] in (b"1AY&SY", b"\x17rE8P\x90")
    return "bzip2" if head.startswith(b"BZh") and is_bzip2 else None


def head_of(path: str, size_bytes: int = _HEAD_BYTES) -> bytes:
    """The first bytes of a file as they are stored.

    Raises:
      InputError: the file cannot be read.
    """
    try:
        with open_file(path) as file:
            return file.read(size_bytes)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {describe(error)}") from error


@contextmanager
def content_of(path: str) -> Iterator[Any]:
    """A buffered reader of what a file holds, decompressed where it begins like a compressed one.

    Raises:
      InputError: the file cannot be read, or shows to be damaged while it is.
    """
    compression = None
    try:
        with ExitStack() as stack:
            file = stack.enter_context(open_file(path))
            compression = compression_of(file.read(_HEAD_BYTES))
            file.seek(0)
            if compression is None:
                yield file
            else:
                content = stack.enter_context(_DECOMPRESSORS[compression](file))
                yield stack.enter_context(io.BufferedReader(content, _BUFFER_BYTES))
    except _DAMAGED as error:
        raise InputError(f"{path} is cut short or damaged: {describe(error)}") from error
    except OSError as error:
        is_damaged = compression is not None and error.errno is None
        what = "is cut short or damaged" if is_damaged else "cannot be read"
        raise InputError(f"{path} {what}: {describe(error)}") from error


def _unzstd(file: IO[bytes]) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")


_DECOMPRESSORS: dict[str, Callable[[Any], Any]] = {
    "gzip": lambda file: gzip.GzipFile(fileobj=file),
    "bzip2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zstd": _unzstd,
}


def lines_of(path: str) -> Iterator[bytes]:
    """The lines of a file in UTF-8, without a byte order mark.

    UTF-16 and UTF-32 are known by their mark. A byte that is not valid stays in its line.

    Raises:
      InputError: the file cannot be read.
    """
    with content_of(path) as content:
        head = content.peek(4)
        encoding = next((name for mark, name in _ENCODINGS.items() if head.startswith(mark)), None)
        if encoding is None:
            if head.startswith(codecs.BOM_UTF8):
                content.read(len(codecs.BOM_UTF8))
            yield from _lines(content.readline)
            return
        text = io.TextIOWrapper(content, encoding, "surrogatepass", newline="\n")
        try:
            yield from _lines(lambda chars: text.readline(chars).encode("utf-8", "surrogatepass"))
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} begins as {encoding.upper()} but is not: {describe(error)}"
            ) from error


def _lines(readline: Callable[[int], bytes]) -> Iterator[bytes]:
    for line in iter(partial(readline, MAX_LINE_BYTES), b""):
        yield line
        if is_cut(line):
            rest = iter(partial(readline, _SKIP_BYTES), b"")
            any(piece.endswith(b"\n") for piece in rest)


def is_cut(line: bytes) -> bool:
    """Whether a line is only the beginning of one."""
    return len(line) >= MAX_LINE_BYTES and not line.endswith(b"\n")
