"""A config file that `hub-tfx run` is going to read, on a machine or in a container."""

import os
import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub_tfx._files import read_regular
from hub_tfx.errors import ConfigError
from hub_tfx_pipelines.config_file.build import build
from hub_tfx_pipelines.config_file.document import pipeline_of, read_document
from hub_tfx_pipelines.config_file.registry import config_class

if TYPE_CHECKING:
    from hub_tfx_pipelines.configs import PipelineConfig


@dataclass(frozen=True)
class RunFile:
    """A config file without errors.

    Attributes:
      file: its path.
      pipeline: name of the pipeline that it is about.
      config: what it says.
      settings: what `--set` puts over it, in a scheduled run as well.
    """

    file: str
    pipeline: str
    config: "PipelineConfig"
    settings: tuple[str, ...] = ()

    def command(self, program: str, config_file: str) -> list[str]:
        """What runs, where the file has this path."""
        settings = [part for setting in self.settings for part in ("--set", setting)]
        return [program, "run", self.pipeline, "--config", config_file, *settings]

    @property
    def password_env(self) -> str | None:
        """The environment variable with the password of ML Metadata, if it has one."""
        return None if self.config.connection is None else self.config.connection.password_env

    @property
    def files(self) -> Mapping[str, str]:
        """Path of each file that a run reads, as the config names it -> what it says.

        These are its card and its lock file.
        """
        publication, lock = getattr(self.config, "publication", None), self.config.lock_file
        cards = [] if publication is None else [publication.card.path]
        paths: list[str] = [*cards, *([] if lock is None else [lock.path])]
        return {path: read_regular(path).decode() for path in paths}


def read_run_file(file: str, settings: Sequence[str] = ()) -> RunFile:
    """Reads a config file; everything that a run needs must be in it or in settings as ``a.b=c``.

    Raises:
      ConfigFileError: the file cannot be read, or has errors.
      ConfigError: it does not say where ML Metadata is.
    """
    document = read_document(file, settings, None)
    pipeline = pipeline_of(document)
    config = build(document, config_class(pipeline))
    if config.connection is None:
        raise ConfigError(
            f"{file}: metadata is missing: name the place of ML Metadata there, since nobody is at "
            "a scheduled run's command line"
        )
    return RunFile(file, pipeline, config, tuple(settings))


def check_in_container(run: RunFile, volumes: Collection[str]) -> None:
    """Refuses a config that a container cannot run with, or whose results would end with it.

    Args:
      run: the config file.
      volumes: absolute paths at which the container has volumes.

    Raises:
      ConfigError: a path cannot be reached or is not on a volume, or a password is missing.
    """
    from hub_tfx.beam.staging import check_reach_of_containers
    from hub_tfx.data.filesystems import is_local

    kept = [*_kept(run.config)]
    read = [getattr(run.config, "eval_config", None)]
    paths = [*run.config.handles, *kept, *filter(None, read)]
    check_reach_of_containers(paths)
    for path in kept:
        if is_local(path) and not any(_is_below(path, volume) for volume in volumes):
            raise ConfigError(
                f"{path} is not on a volume of the container: mount one there (--claim NAME=DIR), "
                "or name a bucket"
            )
    secrets = run.config.platform.secrets
    if (name := run.password_env) is not None and name not in secrets:
        raise ConfigError(
            f"{run.file}: the container does not have the variable {name}, with the password of ML "
            f"Metadata: write {name}: NAME/KEY under platform.secrets to take it from a Secret"
        )
    for path in run.files:
        if os.path.isabs(path) or ".." in path.split("/"):
            raise ConfigError(
                f"{run.file}: the file {path} goes into a ConfigMap: name it by a "
                "relative path without .."
            )


def _kept(config: "PipelineConfig") -> Iterator[str]:
    """The folders of a run, and the file with ML Metadata if it is one."""
    yield from config.folders
    if config.connection is not None and config.connection.backend == "sqlite":
        yield config.connection.database


def _is_below(path: str, folder: str) -> bool:
    path, folder = (posixpath.normpath(p.removeprefix("file://")) for p in (path, folder))
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
