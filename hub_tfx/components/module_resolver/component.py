"""ModuleResolver: from a handle to a HubModule artifact."""

from typing import Any

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
from hub_tfx.components.module_resolver.executor import Executor
from hub_tfx.components.remote_state import THIS_RUN
from hub_tfx.errors import ConfigError
from hub_tfx.module.handle import ModuleHandle, checked_handle
from hub_tfx.module.manifest import parse_digest
from hub_tfx.module.policy import SafetyPolicy


class ModuleResolverSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of ModuleResolver."""

    PARAMETERS = {  # noqa: RUF012
        "handle": ExecutionParameter(type=str),
        "digest": ExecutionParameter(type=str, optional=True),
        "cache_dir": ExecutionParameter(type=str, optional=True),
        "fallback": ExecutionParameter(type=str, optional=True),
        "fallback_digest": ExecutionParameter(type=str, optional=True),
        "optional": ExecutionParameter(type=int, optional=True),
        "policy": ExecutionParameter(type=str, optional=True),
        "this_run": ExecutionParameter(type=str, optional=True),
        "hub_tfx_version": ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {}  # noqa: RUF012
    OUTPUTS = {"module": ChannelParameter(type=HubModule)}  # noqa: RUF012


class ModuleResolver(BaseComponent):  # type: ignore[misc]
    """Resolves a module handle into a verified copy of the module.

    TFX's execution cache knows the handle, not the bytes that it stands for: a handle whose content
    can change needs its ``digest`` here, otherwise a run takes the copy of an earlier run. Where
    nobody can know the digest beforehand, see ``READS_REMOTE_STATE``.

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
            digest is not one; or only a handle of a repository may lack a version.
        """
        for given in (handle, fallback):
            if isinstance(given, str):
                checked_handle(given)
        for given in (digest, fallback_digest):
            if isinstance(given, str):
                parse_digest(given)
        _check_fallback(handle, fallback, fallback_digest, optional=optional)
        super().__init__(
            spec=ModuleResolverSpec(
                handle=handle,
                digest=digest,
                cache_dir=cache_dir,
                fallback=fallback,
                fallback_digest=fallback_digest,
                optional=int(optional) or None,
                policy=None if policy in (None, SafetyPolicy()) else policy.to_json(),
                this_run=THIS_RUN if optional or fallback is not None else None,
                hub_tfx_version=__version__,
                module=Channel(type=HubModule),
            )
        )

    @property
    def READS_REMOTE_STATE(self) -> bool:  # noqa: N802
        """Whether the handle stands for another module when somebody publishes or writes one.

        A URL does not: the first one that was fetched is the one that the cache of modules keeps.
        """
        handle, digest = (self.exec_properties.get(name) for name in ("handle", "digest"))
        if digest is not None:
            return False
        if not isinstance(handle, str):
            return True
        parsed = ModuleHandle.parse(handle)
        return parsed.is_local or (parsed.is_in_repository and not parsed.is_versioned)


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
