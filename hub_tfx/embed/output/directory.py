"""The directory of an output: who may write there, and what is left in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from filelock import FileLock, Timeout

from hub_tfx._files import check_output_name, why
from hub_tfx.data.filesystems import delete_folder, is_local
from hub_tfx.embed.dead_letters import DEAD_LETTERS
from hub_tfx.embed.output.layout import DIGESTS, PROJECTOR, REPORT, TEMPORARY, OutputLayout, is_ours
from hub_tfx.embed.output.resume import take_finished
from hub_tfx.errors import OutputError


def remove_temporary(layout: OutputLayout) -> None:
    """Removes what a job has not committed."""
    delete_folder(layout.temporary)


@contextmanager
def output_directory(output: str, layout: OutputLayout) -> Iterator[None]:
    """Refuses to overwrite what is not ours.

    After the body nothing temporary is left, except what ``resume`` finds finished if it failed.
    """
    folder = Path(output)
    local = is_local(output)
    existed = local and folder.exists()
    if local:
        check_output_name(output)
        _check_output(folder)
    try:
        with _sole_writer(folder) if local else nullcontext():
            _remove_others(output, layout)
            with _keeping_finished(layout):
                yield
    except (OSError, BeamIOError) as error:
        reason = why(error) if isinstance(error, OSError) else error
        raise OutputError(f"cannot write to {output}: {reason}") from error
    finally:
        if local and not existed and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def _keeping_finished(layout: OutputLayout) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if not take_finished(layout.temporary).blocks:
            remove_temporary(layout)
        raise
    remove_temporary(layout)


def _remove_others(output: str, layout: OutputLayout) -> None:
    """Removes what other jobs, or another version of hub_tfx, have left half done."""
    if is_local(output):
        for left in Path(output).glob(f"{TEMPORARY}*/"):
            if left != Path(layout.temporary):
                shutil.rmtree(left, ignore_errors=True)
        return
    for found in FileSystems.match([FileSystems.join(output, f"{TEMPORARY}*", "**")])[
        0
    ].metadata_list:
        if not found.path.startswith(FileSystems.join(layout.temporary, "")):
            FileSystems.delete([found.path])


@contextmanager
def _sole_writer(folder: Path) -> Iterator[None]:
    """Refuses a second run into one folder.

    The operating system frees the lock of a process that dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{TEMPORARY}lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise OutputError(f"another run is writing to {folder}: name another directory") from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _check_output(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file: name a directory to write to")
    for path in sorted(folder.iterdir()):
        if path.name not in (DEAD_LETTERS, DIGESTS, REPORT, PROJECTOR) and not is_ours(path):
            raise OutputError(
                f"{folder} holds {path.name!r}, which hub-tfx did not write: name a new directory"
            )
