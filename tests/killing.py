"""Kills a piece of code at one system call after the other; strace does it."""

import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence


def lived_through(body: Callable[[], None], call: str, number: int, *more: str) -> bool:
    """Whether a child process that runs something lived to its end.

    Args:
      body: what it runs.
      call: name of a system call.
      number: which of these calls kills it, from 1.
      more: other injections of strace, such as ``renameat2:error=ENOSYS``.
    """
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.read(reads, 1)
            body()
            os._exit(0)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
        finally:  # Whatever the body raises, the child does not go on as its parent.
            os._exit(1)
    calls = ",".join([call, *(injection.partition(":")[0] for injection in more)])
    injected = [f"{call}:signal=SIGKILL:when={number}", *more]
    options = [option for injection in injected for option in ("-e", f"inject={injection}")]
    command = ["strace", "-f", "-p", str(child), "-o", os.devnull, "-e", f"trace={calls}"]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        told = strace.stderr.readline()
        if "attached" not in told:
            os.kill(child, 9)
            sys.exit(f"strace: {told}")
        os.write(writes, b"x")
        _, status = os.waitpid(child, 0)
        strace.communicate()
    os.close(reads)
    os.close(writes)
    assert status in (0, 9), status
    return status == 0


def kill_points(
    prepare: Callable[[], None], body: Callable[[], None], calls: Sequence[str], *more: str
) -> Iterator[str]:
    """After each kill, the name of the system call; ``prepare`` is called before each try."""
    for call in calls:
        number = 1
        prepare()
        while not lived_through(body, call, number, *more):
            yield call
            number += 1
            prepare()
