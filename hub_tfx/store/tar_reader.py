"""Walks a .tar or .tar.gz forward, block by block, and lets nothing pass unread.

Python's tarfile takes a damaged header in mid-file for the end of the archive, does not miss the
end-of-archive blocks, and reads as much as a header asks for. So tarfile only decodes single
headers here. The formats are POSIX pax (IEEE 1003.1) and the GNU long-name extension.
"""

import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from hub_tfx._files import why
from hub_tfx.errors import ArchiveError, InputError, UnsafeArchiveError

GZIP_MAGIC = b"\x1f\x8b"
BLOCK_BYTES = 512

_CHUNK_BYTES = 1 << 18
_METADATA_BYTES = 1 << 16  # Size of one pax header or long name; real ones have some hundred.
_PADDING_BYTES = 16 << 20  # What writers add after the end mark: whole records of a tape.

_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_REFUSED_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.GNUTYPE_LONGLINK: "a link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold. Reading stops where a limit is crossed.

    Attributes:
      members: how many headers, of any kind; and how many files and directories they make.
      depth: how many parts in a member's path.
      total_bytes: size of the whole tar stream, unpacked.
      file_bytes: size of one member.
      metadata_bytes: size of all headers that describe the next member, together.
      ratio: unpacked bytes for each packed one, once ``ratio_from_bytes`` are unpacked: weights of
        nothing but zeros compress a thousandfold, and are not refused while they hurt nobody.
    """

    members: int = 10_000
    depth: int = 32
    total_bytes: int = 32 << 30
    file_bytes: int = 16 << 30
    metadata_bytes: int = 8 << 20
    ratio: int = 20
    ratio_from_bytes: int = 512 << 20


@dataclass(frozen=True)
class Member:
    """One header: the name as it is written there, tarfile's kind, the length of its data."""

    name: str
    kind: bytes
    size_bytes: int

    @property
    def is_directory(self) -> bool:
        return self.kind == tarfile.DIRTYPE


def read_members(file: BinaryIO, limits: Limits) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Each file and directory with its bytes, which must be read before the next is asked for.

    Raises:
      ArchiveError: the archive is cut short, damaged, not a tar, or followed by other bytes.
      UnsafeArchiveError: a member is neither a file nor a directory, or a limit is crossed.
        Names are the caller's to check.
      InputError: the file cannot be read.
    """
    stream = _Stream(_decompressed(file, limits), limits)
    for member in _members(stream, limits):
        yield member, stream.pieces(member.size_bytes)
        stream.skip_padding(member.size_bytes)


def _decompressed(file: BinaryIO, limits: Limits) -> Iterator[bytes]:
    magic = file.read(len(GZIP_MAGIC))
    packed_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    if magic != GZIP_MAGIC and packed_bytes > limits.total_bytes:
        raise UnsafeArchiveError(f"it has {packed_bytes} bytes, more than {limits.total_bytes}")
    return _gunzipped(file, limits) if magic == GZIP_MAGIC else iter(lambda: _read(file), b"")


def _read(file: BinaryIO) -> bytes:
    try:
        return file.read(_CHUNK_BYTES)
    except OSError as error:
        raise InputError(f"the archive cannot be read: {why(error)}") from error


def _gunzipped(file: BinaryIO, limits: Limits) -> Iterator[bytes]:
    """Chunks of the one gzip member a file must consist of, checksum and length verified."""
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    packed_bytes = unpacked_bytes = 0
    while not inflater.eof:
        packed = inflater.unconsumed_tail
        if not packed:
            packed = _read(file)
            packed_bytes += len(packed)
        try:
            chunk = inflater.decompress(packed, _CHUNK_BYTES)
        except zlib.error as error:
            raise ArchiveError(f"its gzip data is damaged ({error})") from error
        if not packed and not chunk and not inflater.eof:
            raise ArchiveError("cut short: its gzip stream has no end")
        unpacked_bytes += len(chunk)
        if unpacked_bytes > max(limits.ratio_from_bytes, limits.ratio * packed_bytes):
            raise UnsafeArchiveError(f"a bomb: it expands more than {limits.ratio} times")
        if chunk:
            yield chunk
    if inflater.unused_data or _read(file):
        raise ArchiveError("other bytes follow its gzip stream")


class _Stream:
    """The tar stream, read forward only and never beyond the limit."""

    def __init__(self, chunks: Iterator[bytes], limits: Limits):
        self._chunks = chunks
        self._chunk = b""
        self._read_bytes = 0  # Counted in this chunk.
        self._total_bytes = 0
        self._max_bytes = limits.total_bytes

    def some(self, max_bytes: int) -> bytes:
        """The next bytes, at least one of them; none at the end."""
        if self._read_bytes == len(self._chunk):
            self._chunk, self._read_bytes = next(self._chunks, b""), 0
            self._total_bytes += len(self._chunk)
            if self._total_bytes > self._max_bytes:
                raise UnsafeArchiveError(f"it holds more than {self._max_bytes} bytes")
        piece = self._chunk[self._read_bytes : self._read_bytes + max_bytes]
        self._read_bytes += len(piece)
        return piece

    def pieces(self, size_bytes: int) -> Iterator[bytes]:
        while size_bytes:
            piece = self.some(size_bytes)
            if not piece:
                raise ArchiveError("cut short: it ends inside a member or before its end mark")
            size_bytes -= len(piece)
            yield piece

    def exactly(self, size_bytes: int) -> bytes:
        return b"".join(self.pieces(size_bytes))

    def skip_padding(self, size_bytes: int) -> None:
        """Skips what follows data of this length up to a whole block."""
        self.exactly(-size_bytes % BLOCK_BYTES)


def _members(stream: _Stream, limits: Limits) -> Iterator[Member]:
    long_name: str | None = None
    pax: dict[str, str] = {}
    metadata_bytes = 0
    for count, header in enumerate(_headers(stream), start=1):
        if count > limits.members:
            raise UnsafeArchiveError(f"it has more than {limits.members} members")
        if header.kind == tarfile.GNUTYPE_LONGNAME or header.kind in _PAX:
            metadata_bytes += min(max(0, header.size_bytes), _METADATA_BYTES)
            if metadata_bytes > limits.metadata_bytes:
                raise UnsafeArchiveError(
                    f"its headers have more than {limits.metadata_bytes} bytes together"
                )
        if header.kind == tarfile.GNUTYPE_LONGNAME:
            long_name = _text(_metadata(stream, header).rstrip(b"\x00"))
        elif header.kind == tarfile.XGLTYPE:
            _check_global(_pax_records(_metadata(stream, header)))
        elif header.kind in _PAX:
            pax = _pax_records(_metadata(stream, header))
        else:
            yield _checked(_overridden(header, long_name, pax), limits)
            long_name, pax = None, {}
    if long_name is not None or pax:
        raise ArchiveError("cut short: it ends after a header that describes the next member")


def _headers(stream: _Stream) -> Iterator[Member]:
    """Every header up to the end mark, two blocks of zeros; only zeros may follow that."""
    while any(block := stream.exactly(BLOCK_BYTES)):
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise ArchiveError(f"not a tar archive, or damaged ({error})") from error
        if block[:100].partition(b"\x00")[2].strip(b"\x00"):
            raise UnsafeArchiveError(f"member {info.name!r}: a NUL byte inside its name")
        yield Member(info.name, info.type, info.size)
    if any(stream.exactly(BLOCK_BYTES)):
        raise ArchiveError("damaged: a lone block of zeros between members")
    rest_bytes = 0
    while rest := stream.some(_CHUNK_BYTES):
        rest_bytes += len(rest)
        if rest.count(0) != len(rest) or rest_bytes > _PADDING_BYTES:
            raise ArchiveError("other bytes follow the end of the archive")
    if rest_bytes % BLOCK_BYTES:
        raise ArchiveError("cut short: it ends inside a block")


def _checked(member: Member, limits: Limits) -> Member:
    if kind := _REFUSED_KINDS.get(member.kind):
        raise _refusal(member, f"{kind}; a module holds files and directories only")
    if member.kind not in _REGULAR and not member.is_directory:
        raise _refusal(member, f"of unknown kind {member.kind!r}")
    if member.size_bytes < 0 or (member.is_directory and member.size_bytes):
        raise _refusal(member, f"its size is {member.size_bytes}")
    if member.size_bytes > (most := min(limits.file_bytes, limits.total_bytes)):
        raise _refusal(member, f"{member.size_bytes} bytes, more than {most}")
    return member


def _overridden(header: Member, long_name: str | None, pax: dict[str, str]) -> Member:
    if any(map(_is_sparse, pax)):
        raise _refusal(header, "a sparse file")
    name = pax.get("path", header.name if long_name is None else long_name)
    size = pax.get("size", str(header.size_bytes))
    if not re.fullmatch(r"-?[0-9]{1,20}", size):
        raise _refusal(header, f"its size is {size[:40]!r}")
    return replace(header, name=name, size_bytes=int(size))


def _metadata(stream: _Stream, header: Member) -> bytes:
    if not 0 <= header.size_bytes <= _METADATA_BYTES:
        raise _refusal(header, f"a header of {header.size_bytes} bytes")
    data = stream.exactly(header.size_bytes)
    stream.skip_padding(header.size_bytes)
    return data


def _pax_records(data: bytes) -> dict[str, str]:
    """Records ``"LENGTH KEY=VALUE\\n"``, where LENGTH counts the whole record."""
    records: dict[str, str] = {}
    start = 0
    while start < len(data):
        digits, space, _ = data[start : start + 8].partition(b" ")
        end = start + int(digits) if space and digits.isdigit() else start
        key, equals, value = data[start + len(digits) + 1 : end].partition(b"=")
        if end > len(data) or not equals or not value.endswith(b"\n") or _text(key) in records:
            raise ArchiveError("damaged: a pax header that cannot be read")
        records[_text(key)] = _text(value[:-1])
        start = end
    return records


def _is_sparse(key: str) -> bool:
    """Whether a record is there for files with holes only, as GNU tar and star write them."""
    return key.startswith("GNU.sparse") or key in ("SCHILY.filetype", "SCHILY.realsize")


def _check_global(records: dict[str, str]) -> None:
    for key in records:
        if key in ("path", "size", "linkpath") or _is_sparse(key):
            raise UnsafeArchiveError(f"a global header that sets {key!r} for all members")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _refusal(member: Member, rule: str) -> UnsafeArchiveError:
    return UnsafeArchiveError(f"member {member.name[:200]!r}: {rule}")
