"""Resolving against the shell: a cold download, a warm hit, and the check of a whole cache.

    python -m benchmarks.resolve_speed [--mb 200] [--repeat 3]

Cold: a .tar.gz from a server on the loopback, against `curl | tar xz` and `sha256sum` of what came;
ours is on the disk in the end (synced), theirs need not be. Warm: a hit in this process, without
TensorFlow. Verify: every byte of two modules, against `xargs -P` and `sha256sum` on as many cores.
Each line has the rate and, run by run, how many times faster ours was. Only ratios mean anything.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.report import ratio
from hub_tfx.store.archive import pack
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.folder import CacheFolder
from hub_tfx.store.verify import verify_cache
from hub_tfx.testing import minimal_module

_HITS = 50


def large_module(path: Path, megabytes: int, seed: int) -> Path:
    """A module with weights as they are: floats, which hardly compress."""
    module = minimal_module(path)
    weights = np.random.default_rng(seed).normal(size=megabytes << 18).astype(np.float32)
    (module / "variables" / "weights").write_bytes(weights.tobytes())
    return module


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A server of the files in a folder, in a process of its own."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def shell(command: str) -> None:
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, stdout=subprocess.DEVNULL)


def cold(url: str, folder: Path, repeat: int, megabytes: int) -> None:
    ours, theirs = [], []
    for number in range(repeat):
        cache = ModuleCache(folder / f"cold-{number}")
        ours.append(seconds(lambda cache=cache: cache.resolve(f"{url}/m.tar.gz")))
        cache.release()
        shutil.rmtree(cache.root)
        there = folder / f"shell-{number}"
        there.mkdir()
        fetch = f"curl -sf {url}/m.tar.gz | tar xz -C {there}"
        command = f"{fetch}; find {there} -type f -exec sha256sum {{}} +"
        theirs.append(seconds(lambda command=command: shell(command)))
        shutil.rmtree(there)
    tell("cold resolve", megabytes, ours, f"curl | tar xz, sha256sum  {ratio(theirs, ours)}")


def warm(url: str, folder: Path) -> None:
    cache = ModuleCache(folder / "cache")
    digest = cache.resolve(f"{url}/m.tar.gz").digest
    for name, arguments in (("warm hit", {}), ("warm hit, pinned", {"digest": digest})):
        cache.resolve(f"{url}/m.tar.gz", **arguments)
        taken = [
            seconds(lambda given=arguments: cache.resolve(f"{url}/m.tar.gz", **given))
            for _ in range(_HITS)
        ]
        milliseconds = 1000 * statistics.median(taken)
        print(
            f"{name:<24}{milliseconds:>9.2f} ms   (at most {1000 * max(taken):.2f} ms)", flush=True
        )
    print(f"{'without tensorflow':<24}{'tensorflow' not in sys.modules!s:>12}", flush=True)


def verify(folder: Path, repeat: int, megabytes: int) -> None:
    cache = CacheFolder(folder / "cache")
    cores = os.cpu_count()
    command = f"find {cache.modules} -type f -print0 | xargs -0 -n1 -P{cores} sha256sum"
    ours, theirs = [], []
    for _ in range(repeat):
        theirs.append(seconds(lambda: shell(command)))
        ours.append(seconds(lambda: verify_cache(cache)))
    tell("verify", 2 * megabytes, ours, f"xargs -P{cores} sha256sum     {ratio(theirs, ours)}")


def tell(name: str, megabytes: int, ours: list[float], compared: str) -> None:
    rate = megabytes / statistics.median(ours)
    print(f"{name:<24}{rate:>7.0f} MB/s   {compared}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "served").mkdir()
        pack(large_module(folder / "module", options.mb, 0), folder / "served" / "m.tar.gz")
        with served(folder / "served") as url:
            warm(url, folder)
            cold(url, folder, options.repeat, options.mb)
        cache = ModuleCache(folder / "cache")
        cache.resolve(str(large_module(folder / "other", options.mb, 1)))
        verify(folder, options.repeat, options.mb)


if __name__ == "__main__":
    main()
