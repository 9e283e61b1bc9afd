"""What workers on other machines can reach: nothing that lies on this machine."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from apache_beam.options.pipeline_options import StandardOptions

from hub_tfx.beam.runner import parse_beam_arguments
from hub_tfx.data.filesystems import copy_directory, is_local
from hub_tfx.errors import ConfigError
from hub_tfx.module.resolved import ResolvedModule


def is_local_runner(beam_options: Sequence[str]) -> bool:
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


def stage_module(module: ResolvedModule, folder: str) -> ResolvedModule:
    """The module where workers find it: in ``folder``, copied there if only this machine has it."""
    if is_local(folder) or not is_local(module.worker_path):
        return module
    copy_directory(module.path, folder)
    return replace(module, remote_path=folder)


def _runner(beam_options: Sequence[str]) -> str:
    return str(parse_beam_arguments(beam_options).view_as(StandardOptions).runner).lower()
