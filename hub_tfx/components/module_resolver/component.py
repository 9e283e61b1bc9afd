"""ModuleResolver: from a handle to a HubModule artifact."""

import os
from typing import Any, get_args

from hub_tfx import __version__
from hub_tfx._tfx import (
    BaseComponent,
    Channel,
    ChannelParameter,
    ComponentSpec,
    ExecutionParameter,
    ExecutorClassSpec,
    RuntimeParameter,
)
from hub_tfx.artifacts import HubModule
from hub_tfx.components.module_resolver.driver import CONTENT, Driver
from hub_tfx.components.module_resolver.executor import Executor
from hub_tfx.components.remote_state import THIS_RUN
from hub_tfx.errors import ConfigError
from hub_tfx.module.handle import ModuleHandle, checked_handle
from hub_tfx.module.manifest import parse_digest
from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.store.cache import NewBytes
from hub_tfx.store.lock_file import LockFile


class ModuleResolverSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of ModuleResolver."""

    PARAMETERS = {  # noqa: RUF012
        "handle": ExecutionParameter(type=str),
        "digest": ExecutionParameter(type=str, optional=True),
        "cache_dir": ExecutionParameter(type=str, optional=True),
        "fallback": ExecutionParameter(type=str, optional=True),
        "fallback_digest": ExecutionParameter(type=str, optional=True),
        "optional": ExecutionParameter(type=int, optional=True),
        "new_bytes": ExecutionParameter(type=str, optional=True),
        CONTENT: ExecutionParameter(type=str, optional=True),
        "policy": ExecutionParameter(type=str, optional=True),
        "this_run": ExecutionParameter(type=str, optional=True),
        "hub_tfx_version": ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {}  # noqa: RUF012
    OUTPUTS = {"module": ChannelParameter(type=HubModule)}  # noqa: RUF012


class ModuleResolver(BaseComponent):  # type: ignore[misc]
    """Resolves a module handle into a verified copy of the module.

    TFX's execution cache knows the handle, not the bytes that it stands for. So a handle with a
    ``digest``, given here or by a ``lock_file``, is resolved once. Of any other one a driver finds
    out before each run whether it stands for what it did; where a platform runs no drivers, as on
    Vertex AI Pipelines, it is resolved in every run: see ``READS_REMOTE_STATE``.

    Component `outputs` contains:
     - `module`: Channel of type `HubModule`. No artifact where `optional` is true and the
       repository has no version of the module yet.
    """

    SPEC_CLASS = ModuleResolverSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        handle: str | RuntimeParameter,
        digest: str | RuntimeParameter | None = None,
        cache_dir: str | RuntimeParameter | None = None,
        *,
        lock_file: str | os.PathLike[str] | LockFile | None = None,
        new_bytes: NewBytes = "refuse",
        fallback: str | RuntimeParameter | None = None,
        fallback_digest: str | RuntimeParameter | None = None,
        optional: bool = False,
        policy: SafetyPolicy | None = None,
    ):
        """Constructs a ModuleResolver.

        Args:
          handle: URL, archive or directory of the module, or where it is in a repository.
          digest: digest that the module must have, in hex; any if None.
          cache_dir: where workers keep modules; TFHUB_CACHE_DIR or the user's own cache if None.
          lock_file: a lock file that names the handle and its digest. It is read now, so that no
            container needs it.
          new_bytes: ``refuse`` or ``follow`` a URL without a digest that stands for other bytes
            than it did, as far as the cache of modules on the worker remembers.
          fallback: handle of the module that is taken while the repository, into which the handle
            leads, has no version of it. With this or ``optional`` the handle stands for the version
            in use, that of its alias or otherwise the newest one, and every run looks it up.
          fallback_digest: digest that the fallback must have; any if None.
          optional: whether there may be no version yet, and no fallback either.
          policy: which modules are refused for what is in their graphs; one without exceptions if
            None, so that one from elsewhere needs its packages here, as ``imports`` of a policy.

        Raises:
          HandleError: a handle cannot be parsed.
          ConfigError: a handle holds what may be a credential, which would end in ML Metadata; a
            digest is not one; the lock file does not name the handle; or only a handle of a
            repository may lack a version.
        """
        for given in (handle, fallback):
            if isinstance(given, str):
                checked_handle(given)
        for given in (digest, fallback_digest):
            if isinstance(given, str):
                parse_digest(given)
        if new_bytes not in get_args(NewBytes):
            raise ConfigError(f"new_bytes is refuse or follow, not {new_bytes!r}: give one of them")
        if lock_file is not None:
            if fallback is not None or optional:
                raise ConfigError(
                    "a lock file names what is there already: leave fallback and optional out"
                )
            handle, digest = _locked(lock_file, handle, digest)
        _check_fallback(handle, fallback, fallback_digest, optional=optional)
        is_looked_up = _may_change(handle, digest) and fallback is None and not optional
        super().__init__(
            spec=ModuleResolverSpec(
                handle=handle,
                digest=digest,
                cache_dir=cache_dir,
                fallback=fallback,
                fallback_digest=fallback_digest,
                optional=int(optional) or None,
                new_bytes=new_bytes if is_looked_up else None,
                policy=None if policy in (None, SafetyPolicy()) else policy.to_json(),
                this_run=THIS_RUN if optional or fallback is not None else None,
                hub_tfx_version=__version__,
                module=Channel(type=HubModule),
            )
        )
        if is_looked_up:
            self.driver_class = Driver

    @property
    def READS_REMOTE_STATE(self) -> bool:  # noqa: N802
        """Whether the handle stands for another module when somebody publishes or writes one."""
        return _may_change(*(self.exec_properties.get(name) for name in ("handle", "digest")))


def _may_change(handle: Any, digest: Any) -> bool:
    if digest is not None:
        return False
    if not isinstance(handle, str):
        return True
    parsed = ModuleHandle.parse(handle)
    return not (parsed.is_in_repository and parsed.is_versioned)


def _locked(
    lock_file: str | os.PathLike[str] | LockFile, handle: Any, digest: Any
) -> tuple[str, str]:
    """The handle and the digest that a lock file has for a handle.

    Raises:
      ConfigError: it does not name the handle, or one of the two is known at run time only.
    """
    if not isinstance(handle, str) or not isinstance(digest, str | None):
        raise ConfigError(
            "a lock file is read before the pipeline runs: give handle and digest as texts"
        )
    lock = lock_file if isinstance(lock_file, LockFile) else LockFile.read(lock_file)
    pinned, digest = lock.pin(handle, digest)
    return pinned.url, digest


def _check_fallback(handle: Any, fallback: Any, fallback_digest: Any, *, optional: bool) -> None:
    """Raises ConfigError where a version cannot be missing, or a fallback is incomplete."""
    if fallback is None and fallback_digest is not None:
        raise ConfigError("fallback_digest is that of fallback: give both")
    if fallback is not None and optional:
        raise ConfigError("with a fallback there is always a module: leave optional out")
    may_be_missing = fallback is not None or optional
    if (
        may_be_missing
        and isinstance(handle, str)
        and not ModuleHandle.parse(handle).is_in_repository
    ):
        raise ConfigError(
            f"{handle} does not lead into a repository, and only a repository may have no version "
            "yet: give repo+DIRECTORY//publisher/model, or leave fallback and optional out"
        )
