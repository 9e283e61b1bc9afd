"""Calls of TensorFlow that are given up when they take too long."""

import atexit
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

import tensorflow as tf
from tensorflow.python.eager import cancellation

from hub_tfx.errors import ModuleStuckError

Result = TypeVar("Result")

_GRACE_S = 30.0
"""That an operation has to end after it was told to."""
_of_thread = threading.local()


class CallTimeoutError(Exception):
    """A call took too long and was cancelled; the module can be called again."""


def call_within(timeout_s: float, function: Callable[[], Result]) -> Result:
    """Calls a function that runs TensorFlow, in another thread.

    Args:
      timeout_s: after which its operations are cancelled.
      function: what to call.

    Raises:
      CallTimeoutError: it took longer.
      ModuleStuckError: it took longer, and an operation that cannot be cancelled still runs.
    """
    # TensorFlow keeps one for the whole process, which other threads would take for theirs.
    cancellation.context = _manager_of_thread
    manager = cancellation.CancellationManager()
    coming: Future[Result] = Future()

    def call() -> None:
        _of_thread.manager = manager
        try:
            coming.set_result(function())
        except BaseException as error:  # noqa: BLE001  (raised where the result is asked for)
            coming.set_exception(error)

    threading.Thread(target=call, name="module", daemon=True).start()
    if not wait([coming], timeout_s).done:
        manager.start_cancel()
        if not wait([coming], _GRACE_S).done:
            atexit.register(_leave)
            raise ModuleStuckError(
                f"a call of the module took longer than {timeout_s:g} s and cannot be cancelled"
            )
    try:
        return coming.result()
    except tf.errors.CancelledError as error:
        if not manager.is_cancelled:
            raise
        raise CallTimeoutError(f"it took longer than {timeout_s:g} s") from error


def _manager_of_thread() -> Any:
    return getattr(_of_thread, "manager", None)


def _leave() -> None:
    """Ends the process at once: while TensorFlow still runs, the interpreter's own end crashes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
