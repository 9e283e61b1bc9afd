"""Progress of embedding and of downloads: live on a terminal, otherwise a line each half minute."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hub_tfx._text import duration
from hub_tfx.cli.output import ProgressLine
from hub_tfx.embed.progress import IN_THIS_PROCESS, Progress

_LINE_EVERY_S = 30.0
_LIVE_EVERY_S = 0.5
_RATE_OVER_S = 30.0
_FIRST_AFTER_S = 2.0
"""Of rows, so that there is a rate, and jobs of a moment print nothing."""


@contextmanager
def shown_progress() -> Iterator[None]:
    """Prints rows, rate, rejected rows and the time left to stderr while the body runs.

    Soon after the first call there is a line, so that something is seen of a slow module.
    """
    shown = ProgressLine("starting")
    done = threading.Event()
    lines = _Lines(IN_THIS_PROCESS, time.monotonic())

    def watch() -> None:
        next_s, is_first = time.monotonic() + _LINE_EVERY_S, True
        while not done.wait(_LIVE_EVERY_S):
            now_s = time.monotonic()
            line = lines.line(now_s)
            is_first_due = is_first and lines.working_s(now_s) >= _FIRST_AFTER_S
            if shown.is_live or now_s >= next_s or is_first_due:
                next_s, is_first = now_s + _LINE_EVERY_S, is_first and not lines.rows
                shown.show(line)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    shown.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        shown.stop()


@dataclass
class _Lines:
    """What there is to say of a job, from what is counted and when it was.

    Attributes:
      progress: the counts.
      started_s: when the job began.
      seen: (time, rows that were done) of the last half minute; first of when there was none.
    """

    progress: Progress
    started_s: float
    seen: list[tuple[float, int]] = field(default_factory=list)
    before: int = field(init=False)

    def __post_init__(self) -> None:
        self.before = self.progress.done
        self.seen.append((self.started_s, self.before))

    @property
    def rows(self) -> int:
        """Rows that are done."""
        return self.progress.done - self.before

    def working_s(self, now_s: float) -> float:
        """Seconds since there were rows, of the last half minute."""
        return now_s - self.seen[0][0] if self.rows else 0.0

    def line(self, now_s: float) -> str:
        """One line on the state at a time, in seconds."""
        working = f"working, {now_s - self.started_s:,.0f} s"
        if not self.rows:  # Workers in other processes have Beam's metrics instead.
            self.seen = [(now_s, self.before)]
            return working
        rate = self._rate(now_s)
        said = [f"{self.rows:,} rows", f"{rate:,.0f} rows/s"]
        if self.progress.expected is not None:
            left = max(0, self.progress.expected - self.progress.done)
            said[0] = f"{self.rows:,} of {self.rows + left:,} rows"
            said += [f"{duration(left / rate)} left"] if rate else []
        return ", ".join([*said, f"{self.progress.dead_letters:,} rejected", working])

    def _rate(self, now_s: float) -> float:
        """Rows a second over the last half minute, or since there were any."""
        self.seen.append((now_s, self.progress.done))
        while len(self.seen) > 2 and now_s - self.seen[0][0] > _RATE_OVER_S:
            del self.seen[0]
        since_s, rows = self.seen[0]
        return (self.progress.done - rows) / max(now_s - since_s, 1e-9)
