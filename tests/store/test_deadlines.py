"""The total deadline holds over everything that a server may spin out, and over looking it up."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from hub_tfx.errors import TransientFetchError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.fetch import dialing
from hub_tfx.store.fetch.deadline import Deadline, OverdueError
from hub_tfx.store.fetch.http import HttpFetcher

Server = Any
Answer = Any
_FETCHER = HttpFetcher(total_timeout_s=0.3, read_timeout_s=30, attempts=3, max_wait_s=0.01)
_HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "work" / "module").mkdir(parents=True)
    return tmp_path / "work" / "module"


@pytest.fixture
def over() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def _is_late(url: str, into: Path) -> None:
    with pytest.raises(TransientFetchError, match=r"not complete after 0\.3 s; try again"):
        _FETCHER.fetch(ModuleHandle.parse(url), into)
    assert list(into.iterdir()) == []


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP", b"/"),
        (_HEAD, b"X-More: and more\r\n"),
        (_HEAD + b"\r\n\x1f\x8b", b"x"),
        (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: more\r\n"),
    ],
    ids=["100 Continue", "the status", "headers", "a body", "chunks", "trailers"],
)
def test_a_server_that_spins_it_out_is_given_up(
    begin: bytes,
    again: bytes,
    server: Server,
    answer: Answer,
    into: Path,
    over: threading.Event,
) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(begin)
        while not over.wait(0.02):
            handler.wfile.write(again)

    _is_late(server.on("/m", answer(act=trickle)), into)


def test_a_server_that_spins_it_out_over_tls_is_given_up(
    server: Server,
    answer: Answer,
    into: Path,
    over: threading.Event,
    tls: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TLS has taken the socket over by then."""

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        while not over.wait(0.02):
            handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls))
    _is_late(server.on("/m", answer(act=trickle)).replace("http:", "https:"), into)


def test_a_server_that_spins_out_the_handshake_is_given_up(
    into: Path, over: threading.Event
) -> None:
    def trickle() -> None:
        connected, _ = listening.accept()
        with connected:
            connected.sendall(b"\x16\x03\x03\x40\x00")
            while not over.wait(0.02):
                try:
                    connected.sendall(b"\x02")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        _is_late(f"https://127.0.0.1:{listening.getsockname()[1]}/m", into)
        over.set()
        thread.join()


def test_a_name_that_is_looked_up_without_end_is_given_up(
    into: Path, over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        over.wait(60)
        raise socket.gaierror

    monkeypatch.setattr(dialing.socket, "getaddrinfo", never)
    _is_late("http://slow.example/m", into)


def test_the_wait_before_an_attempt_is_part_of_it(
    server: Server, answer: Answer, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    from hub_tfx.store.fetch import web

    monkeypatch.setattr(web.time, "sleep", slept.append)
    url = server.on("/m", answer(503))
    with pytest.raises(TransientFetchError, match="503"):
        HttpFetcher(total_timeout_s=5, attempts=9, max_wait_s=1000).fetch(
            ModuleHandle.parse(url), into
        )
    assert max(slept) <= 5


def test_a_call_is_waited_for_until_the_deadline_only(over: threading.Event) -> None:
    with Deadline(0.05) as deadline:
        assert deadline.call(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            deadline.call(lambda: 1 // 0)
        with pytest.raises(OverdueError):
            deadline.call(over.wait, 60)
        assert deadline.is_over


def test_sockets_that_were_let_go_are_not_touched(over: threading.Event) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Deadline(0.01) as deadline:
        deadline.watch(ours)
        deadline.release()
        over.wait(0.05)
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"


def test_a_socket_that_comes_too_late_is_shut_down() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Deadline(0) as deadline:
        deadline.watch(ours)
        assert theirs.recv(1) == b""
