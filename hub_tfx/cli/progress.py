"""Progress of an embedding job: live on a terminal, otherwise a line every half minute."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hub_tfx.cli.output import ProgressLine
from hub_tfx.embed.progress import IN_THIS_PROCESS

_LINE_EVERY_S = 30.0
_LIVE_EVERY_S = 0.5


@contextmanager
def shown_progress() -> Iterator[None]:
    """Prints rows, rate and rejected rows to stderr while the body runs."""
    progress = ProgressLine("starting")
    done = threading.Event()
    started_s = time.monotonic()

    def watch() -> None:
        seen, changed_s = 0, started_s
        while not done.wait(_LIVE_EVERY_S if progress.is_live else _LINE_EVERY_S):
            rows, now_s = IN_THIS_PROCESS.rows, time.monotonic()
            rate = (rows - seen) / (now_s - changed_s)
            seen, changed_s = rows, now_s
            line = f"working, {now_s - started_s:,.0f} s"
            if rows:  # Workers in other processes have Beam's metrics instead.
                rejected = IN_THIS_PROCESS.dead_letters
                line = f"{rows:,} rows, {rate:,.0f} rows/s, {rejected:,} rejected, {line}"
            progress.show(line)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    progress.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        progress.stop()
