"""uvicorn around the application: sockets, limits, signals, and files that the kernel sends."""

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

import h11
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from hub_tfx._files import why
from hub_tfx.errors import OutputError
from hub_tfx.web.download import SENDFILE
from hub_tfx.web.guard import MAX_HEADER_BYTES

_MAX_CONNECTIONS = 1024
_HEADERS_S = 20.0
"""Seconds in which the headers of a request have to be complete."""
_STOP_S = 30


class ServerProtocol(H11Protocol):
    """uvicorn's protocol, with the extension SENDFILE, and a deadline for headers."""

    _deadline: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.app = partial(self._run, self.app)  # type: ignore[assignment, arg-type]

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        waits = self.cycle is None or self.cycle.response_complete
        if not waits and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        elif waits and self._deadline is None:
            self._deadline = self.loop.call_later(_HEADERS_S, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _too_slow(self) -> None:
        self._deadline = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    async def _run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        cycle: RequestResponseCycle = send.__self__  # type: ignore[attr-defined]
        scope.setdefault("extensions", {})[SENDFILE] = {}

        async def sending(message: Message) -> None:
            if message["type"] == SENDFILE:
                await _sendfile(cycle, message["file"], message["offset"], message["count"])
            else:
                await send(message)

        await app(scope, receive, sending)


class _Counted:
    """Bytes that h11 only counts, since they never pass through it."""

    def __init__(self, count: int):
        self._count = count

    def __len__(self) -> int:
        return self._count


async def _sendfile(cycle: RequestResponseCycle, file: BinaryIO, offset: int, count: int) -> None:
    """Has the kernel send a part of a file, as a part of the body of an answer."""
    if cycle.disconnected or cycle.transport.is_closing():
        return
    counted: Any = _Counted(count)
    cycle.conn.send_with_data_passthrough(h11.Data(data=counted))
    sent = 0
    try:
        sent = await asyncio.get_running_loop().sendfile(cycle.transport, file, offset, count)
    except (OSError, RuntimeError):  # The client is gone.
        pass
    finally:
        if sent != count:  # It may have been cancelled, too: what follows would be misread.
            cycle.disconnected = True
            cycle.transport.abort()


class _Server(uvicorn.Server):
    """Tells when it answers."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]):
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def listen(host: str, port: int) -> socket.socket:
    """A socket on which a server can listen; port 0 takes a free one.

    Raises:
      OutputError: the address cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_MAX_CONNECTIONS)  # type: ignore[arg-type]
    except OSError as error:
        reason = why(error).partition(" (while")[0]  # Python adds the address.
        raise OutputError(
            f"{host}:{port} cannot be listened on: {reason}; choose another --host or --port"
        ) from error


def url_of(listening: socket.socket, host: str) -> str:
    """The URL of a server on a socket, by the name that it was given."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}"


def server_of(app: ASGIApp, on_ready: Callable[[], None]) -> uvicorn.Server:
    """A server whose ``run(sockets=[...])`` serves until SIGTERM, SIGINT or ``should_exit``.

    Requests that are being answered then end first.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # The application logs errors.
    config = uvicorn.Config(
        app,
        http=ServerProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=_STOP_S,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
    return _Server(config, on_ready)
