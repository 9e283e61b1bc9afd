"""A deadline that holds over everything: looking up names, headers, bodies and what follows them.

Timeouts of sockets begin again with every byte, so that a server that trickles is never late. Here
a timer shuts the sockets down, and whoever waits at one gets an error at once.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


class OverdueError(TimeoutError):
    """A call did not end before the deadline."""


class Deadline:
    """A moment after which nothing is waited for. A context manager, which ends the timer."""

    def __init__(self, total_s: float):
        """A deadline that is ``total_s`` seconds from now."""
        self.total_s = total_s
        self._ends_s = time.monotonic() + total_s
        self._watched: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    @property
    def left_s(self) -> float:
        """Seconds that are left; never negative."""
        return max(0.0, self._ends_s - time.monotonic())

    @property
    def is_over(self) -> bool:
        return self.left_s <= 0

    def watch(self, connected: socket.socket) -> None:
        """Shuts a socket down at the deadline, also when TLS has taken it over by then."""
        # A descriptor of our own: that of the socket may be another file's when the time comes.
        ours = connected.dup()
        with self._lock:
            self._watched.append(ours)
            if self._timer is None:
                self._timer = threading.Timer(self.left_s, self._shut_down)
                self._timer.daemon = True
                self._timer.start()
        if self.is_over:
            self._shut_down()

    def release(self) -> None:
        """Forgets the sockets, so that they are closed when their users close them."""
        with self._lock:
            for ours in self._watched:
                ours.close()
            self._watched.clear()

    def call(self, function: Callable[..., Result], *arguments: object) -> Result:
        """The result of a call that cannot be interrupted, if it comes in time.

        A call that does not is left to itself, in a thread that does not keep the process alive.

        Raises:
          OverdueError: it did not come.
        """
        results: list[Result] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(function(*arguments))
            except BaseException as error:  # noqa: BLE001 (passed on to whoever waits)
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(self.left_s)
        if errors:
            raise errors[0]
        if not results:
            raise OverdueError(f"no answer after {self.total_s:g} s")
        return results[0]

    def _shut_down(self) -> None:
        with self._lock:
            for ours in self._watched:
                with suppress(OSError):  # The other side may have ended it already.
                    ours.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Deadline":
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.release()
