"""The bytes of a file of a version, with all that HTTP has for them.

Where the server has an extension for it (see ``server``) the kernel sends them, and nothing is
copied; otherwise they are read in large chunks, in threads.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from anyio.to_thread import run_sync
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from hub_tfx.web.conditions import Representation, Selected, select
from hub_tfx.web.problems import ProblemError

SENDFILE = "hub_tfx.sendfile"
"""Extension of ASGI, and type of its message: ``file``, ``offset`` and ``count`` of bytes."""

_CHUNK_BYTES = 4 << 20
_SENT_AT_ONCE_BYTES = 16 << 20
_STALLED_S = 300.0
"""Seconds in which a client takes a piece, or is taken for gone."""


class Gate:
    """Lets so many in at the same time; for one event loop."""

    def __init__(self, limit: int, what: str, retry_after_s: int = 5):
        self._limit, self._what, self._retry_after_s = limit, what, retry_after_s
        self.inside = 0

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Holds one of the places.

        Raises:
          ProblemError: there is none.
        """
        if self.inside >= self._limit:
            raise ProblemError(
                503,
                f"The server {self._what} {self._limit} at a time: try again in a few seconds.",
                headers={"Retry-After": str(self._retry_after_s)},
            )
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


@dataclass
class Download(Response):
    """The answer that sends an open file, or a part of it, and closes it.

    Attributes:
      file: the file, opened to read.
      what: its size, tag and date.
      gate: where downloads are counted.
      media_type: type of its content.
      more: more headers.
    """

    file: BinaryIO
    what: Representation
    gate: Gate
    media_type: str = "application/octet-stream"
    more: Mapping[str, str] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self.gate.passed():
                await self._answer(scope, receive, send)
        finally:
            await run_sync(self.file.close)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        selected = select(scope["method"], Headers(scope=scope), self.what)
        body = _Body(selected, self.what, self.media_type)
        await send(
            {
                "type": "http.response.start",
                "status": selected.status,
                "headers": [
                    (name.lower().encode("latin-1"), value.encode("latin-1"))
                    for name, value in {**self._fixed(), **body.headers}.items()
                ],
            }
        )
        if scope["method"] != "HEAD":
            with_sendfile = SENDFILE in scope.get("extensions", {})
            pieces = body.pieces(self.file) if with_sendfile else self._read(body, receive)
            async for piece in pieces:
                await asyncio.wait_for(send(piece), _STALLED_S)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _fixed(self) -> dict[str, str]:
        return {
            "Accept-Ranges": "bytes",
            "ETag": self.what.etag,
            "Last-Modified": self.what.last_modified,
            **self.more,
        }

    async def _read(self, body: "_Body", receive: Receive) -> AsyncIterator[Message]:
        """The same pieces, with the file's bytes in them, until the client is gone."""
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            async for piece in body.pieces(self.file):
                if piece["type"] != SENDFILE:
                    yield piece
                    continue
                await run_sync(self.file.seek, piece["offset"])
                left = piece["count"]
                while left and not gone.done():
                    chunk = await run_sync(self.file.read, min(left, _CHUNK_BYTES))
                    if not chunk:
                        raise EOFError("a file of the repository is shorter than its marker says")
                    left -= len(chunk)
                    yield _body(chunk)
        finally:
            gone.cancel()


class _Body:
    """Headers and pieces of what is sent of a file: whole, one range, or several as multipart."""

    def __init__(self, selected: Selected, what: Representation, media_type: str):
        self._ranges = selected.ranges
        self._parts = [b""] * len(self._ranges)
        self._end = b""
        self.headers: dict[str, str] = {}
        if selected.status == 416:
            self.headers["Content-Range"] = f"bytes */{what.size_bytes}"
        if selected.status == 206 and len(self._ranges) == 1:
            self.headers["Content-Range"] = _content_range(self._ranges[0], what)
        if len(self._ranges) > 1:
            boundary = secrets.token_hex(16)
            self._parts = [_part(boundary, media_type, r, what) for r in self._ranges]
            self._end = f"\r\n--{boundary}--\r\n".encode()
            media_type = f"multipart/byteranges; boundary={boundary}"
        if selected.status != 304:
            sent = sum(stop - start for start, stop in self._ranges)
            size_bytes = sent + sum(map(len, self._parts)) + len(self._end)
            self.headers |= {"Content-Type": media_type, "Content-Length": str(size_bytes)}

    async def pieces(self, file: BinaryIO) -> AsyncIterator[Message]:
        for before, (start, stop) in zip(self._parts, self._ranges, strict=True):
            if before:
                yield _body(before)
            for offset in range(start, stop, _SENT_AT_ONCE_BYTES):
                count = min(_SENT_AT_ONCE_BYTES, stop - offset)
                yield {"type": SENDFILE, "file": file, "offset": offset, "count": count}
        if self._end:
            yield _body(self._end)


def _body(data: bytes) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": True}


def _content_range(of: tuple[int, int], what: Representation) -> str:
    return f"bytes {of[0]}-{of[1] - 1}/{what.size_bytes}"


def _part(boundary: str, media_type: str, of: tuple[int, int], what: Representation) -> bytes:
    lines = f"Content-Type: {media_type}\r\nContent-Range: {_content_range(of, what)}"
    return f"\r\n--{boundary}\r\n{lines}\r\n\r\n".encode()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
