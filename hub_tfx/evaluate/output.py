"""The directory of an evaluation: written as a whole, or not at all.

evaluation.json   the Evaluation
report.html       the page about it
"""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from hub_tfx._files import check_output_name, is_half_written, staged_directory, why
from hub_tfx.data.filesystems import (
    delete_folder,
    is_local,
    paths_below,
    read_bytes,
    replace_file,
)
from hub_tfx.embed.output import lease as leases
from hub_tfx.embed.output.layout import TEMPORARY, is_manifest, is_temporary
from hub_tfx.errors import InputError, OutputError
from hub_tfx.evaluate.result import Evaluation

EVALUATION, REPORT = "evaluation.json", "report.html"


@dataclass
class EvaluationOutput:
    """An output that is being written.

    Attributes:
      folder: for what is not to stay, on any Beam filesystem.
      files: name -> what it will hold.
    """

    folder: str
    files: dict[str, bytes] = field(default_factory=dict)


@contextmanager
def evaluation_directory(output: str) -> Iterator[EvaluationOutput]:
    """Writes the files that the body gives into a directory, once it has ended well.

    Otherwise what was there stays. In a bucket the evaluation is written last, one run at a time.

    Raises:
      OutputError: the directory cannot be written, or holds what is not ours.
    """
    check_output_name(output)
    is_here = is_local(output)
    try:
        _check_output(output)
        with _local(output) if is_here else _remote(output) as writing:
            yield writing
    except (OSError, BeamIOError) as error:
        reason = why(error) if isinstance(error, OSError) else error
        raise OutputError(f"cannot write to {output}: {reason}") from error


def read_evaluation(output: str) -> Evaluation:
    """The evaluation in a directory on any Beam filesystem.

    Raises:
      InputError: there is none, or it is damaged.
    """
    path = str(FileSystems.join(output, EVALUATION))
    try:
        return Evaluation.from_json(read_bytes(path))
    except (OSError, BeamIOError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as an evaluation: {error}; evaluate the module again"
        ) from error


@contextmanager
def _local(output: str) -> Iterator[EvaluationOutput]:
    path = Path(os.path.realpath(output))  # A link to a directory stays one.
    with staged_directory(path, replace=True) as staged:
        temporary = staged / TEMPORARY.rstrip("-")
        temporary.mkdir()
        writing = EvaluationOutput(str(temporary))
        yield writing
        delete_folder(writing.folder)
        for name, content in writing.files.items():
            (staged / name).write_bytes(content)


@contextmanager
def _remote(output: str) -> Iterator[EvaluationOutput]:
    run = uuid.uuid4().hex
    folder = str(FileSystems.join(output, f"{TEMPORARY}{run}"))
    with leases.sole_writer(output, run) as lease:
        try:
            for name in {parts[0] for parts in paths_below(output) if len(parts) > 1}:
                delete_folder(str(FileSystems.join(output, name)))  # Of a run that was killed.
            writing = EvaluationOutput(folder)
            yield writing
            lease.check()
            for name, content in _evaluation_last(writing.files).items():
                replace_file(str(FileSystems.join(output, name)), content)
        finally:
            delete_folder(folder)
            leases.release(lease)


def _evaluation_last(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return dict(sorted(files.items(), key=lambda file: file[0] == EVALUATION))


def _check_output(output: str) -> None:
    """Raises OutputError where the directory holds what no evaluation has written."""
    if not output or (is_local(output) and os.path.realpath(output) == os.getcwd()):
        # Which would be replaced under the feet of the shell.
        raise OutputError(f"the output {output!r} is the current directory: name another one")
    if is_local(output) and Path(output).exists() and not Path(output).is_dir():
        raise OutputError(f"{output} is a file: name a directory to write to")
    for parts in paths_below(output):
        if not _is_ours(output, parts):
            raise OutputError(
                f"{output} holds {'/'.join(parts)!r}, which is not of an evaluation: name a new "
                "directory"
            )


def _is_ours(output: str, parts: tuple[str, ...]) -> bool:
    top, *below = parts
    if is_temporary(top) or is_half_written(top):
        return True
    if below or top not in (EVALUATION, REPORT):
        return False
    # The page alone says nothing of who wrote it.
    return is_manifest(str(FileSystems.join(output, EVALUATION)))
