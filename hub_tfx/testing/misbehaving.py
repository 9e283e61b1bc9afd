"""A bucket that fails, answers too late, lists what was there before, and has other writers.

A sweep over the requests of a piece of code, each of which fails once::

    with MisbehavingFileSystem.at(root), misbehaving() as faults:
        commit()
    for number in range(1, len(faults.requests) + 1):
        with misbehaving(fails=number): ...
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from apache_beam.io.filesystem import BeamIOError

from hub_tfx.testing.remote import RemoteFileSystem


@dataclass
class Faults:
    """What goes wrong, by the number of a request, from 1, and what was asked for.

    Attributes:
      fails: request that fails and does nothing; 0 for none.
      loses_answer: request that does what it is told, and fails all the same; 0 for none.
      lists_late: how many changes ago the state is that a listing shows.
      before: called before each request with its number, such as to be another writer, whose own
        requests are neither counted nor misbehave.
      requests: (method, path) of each request so far.
      states: objects with their sizes, before each change and now.
      is_another: whether ``before`` is running.
    """

    fails: int = 0
    loses_answer: int = 0
    lists_late: int = 0
    before: Callable[[int], None] | None = None
    requests: list[tuple[str, str]] = field(default_factory=list)
    states: list[dict[Path, int]] = field(default_factory=list)
    is_another: bool = False


class MisbehavingFileSystem(RemoteFileSystem):
    """``misbehaving://…`` for what lies below ``root``; see ``misbehaving``."""

    faults: ClassVar[Faults] = Faults()

    @classmethod
    def scheme(cls) -> str:
        return "misbehaving"

    @contextmanager
    def _request(self, method: str, path: str) -> Iterator[None]:
        faults = self.faults
        if faults.is_another:
            yield
            return
        faults.requests.append((method, path))
        number = len(faults.requests)
        if faults.before is not None:
            faults.is_another = True
            try:
                faults.before(number)
            finally:
                faults.is_another = False
        if number == faults.fails:
            raise BeamIOError(f"{method} failed", {path: OSError("the store is not available")})
        if not faults.states:
            faults.states.append(self._objects())
        yield
        if method in ("create", "copy", "delete"):
            faults.states.append(self._objects())
        if number == faults.loses_answer:
            raise BeamIOError(f"{method} failed", {path: OSError("no answer in time")})

    def _found(self, pattern: str) -> list[tuple[Path, int]]:
        found = super()._found(pattern)
        if not self.faults.lists_late or not pattern.endswith(("*", "**")):
            return found
        folder = self._local(pattern.rstrip("*").rstrip("/"))
        deep = pattern.endswith("**")
        shown = self.faults.states[max(0, len(self.faults.states) - 1 - self.faults.lists_late)]
        return [
            (path, size)
            for path, size in shown.items()
            if folder in path.parents and (deep or path.parent == folder)
        ]

    def _objects(self) -> dict[Path, int]:
        return {p: p.stat().st_size for p in self.root.rglob("*") if p.is_file()}


@contextmanager
def misbehaving(
    fails: int = 0,
    loses_answer: int = 0,
    lists_late: int = 0,
    before: Callable[[int], None] | None = None,
) -> Iterator[Faults]:
    """Has MisbehavingFileSystem misbehave while the body runs; see Faults."""
    earlier = MisbehavingFileSystem.faults
    MisbehavingFileSystem.faults = faults = Faults(fails, loses_answer, lists_late, before)
    try:
        yield faults
    finally:
        MisbehavingFileSystem.faults = earlier
