"""Calls of TensorFlow that are given up when they take too long."""

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar

import tensorflow as tf
from tensorflow.python.eager import cancellation

from hub_tfx._threads import DaemonThreads
from hub_tfx.errors import ModuleStuckError

Result = TypeVar("Result")

_GRACE_S = 30.0
"""That an operation has to end after it was told to."""
_POLL_S = 0.1
_LOOK_S = 1.0
"""Between two looks of a thread that waits for its turn at the call that it waits for."""
_of_thread = threading.local()
_starting = threading.Lock()


class CallTimeoutError(Exception):
    """A call took too long and was cancelled; the module can be called again."""


@dataclass(eq=False)
class _Call:
    manager: Any
    timeout_s: float
    started_s: float
    future: "Future[Any] | None"

    @property
    def late_s(self) -> float:
        """For how long it ought to be over."""
        return time.monotonic() - self.started_s - self.timeout_s

    def stuck(self) -> ModuleStuckError:
        return ModuleStuckError(
            f"a call of the module took longer than {self.timeout_s:g} s and cannot be cancelled"
        )


_running: set[_Call] = set()
_watch: threading.Thread | None = None


class Turn:
    """A lock that is held during a call; who waits for a call that is stuck fails with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        while not self._lock.acquire(timeout=_LOOK_S):
            for call in list(_running):
                if call.late_s > _GRACE_S:
                    raise call.stuck()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class CallThreads(DaemonThreads):
    """Threads for work in which a call may be stuck: what was submitted then ends with
    ModuleStuckError."""

    def __init__(self, threads: int):
        super().__init__(threads, "embed")

    def _run(self, future: "Future[Any]", function: Callable[[], Any]) -> None:
        _of_thread.future = future
        super()._run(future, function)
        _of_thread.future = None


def within(timeout_s: float, what: str, function: Callable[[], Result]) -> Result:
    """Runs what TensorFlow cannot cancel, such as loading a module, for a limited time.

    Raises:
      ModuleStuckError: it took longer. It may go on in its thread until the process ends.
    """
    threads = DaemonThreads(1, "within")
    future = threads.submit(function)
    threads.shutdown()
    wait([future], timeout_s)
    if not future.done():
        atexit.register(_leave)
        raise ModuleStuckError(f"{what} took longer than {timeout_s:g} s and cannot be cancelled")
    return future.result()


def call_within(timeout_s: float, function: Callable[[], Result]) -> Result:
    """Calls a function that runs TensorFlow.

    Args:
      timeout_s: after which its operations are cancelled. Where one cannot be, and this is a thread
        of CallThreads, what was submitted ends with ModuleStuckError.
      function: what to call.

    Raises:
      CallTimeoutError: it took longer.
    """
    _start_watch()
    # TensorFlow keeps one for the whole process, which other threads would take for theirs.
    cancellation.context = _manager_of_thread
    future = getattr(_of_thread, "future", None)
    call = _Call(cancellation.CancellationManager(), timeout_s, time.monotonic(), future)
    _of_thread.manager = call.manager
    _running.add(call)
    try:
        return function()
    except tf.errors.CancelledError as error:
        if not call.manager.is_cancelled:
            raise
        raise CallTimeoutError(f"it took longer than {timeout_s:g} s") from error
    finally:
        _running.discard(call)
        _of_thread.manager = None


def _manager_of_thread() -> Any:
    return getattr(_of_thread, "manager", None)


def _start_watch() -> None:
    global _watch
    with _starting:
        if _watch is None or not _watch.is_alive():
            _watch = threading.Thread(target=_give_up_late_calls, name="deadlines", daemon=True)
            _watch.start()


def _give_up_late_calls() -> None:
    while True:
        time.sleep(_POLL_S)
        for call in list(_running):
            late_s = call.late_s
            if late_s > 0 and not call.manager.is_cancelled:
                call.manager.start_cancel()
            if late_s > _GRACE_S and call.future is not None and not call.future.done():
                atexit.register(_leave)
                call.future.set_exception(call.stuck())


def _leave() -> None:
    """Ends the process at once: while TensorFlow still runs, the interpreter's own end crashes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
