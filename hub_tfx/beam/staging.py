"""What workers on other machines can reach: nothing that lies on this one."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from apache_beam.options.pipeline_options import StandardOptions

from hub_tfx.beam.runner import parse_beam_arguments
from hub_tfx.data.filesystems import copy_directory, is_local
from hub_tfx.errors import ConfigError


def runs_here(beam_options: Sequence[str]) -> bool:
    """Whether all workers are on this machine, whichever files they use."""
    runner = _runner(beam_options)
    return "fnapi" in runner or "direct" in runner


def check_reach(paths: Iterable[str], beam_options: Sequence[str]) -> None:
    """Raises ConfigError where Dataflow would be given files of this machine."""
    if "dataflow" not in _runner(beam_options):
        return
    for path in paths:
        if is_local(path):
            raise ConfigError(f"Dataflow cannot reach {path}: input and output have to be gs://…")


def within_reach(module_path: str, folder: str) -> str:
    """Where workers find a module: in ``folder``, copied there if only this machine has it."""
    if is_local(folder) or not is_local(module_path):
        return module_path
    copy_directory(Path(module_path), folder)
    return folder


def _runner(beam_options: Sequence[str]) -> str:
    return str(parse_beam_arguments(beam_options).view_as(StandardOptions).runner).lower()
