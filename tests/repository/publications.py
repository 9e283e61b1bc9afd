"""A publication that is killed at one system call after the other.

As a program, `python publications.py FOLDER CALL…` publishes a second version to a repository that
has one, kills that at each of these system calls, and prints what was left each time.
"""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from killing import kill_points
from published import card, module

from hub_tfx.repository.garbage import collect_garbage
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.publish import publish
from hub_tfx.repository.storage import open_storage
from hub_tfx.repository.verify import verify
from hub_tfx.repository.versions import aliases, numbers

NAME = ModuleName("acme", "words")


def sweep(folder: Path, calls: Sequence[str]) -> Counter[str]:
    """Counts what was there where a publication was killed; after each, the next one is right."""
    old, new = module(folder / "old", weights=b"old"), module(folder / "new", weights=b"new")
    text, before, repository = card(folder), folder / "before", folder / "repository"
    publish(old, before, str(NAME), card=text, aliases=["stable"])

    def prepare() -> None:
        shutil.rmtree(repository, ignore_errors=True)
        shutil.copytree(before, repository)

    def run() -> None:
        publish(new, repository, str(NAME), card=text, aliases=["stable"])

    left: Counter[str] = Counter()
    prepare()
    run()  # Imports what is needed, so that only a publication is killed.
    for call in kill_points(prepare, run, calls):
        storage = open_storage(repository)
        assert verify(storage).damages == (), call
        there, stable = numbers(storage, NAME), aliases(storage, NAME)["stable"]
        assert (there, stable) in (([1], 1), ([1, 2], 1), ([1, 2], 2)), call
        left["new" if stable == 2 else "new, alias old" if len(there) == 2 else "old"] += 1
        run()
        assert numbers(storage, NAME) == [1, 2], call
        assert aliases(storage, NAME)["stable"] == 2, call
        collect_garbage(storage, execute=True)
        assert list((repository / "-" / "work").iterdir()) == [], call
        assert verify(storage).damages == (), call
        assert collect_garbage(storage, execute=True).files == (), call
    return left


if __name__ == "__main__":
    _, where, *names = sys.argv
    print(json.dumps(sweep(Path(where), names)))
