"""The directory of an output: who may write there, and what is left in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from hub_tfx._files import check_output_name, is_half_written, why
from hub_tfx._files import remove_temporary as remove_half_written
from hub_tfx._lock import sole_writer
from hub_tfx.beam.interrupt import LeftRunningInterrupt
from hub_tfx.data.filesystems import delete_folder, is_local, paths_below
from hub_tfx.embed.dead_letters import DEAD_LETTERS
from hub_tfx.embed.output import lease as leases
from hub_tfx.embed.output.described import files_of_description
from hub_tfx.embed.output.layout import (
    DIGESTS,
    LOCK,
    MANIFEST_NAME,
    PROJECTOR,
    REPORT,
    OutputLayout,
    is_manifest,
    is_part,
    is_temporary,
)
from hub_tfx.embed.output.lease import Lease
from hub_tfx.embed.output.resume import take_finished
from hub_tfx.errors import JobLeftRunningError, OutputError


def remove_temporary(layout: OutputLayout) -> None:
    """Removes what a job has not committed."""
    delete_folder(layout.temporary)


@contextmanager
def output_directory(output: str, layout: OutputLayout, run: str) -> Iterator[Lease | None]:
    """Refuses to overwrite what is not ours, and what another run is writing.

    After the body nothing temporary is left, except what ``resume`` finds finished if it failed,
    and all of it where the job goes on without us.

    Args:
      output: the directory.
      layout: the files in it.
      run: id of this run.

    Yields:
      What the job has to check before it commits; None on this machine, where a lock does.
    """
    folder = Path(output)
    local = is_local(output)
    existed = local and folder.exists()
    check_output_name(output)
    try:
        _check_output(output)
        with sole_writer(folder, LOCK) if local else _sole_remote_writer(output, run) as lease:
            _remove_others(output, layout)
            with _keeping_finished(layout):
                yield lease
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
    except (JobLeftRunningError, LeftRunningInterrupt):
        raise  # Its workers may still write there.
    except BaseException:
        if not take_finished(layout.temporary).blocks:
            remove_temporary(layout)
        raise
    remove_temporary(layout)


def _remove_others(output: str, layout: OutputLayout) -> None:
    """Removes what other jobs, or another version of hub_tfx, have left half done."""
    ours = FileSystems.split(layout.temporary)[1]
    left = {parts[0] for parts in paths_below(output) if len(parts) > 1 and is_temporary(parts[0])}
    for name in left - {ours}:
        delete_folder(FileSystems.join(output, name))
    if is_local(output):
        remove_half_written(Path(output))


@contextmanager
def _sole_remote_writer(output: str, run: str) -> Iterator[Lease]:
    with leases.sole_writer(output, run) as lease:
        try:
            yield lease
        except JobLeftRunningError:
            raise  # The job's commit checks it.
        except LeftRunningInterrupt as interrupt:
            if interrupt.is_cancelled:
                leases.release(lease)
            raise
        except BaseException:
            leases.release(lease)
            raise
        leases.release(lease)


def _check_output(output: str) -> None:
    """Raises OutputError where the directory holds what no job of hub_tfx has written."""
    if is_local(output) and Path(output).exists() and not Path(output).is_dir():
        raise OutputError(f"{output} is a file: name a directory to write to")
    found = paths_below(output)
    described = {name: files_of_description(output, name) for name in (REPORT, PROJECTOR)}
    for parts in found:
        if not _is_ours(output, parts, described):
            raise OutputError(
                f"{output} holds {'/'.join(parts)!r}, which hub-tfx did not write: name a new "
                "directory"
            )


def _is_ours(output: str, parts: tuple[str, ...], described: dict[str, set[str]]) -> bool:
    """Whether a job has written a file; ``parts`` are those of its path, see ``paths_below``."""
    top, *below = parts
    rest = "/".join(below)
    if not below:
        if top == MANIFEST_NAME:
            return is_manifest(str(FileSystems.join(output, top)))
        return is_part(top) or is_temporary(top) or is_half_written(top)
    if not rest:  # An empty folder.
        return is_temporary(top) or top in (DEAD_LETTERS, DIGESTS, REPORT, PROJECTOR)
    if top in described:
        return rest in described[top] or is_half_written(rest)
    return is_temporary(top) or (top in (DEAD_LETTERS, DIGESTS) and is_part(rest))
