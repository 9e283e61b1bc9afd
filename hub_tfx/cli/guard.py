"""A command in a child process, whose parent knows whether it came to its end.

Modules run code of other people, and libraries below us end processes on their own: what leaves
with status 0 in the middle would pass for success. The parent is forked before anything heavy is
imported, so it costs a few milliseconds, and it only waits.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_SIGNALLED = 128
_FORWARDED = (signal.SIGINT, signal.SIGTERM)
_WAITED_FOR = {*_FORWARDED, signal.SIGCHLD}
_FROM_TERMINAL = 0x80  # SI_KERNEL: the child is in the group of the terminal, and gets it as well.
_TWICE_S = 1.0
_PR_SET_PDEATHSIG = 1


def guarded(run: Callable[[], int], tell: Callable[[str], None]) -> int:
    """Runs something in a child process, and returns its exit code.

    Status 0 counts only where ``run`` has returned. Where this process cannot be forked, since
    TensorFlow is in it or other threads are, ``run`` is called as it is. Signals go to the child;
    it dies with its parent.

    Args:
      run: what to run; its exit code is the child's.
      tell: takes a line for a person where the child ended otherwise.
    """
    if not _may_fork():
        return run()
    reads, writes = os.pipe()
    with _blocked(_WAITED_FOR):
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        child = os.fork()
        if child:
            os.close(writes)
            status = _wait(child)
    if not child:
        os.close(reads)
        _die_with(parent)
        code = run()
        os.write(writes, b"1")
        os.close(writes)
        return code
    return _exit_code(status, has_returned=_has_returned(reads), tell=tell)


@dataclass
class OneInterrupt:
    """A handler that raises KeyboardInterrupt, once for a signal that comes twice at a time.

    Ctrl-C, or a signal to the whole group, reaches the child both by itself and by its parent.
    """

    raised_s: float = -_TWICE_S

    def __call__(self, *_: object) -> None:
        before_s, self.raised_s = self.raised_s, time.monotonic()
        if self.raised_s - before_s >= _TWICE_S:
            raise KeyboardInterrupt


def _may_fork() -> bool:
    return (
        hasattr(signal, "sigwaitinfo")
        and threading.active_count() == 1
        and "tensorflow" not in sys.modules
    )


@contextmanager
def _blocked(signals: set[signal.Signals]) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _die_with(parent: int) -> None:
    """Has this process killed when its parent dies, as if they were one."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(_SIGNALLED + signal.SIGKILL)


def _wait(child: int) -> int:
    """Passes signals on until the child has ended, and returns its status."""
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        received = signal.sigwaitinfo(_WAITED_FOR)
        if received.si_signo in _FORWARDED and received.si_code != _FROM_TERMINAL:
            os.kill(child, received.si_signo)


def _has_returned(reads: int) -> bool:
    """Whether the child, which has ended, wrote that it was done."""
    os.set_blocking(reads, False)  # A process that the child has left may have the pipe open.
    try:
        return bool(os.read(reads, 1))
    except BlockingIOError:
        return False
    finally:
        os.close(reads)


def _exit_code(status: int, *, has_returned: bool, tell: Callable[[str], None]) -> int:
    if os.WIFSIGNALED(status):
        ended_by = os.WTERMSIG(status)
        name = signal.Signals(ended_by).name
        memory = ", perhaps for want of memory" if ended_by == signal.SIGKILL else ""
        tell(f"the process was ended by {name}{memory}: what it had not finished was not written")
        return _SIGNALLED + ended_by
    code = os.WEXITSTATUS(status)
    if code == 0 and not has_returned:
        tell(
            "the process left with status 0 before it was done, as the code of a module may have "
            "it do: what it was to write may be missing; remove what calls exit, and run it again"
        )
        return 1
    return code
