"""A server under load: pages among few modules and among many, and the bytes of an archive.

    python -m benchmarks.serve_load [--modules 100 10000] [--requests 2000] [--archive-mib 1024]
        [--rounds 12] [--folder DIR]

Pages: `hub-tfx serve` in a process of its own, asked over 64 connections that are kept open, each
of which asks again as soon as it has its answer. Printed are answers a second, the median and the
99th percentile of the time to an answer, and what is not 200. "ready" is a server that was killed
and is started again, until /-/readyz says so.

Archive: a file as whole processes of curl get it, in turn from nginx alone, from `hub-tfx serve`,
and from nginx in front of it (X-Accel-Redirect), each ratio to nginx alone of the same round. Needs
curl and nginx.
"""

import argparse
import asyncio
import hashlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.catalogue_scale import _WORDS, fill, name_of
from hub_tfx.module.manifest import FileEntry, Manifest
from hub_tfx.repository import layout
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import open_storage
from hub_tfx.repository.vocabulary import TASKS

_CONNECTIONS = 64
_COMMAND = "from hub_tfx.cli.main import main; main()"
_FORMAT = "tf-hub-format=compressed"
_BIG = ModuleName("bench", "big")
_NGINX = """
daemon off; pid {folder}/nginx.pid; error_log stderr; {user} events {{}}
http {{
  access_log off; sendfile on; tcp_nopush on;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  upstream hub {{ server {behind}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{port};
    location /alone/ {{ alias {root}/; }}
    location / {{ proxy_pass http://hub; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    location /-accel/ {{ internal; alias {root}/; }}
  }}
}}
"""


@dataclass(frozen=True)
class Load:
    """What many requests took.

    Attributes:
      seconds: of all of them.
      times_s: of each, sorted.
      failed: how many were not answered by 200.
    """

    seconds: float
    times_s: Sequence[float]
    failed: int

    @property
    def p99_ms(self) -> float:
        return 1000 * self.times_s[int(0.99 * (len(self.times_s) - 1))]


@contextmanager
def serving(root: Path, folder: Path, *options: str) -> Iterator[tuple[str, float]]:
    """URL of a server, and the seconds until it was ready; it is killed at the end."""
    started_s = time.perf_counter()
    places = ("--repository", str(root), "--index", str(folder / "index.sqlite"))
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, "serve", "--port", "0", *places, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        while not is_ready(url):
            time.sleep(0.01)
        yield url, time.perf_counter() - started_s
    finally:
        process.kill()
        process.wait()


def is_ready(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{url}/-/readyz") as answer:
        return bool(answer.status == 200)
    return False


def wait_for_index(url: str, versions: int) -> None:
    """Returns when the index has all that the repository has."""
    while True:
        with urllib.request.urlopen(f"{url}/-/metrics") as answer:
            if f"hub_tfx_versions {float(versions)}\n" in answer.read().decode():
                return
        time.sleep(0.2)


# --- Pages ---------------------------------------------------------------------------------------


def load(url: str, paths: Sequence[str]) -> Load:
    """Asks for paths over many connections."""
    return asyncio.run(_load(url, paths))


async def _load(url: str, paths: Sequence[str]) -> Load:
    waiting, times, failed = list(reversed(paths)), list[float](), list[str]()

    async def ask() -> None:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while waiting:
            path = waiting.pop()
            started_s = time.perf_counter()
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            times.append(time.perf_counter() - started_s)
            if b" 200 " not in head[:16]:
                failed.append(path)
        writer.close()

    started_s = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(_CONNECTIONS)))
    return Load(time.perf_counter() - started_s, sorted(times), len(failed))


def catalogue_paths(count: int, modules: int) -> list[str]:
    """The first pages, words, and filters, one after the other."""
    kinds = (
        lambda n: "/",
        lambda n: f"/?page={n % max(1, modules // 50) + 1}",
        lambda n: f"/?q={_WORDS[n % 50]}",
        lambda n: f"/?task={TASKS[n % 3]}&fine_tunable=yes",
    )
    return [kinds[number % len(kinds)](number) for number in range(count)]


def pages(folder: Path, modules: int, requests: int) -> dict[str, Load]:
    root, versions = folder / "modules", 3
    fill(open_storage(root), root, 0, modules, versions)
    kinds = {
        "catalogue": catalogue_paths(requests, modules),
        "module": [f"/{name_of(n % modules)}/{n % versions + 1}" for n in range(requests)],
        "module, as JSON": [f"/{name_of(n % modules)}.json" for n in range(requests)],
    }
    with serving(root, folder) as (url, first_s):
        wait_for_index(url, modules * versions)
        found = {}
        for kind, paths in kinds.items():
            load(url, paths[:_CONNECTIONS])
            found[kind] = load(url, paths)
            _print_load(f"{kind} page, {modules} modules", found[kind])
    with serving(root, folder) as (_, again_s):
        print(f"{f'ready, {modules} modules':<40}{first_s:10.2f} s   {again_s:.2f} s after a kill")
    return found


def _print_load(name: str, found: Load) -> None:
    count = len(found.times_s)
    print(
        f"{name:<40}{count / found.seconds:10.0f}/s   p50 "
        f"{1000 * statistics.median(found.times_s):.1f} ms, p99 {found.p99_ms:.1f} ms, "
        f"{found.failed} of {count} failed",
        flush=True,
    )


# --- Archives ------------------------------------------------------------------------------------


def write_archive(root: Path, mib: int) -> Path:
    """A version with an archive of so many MiB, that nothing but a download looks into."""
    storage = open_storage(root)
    storage.create(layout.REPOSITORY, b'{"layout": 1}')
    folder = root / layout.version_key(_BIG, 1)
    folder.mkdir(parents=True)
    block, sha256 = os.urandom(1 << 20), hashlib.sha256()
    with (folder / layout.ARCHIVE).open("wb") as file:
        for _ in range(mib):
            file.write(block)
            sha256.update(block)
    manifest = Manifest((FileEntry("saved_model.pb", 1, "0" * 64),))
    beside = (FileEntry(layout.ARCHIVE, mib << 20, sha256.hexdigest()),)
    made = Version(_BIG, 1, manifest, beside, "bench", "2026-01-01T00:00:00+00:00")
    (folder / layout.MARKER).write_text(made.to_json())
    return folder / layout.ARCHIVE


@contextmanager
def nginx(root: Path, folder: Path, behind: str) -> Iterator[str]:
    """URL of an nginx that serves a repository alone, and in front of a server."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        sys.exit("nginx is not installed: apt-get install nginx-light")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = "user root;" if os.geteuid() == 0 else ""
    values = {"folder": folder, "user": user, "behind": behind, "port": port, "root": root}
    (folder / "nginx.conf").write_text(_NGINX.format(**values))
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    process = subprocess.Popen(command)
    try:
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def fetched(url: str, size_bytes: int) -> float:
    """Seconds of a process that gets a file."""
    command = ["curl", "-fsS", "-o", "/dev/null", "-w", "%{size_download}", url]
    started_s = time.perf_counter()
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert told == str(size_bytes)
    return time.perf_counter() - started_s


def archives(folder: Path, mib: int, rounds: int) -> None:
    root, front = folder / "modules", folder / "front"
    front.mkdir()
    write_archive(root, mib)
    path = f"{layout.version_key(_BIG, 1)}"
    with (
        serving(root, folder) as (direct, _),
        serving(root, front, "--accel-prefix", "/-accel") as (behind, _),
        nginx(root, folder, behind.removeprefix("http://")) as address,
    ):
        urls = {
            "nginx alone": f"{address}/alone/{path}/{layout.ARCHIVE}",
            "hub-tfx serve": f"{direct}/{path}?{_FORMAT}",
            "nginx in front": f"{address}/{path}?{_FORMAT}",
        }
        times = {name: list[float]() for name in urls}
        names = list(urls)
        for turn in range(rounds + 1):
            for name in names[turn % 3 :] + names[: turn % 3]:  # None is always the first.
                seconds = fetched(urls[name], mib << 20)
                if turn:  # The first fills the cache of the system.
                    times[name].append(seconds)
    alone = times["nginx alone"]
    for name, seconds in times.items():
        ratios = [one / other for one, other in zip(alone, seconds, strict=True)]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        rate = mib / statistics.median(seconds)
        print(f"{name:<40}{rate:10.0f} MiB/s   {statistics.median(ratios):.2f}   ({each})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", type=int, nargs="+", default=[100, 10_000])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--archive-mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--folder", help="where the repositories are made")
    options = parser.parse_args()
    found = []
    for modules in options.modules:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            found.append(pages(Path(folder), modules, options.requests))
    for kind in found[0]:
        growth = found[-1][kind].p99_ms / found[0][kind].p99_ms
        print(f"{f'growth of p99, {kind}':<40}{growth:10.2f}")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        archives(Path(folder), options.archive_mib, options.rounds)


if __name__ == "__main__":
    main()
