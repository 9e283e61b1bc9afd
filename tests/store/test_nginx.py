"""Ranges, redirects and slow lines, with nginx at the other end."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port, wait_for

from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.archive import pack
from hub_tfx.store.fetch.http import HttpFetcher

pytestmark = pytest.mark.engines

CONFIG = """
{user}daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log {folder}/access.log combined;
    client_body_temp_path {folder}/body;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/www;
        limit_rate_after 64k;
        location /slow/ {{ limit_rate 1; alias {folder}/www/; }}
        location = /moved.tgz {{ return 302 http://127.0.0.1:{cut}/m.tgz; }}
    }}
}}
"""


class CuttingLine(threading.Thread):
    """Passes connections on, and ends each of the first ones after some bytes of its answer."""

    def __init__(self, to: int, cuts: int, after_bytes: int):
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._to, self._cuts, self._after_bytes = to, cuts, after_bytes

    def run(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            with near, socket.create_connection(("127.0.0.1", self._to)) as far:
                far.sendall(near.recv(1 << 16))
                left = self._after_bytes if self._cuts > 0 else 1 << 30
                self._cuts -= 1
                while left and (chunk := far.recv(min(left, 1 << 16))):
                    near.sendall(chunk)
                    left -= len(chunk)

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def folder(tmp_path: Path, module_dir: Path) -> Path:
    """What nginx serves: ``m.tgz``, of 300 KB."""
    (module_dir / "assets").mkdir()
    (module_dir / "assets" / "noise").write_bytes(os.urandom(300_000))
    (tmp_path / "www").mkdir()
    pack(module_dir, tmp_path / "www" / "m.tgz")
    return tmp_path


@pytest.fixture
def nginx(folder: Path) -> Iterator[tuple[int, CuttingLine]]:
    """The port of nginx, and a line to it that is cut twice."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    port = free_port()
    line = CuttingLine(port, cuts=2, after_bytes=100_000)
    user = "user root;\n" if os.geteuid() == 0 else ""  # Others may not read a folder of a test.
    config = CONFIG.format(folder=folder, port=port, cut=line.port, user=user)
    (folder / "nginx.conf").write_text(config)
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    line.start()
    try:
        wait_for(port, running)
        yield port, line
    finally:
        line.stop()
        running.terminate()
        running.communicate()


def _statuses(folder: Path) -> list[str]:
    return [entry.split()[8] for entry in (folder / "access.log").read_text().splitlines()]


def test_a_line_that_is_cut_twice_is_resumed_twice_after_a_redirect(
    nginx: tuple[int, CuttingLine], folder: Path, module_dir: Path
) -> None:
    into = folder / "work" / "module"
    into.mkdir(parents=True)
    handle = ModuleHandle.parse(f"http://127.0.0.1:{nginx[0]}/moved.tgz")
    HttpFetcher(max_wait_s=0.01).fetch(handle, into)
    assert Manifest.of_directory(into) == Manifest.of_directory(module_dir)
    assert [status for status in _statuses(folder) if status != "302"] == ["200", "206", "206"]


def test_a_slow_line_meets_the_deadline(nginx: tuple[int, CuttingLine], folder: Path) -> None:
    from hub_tfx.errors import TransientFetchError

    into = folder / "work" / "module"
    into.mkdir(parents=True)
    handle = ModuleHandle.parse(f"http://127.0.0.1:{nginx[0]}/slow/m.tgz")
    with pytest.raises(TransientFetchError, match="not complete after 1 s"):
        HttpFetcher(total_timeout_s=1).fetch(handle, into)
    assert list(into.iterdir()) == []
