"""Which part of a file an answer holds: conditional and range requests (RFC 9110, 13 and 14)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import format_datetime, parsedate_to_datetime

MAX_RANGES = 16
_RANGE = re.compile(r"(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")


@dataclass(frozen=True)
class Representation:
    """What the conditions of a request are about.

    Attributes:
      size_bytes: size of the file.
      etag: strong entity tag, with its quotes.
      modified: when it was last changed.
    """

    size_bytes: int
    etag: str
    modified: datetime

    @property
    def last_modified(self) -> str:
        return format_datetime(self.modified.astimezone(timezone.utc), usegmt=True)


@dataclass(frozen=True)
class Selected:
    """What to answer.

    Attributes:
      status: 200, 206, 304, 412 or 416.
      ranges: half-open ranges of bytes, in the order in which they are sent.
    """

    status: int
    ranges: tuple[tuple[int, int], ...] = ()


def select(method: str, headers: Mapping[str, str], what: Representation) -> Selected:
    """The status and the ranges of an answer, in the order of conditions that RFC 9110 gives."""
    if not _is_wanted(headers, what):
        return Selected(412)
    if _is_known(headers, what):
        return Selected(304)
    whole = Selected(200, ((0, what.size_bytes),))
    header = headers.get("range")
    if header is None or method != "GET" or not _is_in_range(headers, what):
        return whole
    ranges = parse_ranges(header, what.size_bytes)
    if ranges is None:
        return whole
    return Selected(206, tuple(ranges)) if ranges else Selected(416)


def parse_ranges(header: str, size_bytes: int) -> list[tuple[int, int]] | None:
    """Half-open ranges that a ``Range`` header asks for.

    Returns:
      The ranges; none where no part of the file is among them; None for a header that is to be
      ignored: one that is not about bytes or cannot be read, or that asks for more than there is.
    """
    unit, equals, specs = header.partition("=")
    parts = [part.strip() for part in specs.split(",")] if equals else []
    if unit.strip().lower() != "bytes" or not 0 < len(parts) <= MAX_RANGES:
        return None
    ranges = list[tuple[int, int]]()
    for part in parts:
        spec = _RANGE.fullmatch(part)
        if spec is None or (spec[2] and int(spec[2]) < int(spec[1])):
            return None
        start, stop = _bounds(spec, size_bytes)
        if start < stop:
            ranges.append((start, stop))
    if len(ranges) > 1 and sum(stop - start for start, stop in ranges) > size_bytes:
        return None
    return ranges


def _bounds(spec: re.Match[str], size_bytes: int) -> tuple[int, int]:
    if spec[3]:
        return max(0, size_bytes - int(spec[3])), size_bytes
    return int(spec[1]), min(size_bytes, int(spec[2]) + 1) if spec[2] else size_bytes


def _is_wanted(headers: Mapping[str, str], what: Representation) -> bool:
    """Whether ``If-Match`` and ``If-Unmodified-Since`` let the request be answered."""
    if (tags := headers.get("if-match")) is not None:
        return tags.strip() == "*" or what.etag in _tags(tags)
    since = _date(headers.get("if-unmodified-since"))
    return since is None or what.modified <= since


def _is_known(headers: Mapping[str, str], what: Representation) -> bool:
    """Whether ``If-None-Match`` or ``If-Modified-Since`` say that the client has the file."""
    if (tags := headers.get("if-none-match")) is not None:
        known = {tag.removeprefix("W/") for tag in _tags(tags)}
        return tags.strip() == "*" or what.etag in known
    since = _date(headers.get("if-modified-since"))
    return since is not None and what.modified <= since


def _is_in_range(headers: Mapping[str, str], what: Representation) -> bool:
    """Whether ``If-Range`` lets a part of the file be sent."""
    wanted = headers.get("if-range")
    return wanted is None or wanted.strip() in (what.etag, what.last_modified)


def _tags(header: str) -> set[str]:
    return {tag.strip() for tag in header.split(",")}


def _date(header: str | None) -> datetime | None:
    try:
        date = None if header is None else parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return date.replace(tzinfo=timezone.utc) if date is not None and date.tzinfo is None else date
