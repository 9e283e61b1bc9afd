"""A catalogue that grows: building, refreshing and searching among few modules and among many.

    python -m benchmarks.catalogue_scale [--modules 100 10000] [--versions 5] [--folder DIR]

Of the repository there is what a catalogue reads: markers, cards, facts and an alias a module, with
cards of 300 words out of 5,000 that are as frequent as those of a language. Each time is the median
of calls of the library, no two of which ask for the same; "first" is one call.
"""

import argparse
import hashlib
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.repository_scale import milliseconds
from hub_tfx.module.manifest import FileEntry, Manifest
from hub_tfx.repository import layout
from hub_tfx.repository.catalogue import Catalogue, CatalogueQuery
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import Storage, open_storage
from hub_tfx.repository.vocabulary import TASKS

_PUBLISHERS = 100
_WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprstvwz" for b in "aeiou" for c in ("", *"nrstlmkdx")]
_WORDS += [f"{one}{other}" for one in _WORDS[:66] for other in _WORDS[:66]]
_FREQUENCY = [1 / rank for rank in range(1, len(_WORDS) + 1)]
_LANGUAGES = ("en", "de", "fr", "ja", "zh-Hant", "es")
_LICENSES = ("Apache-2.0", "MIT", "BSD-3-Clause")


def name_of(number: int) -> ModuleName:
    return ModuleName(f"publisher{number % _PUBLISHERS}", f"{_WORDS[number % 700]}-{number}")


def fill(storage: Storage, root: Path, first: int, last: int, versions: int) -> None:
    """Writes modules of numbers in the half-open range of ``first`` and ``last``."""
    storage.create(layout.REPOSITORY, json.dumps({"layout": layout.LAYOUT}).encode())
    for number in range(first, last):
        for version in range(1, versions + 1):
            write_version(root, number, version)
        alias = root / layout.module_key(name_of(number)) / layout.RESERVED / "aliases" / "stable"
        alias.mkdir(parents=True)
        record = {"who": "bench", "when": "2026-01-01T00:00:00+00:00", "why": "", "to": 1}
        (alias / "0001.json").write_text(json.dumps(record))


def write_version(root: Path, number: int, version: int) -> None:
    chance, name = random.Random(f"{number} {version}"), name_of(number)
    text = hashlib.sha256(f"{number} {version}".encode()).hexdigest()
    manifest = Manifest((FileEntry("saved_model.pb", chance.randrange(1 << 30), text),))
    words = chance.choices(_WORDS, _FREQUENCY, k=300)
    card = (
        f"---\nsummary: {' '.join(words[:12])}.\ntask: {chance.choice(TASKS)}\n"
        f"license: {chance.choice(_LICENSES)}\nowners: [Team {number % 300}]\n"
        f"language: {chance.choice(_LANGUAGES)}\n---\n{' '.join(words[12:])}\n"
    )
    facts = {
        "format": "saved_model",
        "digest": manifest.digest,
        "size_bytes": manifest.size_bytes,
        "files": json.loads(manifest.to_json())["files"],
        "signatures": {},
        "fine_tunable": bool(number % 2),
    }
    content = {layout.CARD: card.encode(), layout.FACTS: json.dumps(facts).encode()}
    beside = tuple(
        FileEntry(path, len(data), hashlib.sha256(data).hexdigest())
        for path, data in content.items()
    )
    when = f"20{10 + number % 16}-{version % 12 + 1:02}-01T00:00:00+00:00"
    made = Version(name, version, manifest, beside, "bench", when)
    folder = root / made.key
    folder.mkdir(parents=True)
    for path, data in {**content, layout.MARKER: made.to_json().encode()}.items():
        (folder / path).write_bytes(data)


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def once(call: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


def measure(storage: Storage, root: Path, index: Path, modules: int) -> dict[str, float]:
    """Milliseconds of each operation on a repository of so many modules, and what it takes."""
    with Catalogue.open(storage, index) as catalogue:
        build = once(catalogue.refresh)
    before = resident_mb()
    opened = list[Catalogue]()

    def start() -> None:
        opened.append(Catalogue.open(storage, index))
        opened[0].search(CatalogueQuery())

    started = once(start)
    [catalogue] = opened
    taken = resident_mb() - before

    def searching(**more: object) -> Callable[[int], object]:
        return lambda number: catalogue.search(
            CatalogueQuery(page=number % 2 + 1, **more)  # type: ignore[arg-type]
        )

    def publish(number: int) -> None:
        write_version(root, number, 100 + modules)
        assert len(catalogue.refresh().updated) == 1

    def frequent(number: int) -> object:
        return catalogue.search(CatalogueQuery(_WORDS[number]))

    def rare(number: int) -> object:
        return catalogue.search(CatalogueQuery(_WORDS[-1 - number]))

    results = {
        "build": build,
        "open and search, first": started,
        "refresh, nothing new": milliseconds(lambda _: catalogue.refresh()),
        "search everything": milliseconds(searching()),
        "search 2 facets": milliseconds(searching(language=("en",), license=("MIT",))),
        "search a frequent word": milliseconds(frequent),
        "search a rare word": milliseconds(rare),
        "nearest handles": milliseconds(lambda n: catalogue.nearest(f"publisher{n}/bna-{n}")),
        "a module": milliseconds(lambda n: catalogue.module(name_of(n))),
        "newest 50": milliseconds(lambda _: catalogue.newest(50)),
        "refresh, one new version": milliseconds(publish),
        "search after a change": once(lambda: catalogue.search(CatalogueQuery("x"))),
        "memory, MB": taken,
        "file, MB": index.stat().st_size / 1e6,
    }
    catalogue.close()
    return results


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
        root = Path(name, "repository")
        storage, there, results = open_storage(root), 0, []
        for modules in sorted(arguments.modules):
            fill(storage, root, there, modules, arguments.versions)
            there = modules
            results.append(measure(storage, root, Path(name, f"{modules}.sqlite"), modules))
        sizes = "".join(f"{modules:>12,} modules" for modules in sorted(arguments.modules))
        print(f"{'ms, ' + str(arguments.versions) + ' versions each':<26}{sizes}   ratio")
        for operation in results[0]:
            values = [result[operation] for result in results]
            columns = "".join(f"{value:>20.2f}" for value in values)
            print(f"{operation:<26}{columns}{values[-1] / max(values[0], 1e-9):>8.2f}")


if __name__ == "__main__":
    main()
