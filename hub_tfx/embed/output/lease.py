"""One run at a time writes to an output in a bucket, which has no locks.

A file in the output names the run that writes there, and is written again and again while that run
is alive. Another run that finds it watches it: what changes is alive, and the other run is refused;
what does not is left by a run that was killed, and is taken over. No clock of another machine
is trusted. Two runs that come at the same moment may both believe that they are alone, unless
the filesystem can create a file only where there is none; the file names one of them, and the
commit of the other one fails.
"""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from apache_beam.io.filesystems import FileSystems

from hub_tfx.data.filesystems import create_new, delete_file, read_bytes, write_bytes
from hub_tfx.embed.output.layout import LEASE
from hub_tfx.errors import OutputError

_log = logging.getLogger(__name__)

_BEAT_S = 10.0
"""Seconds between two writes of the file."""
_LEASE_S = 3 * _BEAT_S
"""Seconds without a change after which its run is taken for dead."""
_LOOK_S = 0.5
_FREE: dict[str, Any] = {}


@dataclass(frozen=True)
class Lease:
    """What says that one run writes to an output; workers may check it.

    Attributes:
      path: the file, on any Beam filesystem.
      run: id of the run.
    """

    path: str
    run: str

    def check(self) -> None:
        """Raises OutputError where the output is no longer this run's."""
        holder = _holder(self.path)
        if holder.get("run") != self.run:
            output = FileSystems.split(self.path)[0]
            raise OutputError(
                f"another run ({_who(holder)}) has taken {output} over, so this one does not "
                "commit: nothing was replaced; run the job again after it"
            )


@contextmanager
def sole_writer(output: str, run: str) -> Iterator[Lease]:
    """Refuses a second run into one folder of a remote filesystem.

    Raises:
      OutputError: another run is alive.
    """
    lease = Lease(FileSystems.join(output, LEASE), run)
    _acquire(lease, output)
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(lease, over), name="lease", daemon=True)
    beating.start()
    try:
        yield lease
    finally:
        over.set()
        beating.join()


def release(lease: Lease) -> None:
    """Lets the next run in at once; without this it waits until the lease is over."""
    if _holder(lease.path).get("run") == lease.run:
        delete_file(lease.path)


def _acquire(lease: Lease, output: str) -> None:
    before = _holder(lease.path)
    if before:
        _wait_until_free(lease.path, before, output)
    content = _content(lease, 0)
    # None: the filesystem cannot tell.
    if not before and create_new(lease.path, content) is False:
        raise _refusal(output, _holder(lease.path))
    write_bytes(lease.path, content)
    holder = _holder(lease.path)
    if holder.get("run") != lease.run:
        raise _refusal(output, holder)


def _wait_until_free(path: str, before: dict[str, Any], output: str) -> None:
    _log.warning(
        "%s says that a run (%s) writes to %s: waiting up to %g s for a sign of life of it",
        *(path, _who(before), output, _LEASE_S),
    )
    deadline_s = time.monotonic() + _LEASE_S
    while time.monotonic() < deadline_s:
        time.sleep(_LOOK_S)
        now = _holder(path)
        if not now:
            return
        if now != before:
            raise _refusal(output, now)


def _refusal(output: str, holder: dict[str, Any]) -> OutputError:
    return OutputError(
        f"another run is writing to {output} ({_who(holder)}): wait for it, or name another "
        "directory"
    )


def _beat(lease: Lease, over: threading.Event) -> None:
    beats = 0
    while not over.wait(_BEAT_S):
        beats += 1
        try:
            if _holder(lease.path).get("run") != lease.run:
                return  # The commit says so.
            write_bytes(lease.path, _content(lease, beats))
        except Exception as error:  # noqa: BLE001 (each filesystem has errors of its own)
            _log.info("%s cannot be written for now: %s", lease.path, error)


def _content(lease: Lease, beats: int) -> bytes:
    about = {"run": lease.run, "host": socket.gethostname(), "pid": os.getpid(), "beats": beats}
    return json.dumps(about).encode()


def _holder(path: str) -> dict[str, Any]:
    """What the file says; empty where there is none."""
    if not FileSystems.exists(path):
        return _FREE
    try:
        found = json.loads(read_bytes(path))
    except FileNotFoundError:  # Its run has ended just now.
        return _FREE
    except ValueError:
        found = None
    return found if isinstance(found, dict) and found else {"run": "unknown"}


def _who(holder: dict[str, Any]) -> str:
    if "host" not in holder:
        return "unknown"
    return f"process {holder.get('pid')} on {holder['host']}"
