"""How far a download is: a line in the log every half minute, or whatever a program shows."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from hub_tfx._text import duration

_log = logging.getLogger(__name__)


@dataclass
class Download:
    """What has come.

    Attributes:
      name: the handle, as it is shown.
      done: bytes that are here.
      expected: bytes in all; None if the server does not say.
      before: bytes of ``done`` that were here when it began.
      started_s: when it began, by the monotonic clock.
    """

    name: str
    done: int = 0
    expected: int | None = None
    before: int = 0
    started_s: float = field(default_factory=time.monotonic)

    def line(self, now_s: float) -> str:
        """Bytes, rate and the time that is left, as of a moment of the monotonic clock."""
        rate = (self.done - self.before) / max(now_s - self.started_s, 1e-3)
        said = f"{_size(self.done)}"
        if self.expected is not None:
            said += f" of {_size(self.expected)}"
        said += f", {_size(rate)}/s"
        if self.expected is not None and rate:
            said += f", {duration(max(0, self.expected - self.done) / rate)} left"
        return f"{self.name}: {said}"


class Listener(Protocol):
    """Shows downloads; each of its methods is called by the thread that downloads."""

    def began(self, download: Download) -> None:
        """A download begins."""

    def went_on(self, download: Download) -> None:
        """More has come."""

    def ended(self, download: Download) -> None:
        """It is complete, or has failed."""


class LogLines:
    """A line every ``every_s`` seconds."""

    def __init__(self, every_s: float = 30):
        self._every_s = every_s
        self._next_s = 0.0

    def began(self, download: Download) -> None:
        self._next_s = download.started_s + self._every_s

    def went_on(self, download: Download) -> None:
        if (now_s := time.monotonic()) >= self._next_s:
            self._next_s = now_s + self._every_s
            _log.info("%s", download.line(now_s))

    def ended(self, download: Download) -> None:
        pass


_listeners: list[Listener] = [LogLines()]


@contextmanager
def showing(listener: Listener) -> Iterator[None]:
    """Has a listener show the downloads of this process while the body runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def downloading(name: str, before: int, expected: int | None) -> Iterator[Download]:
    """A download that is shown until the body ends."""
    download = Download(name, before, expected, before)
    listener = _listeners[-1]
    listener.began(download)
    try:
        yield download
    finally:
        listener.ended(download)


def arrived(download: Download, count: int) -> None:
    """Counts bytes that have come."""
    download.done += count
    _listeners[-1].went_on(download)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
