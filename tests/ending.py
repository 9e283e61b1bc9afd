"""For tests of what would otherwise take minutes, or for ever: it must end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

MINUTE_S = 60


@contextmanager
def must_end(seconds: int = MINUTE_S) -> Iterator[None]:
    """Fails where the body is still running: many times longer than it takes on any machine."""

    def late(*_: object) -> None:
        raise AssertionError(f"it still runs after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
