"""A repository that grows: publishing, resolving and listing by name among few and among many.

    python -m benchmarks.repository_scale [--modules 100 10000] [--versions 5] [--folder DIR]

Each time is the median of calls of the library, with the repository on the disk of DIR. What is
around the module that is asked for is published without syncing, since only the calls that are
measured need to survive a crash.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hub_tfx.module.manifest import FileEntry, Manifest, hash_file
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository import layout
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.publish import publish
from hub_tfx.repository.storage import Storage, open_storage
from hub_tfx.repository.versions import listed, prepare
from hub_tfx.store.cache import ModuleCache
from hub_tfx.testing import minimal_module

_PUBLISHERS = 100
_CALLS = 20
_CARD = """---
summary: Vectors of words.
task: text-embedding
license: Apache-2.0
owners: [acme]
language: en
---
"""


@contextmanager
def unsynced() -> Iterator[None]:
    """Has nothing wait for the disk meanwhile."""
    fsync, os.fsync = os.fsync, lambda descriptor: None
    try:
        yield
    finally:
        os.fsync = fsync


def fill(storage: Storage, work: Path, first: int, last: int, versions: int) -> None:
    """Publishes modules of numbers in the half-open range of ``first`` and ``last``."""
    module = minimal_module(work / f"filler-{first}")
    weights, card = module / "variables" / "variables.index", work / layout.CARD
    card.write_text(_CARD)
    beside = (FileEntry(layout.CARD, *hash_file(card)),)
    with unsynced():
        for number in range(first, last):
            name = ModuleName(f"publisher{number % _PUBLISHERS}", f"model{number}")
            prepare(storage, name)
            for version in range(1, versions + 1):
                weights.write_text(f"{number} {version}")
                manifest = Manifest.of_directory(module)
                content = {f"{layout.MODULE}/{e.path}": module / e.path for e in manifest.files}
                made = Version(name, version, manifest, beside, "bench", "2026-01-01T00:00:00Z")
                with storage.work() as folder:
                    storage.push(made, {**content, layout.CARD: card}, folder)
                    assert storage.commit(made, folder)


def milliseconds(call: Callable[[int], object]) -> float:
    """Median of the time that a call takes."""
    times = []
    for number in range(_CALLS):
        started = time.perf_counter()
        call(number)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def measure(storage: Storage, work: Path, modules: int) -> dict[str, float]:
    """Milliseconds of each operation in a repository of so many modules."""
    card = work / layout.CARD
    made = []
    for number in range(_CALLS):
        path = minimal_module(work / f"new-{modules}-{number}")
        (path / "variables" / "variables.index").write_text(f"new {modules} {number}")
        made.append(ResolvedModule.of_directory(path))
    known, cache = ModuleName("publisher7", "model7"), ModuleCache(work / "cache")

    def new(number: int) -> object:
        name = f"publisher{number}/new{modules}-{number}"
        return publish(made[number], storage.url, name, card=card)

    def fresh(number: int) -> object:
        return publish(made[number], storage.url, f"acme/at{modules}", card=card)

    return {
        "publish a new module": milliseconds(new),
        "publish a new version": milliseconds(fresh),
        "resolve P/M": milliseconds(lambda _: cache.resolve(f"repo+{storage.url}//{known}")),
        "resolve P/M/3": milliseconds(lambda _: cache.resolve(f"repo+{storage.url}//{known}/3")),
        "list P/M": milliseconds(lambda _: listed(storage, known)),
    }


def main() -> None:
    """Prints a line for each operation: its time at each size, and the last by the first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modules", type=int, nargs="+", default=[100, 10_000])
    parser.add_argument("--versions", type=int, default=5)
    parser.add_argument(
        "--folder", help="a folder on the disk to measure; the system's if left out"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        work, storage = Path(name), open_storage(Path(name, "repository"))
        there, results = 0, []
        for modules in sorted(arguments.modules):
            fill(storage, work, there, modules, arguments.versions)
            there = modules
            results.append(measure(storage, work, modules))
        sizes = "".join(f"{modules:>12,} modules" for modules in sorted(arguments.modules))
        print(f"{'ms, ' + str(arguments.versions) + ' versions each':<24}{sizes}   ratio")
        for operation in results[0]:
            times = [result[operation] for result in results]
            columns = "".join(f"{ms:>20.1f}" for ms in times)
            print(f"{operation:<24}{columns}{times[-1] / times[0]:>8.2f}")


if __name__ == "__main__":
    main()
