"""Runs of a pipeline that are killed with SIGKILL at a certain event of a certain step.

Everything happens in children of one process, which has imported TFX once and has run none of it.
Events of a step are the begin and the end of the step and of its executor's Do, and every file that
Python opens for writing, links, moves or removes in between.
"""

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx.orchestration.portable.launcher import Launcher

FILE_EVENTS = {"open": "writes", "os.rename": "moves", "os.link": "links", "os.remove": "removes"}
_RANDOM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,}|\d{5,}")
_SECONDS = 240


@dataclass(frozen=True)
class Point:
    """Where a run dies.

    Attributes:
      step: name of the step.
      number: of the events of this step, from 0, the one at which it happens.
      event: what the step is about to do, or has done, in words.
    """

    step: str
    number: int
    event: str


class Events:
    """Tells the events of a run, and ends the process at one of them."""

    def __init__(self, folder: Path, log: Path, last: Point | None):
        """What counts are files below a folder; the log gets a line for each event."""
        self._folder, self._last = str(folder), last
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._step, self._number, self._in_do = "", 0, False

    def install(self) -> None:
        """Listens from now on, for as long as the process lives."""
        launch, run_executor = Launcher.launch, Launcher._run_executor

        def launched(launcher: Any) -> Any:
            self._step, self._number = launcher._pipeline_node.node_info.id, 0
            self._tell("begins")
            result = launch(launcher)
            self._tell("is in ML Metadata")
            return result

        def executed(launcher: Any, info: Any) -> Any:
            self._tell("Do begins")
            self._in_do = True
            try:
                return run_executor(launcher, info)
            finally:
                self._in_do = False
                self._tell("Do has ended")

        Launcher.launch, Launcher._run_executor = launched, executed
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._in_do or event not in FILE_EVENTS:
            return
        path = arguments[1] if event in ("os.rename", "os.link") else arguments[0]
        if event == "open" and not _is_for_writing(arguments):
            return
        if isinstance(path, str | bytes | os.PathLike):
            name = os.fsdecode(path)
            if name.startswith(self._folder):
                self._tell(f"{FILE_EVENTS[event]} {_RANDOM.sub('…', os.path.basename(name))}")

    def _tell(self, event: str) -> None:
        os.write(self._log, f"{self._step}\t{self._number}\t{event}\n".encode())
        if self._last and (self._step, self._number) == (self._last.step, self._last.number):
            os.kill(os.getpid(), signal.SIGKILL)
        self._number += 1


def _is_for_writing(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return bool(set(mode) & set("wxa+"))
    return bool(flags & (os.O_WRONLY | os.O_RDWR))


def read_points(log: Path) -> list[Point]:
    """The events that a run has told."""
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    return [Point(step, int(number), event) for step, number, event in lines]


def in_child(body: Callable[[], None], log: Path) -> int:
    """Runs something in a child, whose output goes to a file; how it ended, as waitpid says."""
    child = os.fork()
    if not child:
        with _output_to(log):
            signal.alarm(_SECONDS)
            try:
                body()
            except BaseException:  # noqa: BLE001
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)
    return os.waitpid(child, 0)[1]


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    with log.open("ab") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    yield
