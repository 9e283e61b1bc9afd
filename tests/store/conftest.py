"""A scripted HTTP server on the loopback, and a module that is made in a millisecond."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hub_tfx.store.archive import pack
from hub_tfx.store.fetch import hosts
from hub_tfx.testing import minimal_module


@pytest.fixture
def module_dir(tmp_path: Path) -> Path:
    return minimal_module(tmp_path / "source")


@pytest.fixture
def archive(tmp_path: Path, module_dir: Path) -> Path:
    pack(module_dir, tmp_path / "source.tar.gz")
    return tmp_path / "source.tar.gz"


@dataclass
class Answer:
    """What the server says once."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    act: Callable[[BaseHTTPRequestHandler], None] | None = None


class ScriptedServer(ThreadingHTTPServer):
    """Answers a path with its answers in turn, the last one again and again."""

    daemon_threads = True

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), _Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.targets: list[str] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]}:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the tests."""

    def on(self, path: str, *answers: Answer) -> str:
        self.answers[path] = list(answers)
        return self.url + path


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedServer

    def do_GET(self) -> None:
        self.server.targets.append(self.path)
        self.server.headers.append({k.lower(): v for k, v in self.headers.items()})
        answers = self.server.answers.get(self.path.partition("?")[0], [Answer(404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer.act is not None:
            answer.act(self)
            return
        self.send_response(answer.status)
        for name, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    yield from _running(ScriptedServer())


@pytest.fixture
def other_server() -> Iterator[ScriptedServer]:
    yield from _running(ScriptedServer())


@pytest.fixture
def public_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """At an address of this machine that passes for a public one."""
    reach = hosts._reach

    def of(ip: hosts.Address) -> hosts.Reach:
        return hosts.Reach.PUBLIC if str(ip) == "127.0.0.2" else reach(ip)

    monkeypatch.setattr(hosts, "_reach", of)
    yield from _running(ScriptedServer("127.0.0.2"))


def _running(server: ScriptedServer) -> Iterator[ScriptedServer]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def answer() -> type[Answer]:
    return Answer


@pytest.fixture
def tls(server: ScriptedServer, tmp_path: Path) -> Path:
    """Makes the server speak TLS under a certificate of its own; gives that certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key]
    subprocess.run([*command, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return certificate
