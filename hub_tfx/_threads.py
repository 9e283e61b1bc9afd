"""Threads for work that may never end, for which neither a caller nor the interpreter waits."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")


class DaemonThreads:
    """As an Executor of concurrent.futures, for whose threads the interpreter waits at its end."""

    def __init__(self, threads: int, name: str):
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True)
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, function: Callable[..., Result], *args: Any, **options: Any
    ) -> "Future[Result]":
        """What the function returns or raises."""
        future: Future[Result] = Future()
        self._queue.put((future, partial(function, *args, **options)))
        return future

    def shutdown(self) -> None:
        """Lets the threads end after what was submitted; does not wait for it."""
        for _ in self._threads:
            self._queue.put(None)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            future, function = job
            self._run(future, function)
            del job, future, function  # And what they hold, while the thread waits.

    def _run(self, future: "Future[Any]", function: Callable[[], Any]) -> None:
        if future.cancelled():
            return
        with suppress(InvalidStateError):  # It was given up, and its end is not news.
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001  (raised where the result is asked for)
                future.set_exception(error)
