"""One run at a time works in a folder of this machine."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hub_tfx._files import why
from hub_tfx.errors import OutputError

_NAME = ".hub_tfx-lock"
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
_log = logging.getLogger(__name__)


@contextmanager
def sole_writer(folder: Path, name: str = _NAME) -> Iterator[None]:
    """Keeps other runs out of a folder, which is made if it is missing, and removed if it is empty.

    The operating system frees the lock of a process that dies. Where the filesystem has no locks
    there is none: a file that outlives its process would keep the next run out.

    Args:
      folder: the folder.
      name: name of the file in it that is locked, and that is removed in the end.

    Raises:
      OutputError: another run is in the folder, or it cannot be written.
    """
    existed = folder.exists()
    try:
        descriptor = _locked(folder / name)
    except BlockingIOError as error:
        raise OutputError(
            f"another run is writing to {folder}: wait until it has ended, or name another "
            "directory"
        ) from error
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {why(error)}") from error
    try:
        yield
    finally:
        (folder / name).unlink(missing_ok=True)  # Before others can have it.
        os.close(descriptor)
        if not existed:
            with suppress(OSError):  # It is not empty.
                folder.rmdir()


def _locked(path: Path) -> int:
    """Makes and locks a file; raises BlockingIOError where another process has it locked."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o644)
        except FileNotFoundError:  # The run that had it has removed the folder.
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_at(path, descriptor):
                return descriptor
        except OSError as error:
            if error.errno in _WITHOUT_LOCKS:
                _log.info("%s is written without a lock: %s", path.parent, why(error))
                return descriptor
            os.close(descriptor)
            raise
        os.close(descriptor)  # The run that had it has removed it.


def is_at(path: Path, descriptor: int) -> bool:
    """Whether a path is still that of an open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
