"""Workers on other machines reach nothing that lies on this one: checks, and copies for them."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from apache_beam.options.pipeline_options import StandardOptions

from hub_tfx.beam.runner import parse_beam_arguments
from hub_tfx.data.filesystems import copy_directory, is_local
from hub_tfx.errors import ConfigError
from hub_tfx.module.handle import IN_REPOSITORY
from hub_tfx.module.resolved import ResolvedModule


def is_local_runner(beam_options: Sequence[str]) -> bool:
    """Whether all workers are on this machine, whichever files they use."""
    runner = _runner(beam_options)
    return "fnapi" in runner or "direct" in runner


def path_for_workers(path: str, beam_options: Sequence[str]) -> str:
    """A path as workers find it: an absolute one, where they may run in another folder."""
    if is_local_runner(beam_options) or not is_local(path):
        return path
    return os.path.abspath(path)


def check_reach(paths: Iterable[str], beam_options: Sequence[str]) -> None:
    """Raises ConfigError where Dataflow would be given files of this machine."""
    if "dataflow" in _runner(beam_options):
        _refuse(filter(is_local, paths), "Dataflow", "input and output have to be gs://…")


_FIX_OF_CONTAINERS = (
    "name a bucket, a URL, or an absolute path that only they have, such as that of a volume"
)


def check_reach_of_containers(paths: Iterable[str], fix: str = _FIX_OF_CONTAINERS) -> None:
    """Raises ConfigError for paths that the containers of a compiled pipeline cannot reach.

    These are relative paths, and those that exist on this machine. Any other absolute path may be
    in the image, or on a volume that the containers mount. ``fix`` says what to do.
    """
    who = "the containers of a compiled pipeline"
    _refuse(filter(_is_of_this_machine, paths), who, fix)


def stage_module(module: ResolvedModule, folder: str) -> ResolvedModule:
    """The module where workers find it: in ``folder``, copied there if only this machine has it."""
    if not is_local(module.worker_path):
        return module
    if is_local(folder):
        return replace(module, path=Path(os.path.abspath(module.path)))
    copy_directory(module.path, folder)
    return replace(module, remote_path=folder)


def _refuse(paths: Iterable[str], who: str, fix: str) -> None:
    for path in paths:
        raise ConfigError(f"{who} cannot reach {path}: {fix}")


def _is_of_this_machine(path: str) -> bool:
    if path.startswith(IN_REPOSITORY):
        path = path.removeprefix(IN_REPOSITORY).rpartition("//")[0]
    path = path.removeprefix("file://")  # Handles may begin so, Beam's paths may not.
    return is_local(path) and (not os.path.isabs(path) or os.path.exists(path))


def _runner(beam_options: Sequence[str]) -> str:
    return str(parse_beam_arguments(beam_options).view_as(StandardOptions).runner).lower()
