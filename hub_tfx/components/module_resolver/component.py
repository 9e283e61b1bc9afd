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
from hub_tfx.module.handle import checked_handle
from hub_tfx.module.manifest import parse_digest


class ModuleResolverSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of ModuleResolver."""

    PARAMETERS = {  # noqa: RUF012
        "handle": ExecutionParameter(type=str),
        "digest": ExecutionParameter(type=str, optional=True),
        "cache_dir": ExecutionParameter(type=str, optional=True),
        "hub_tfx_version": ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {}  # noqa: RUF012
    OUTPUTS = {"module": ChannelParameter(type=HubModule)}  # noqa: RUF012


class ModuleResolver(BaseComponent):  # type: ignore[misc]
    """Resolves a module handle into a verified copy of the module.

    TFX's execution cache knows the handle, not the bytes that it stands for: a handle whose content
    can change needs its ``digest`` here, otherwise a run takes the copy of an earlier run.

    Component `outputs` contains:
     - `module`: Channel of type `HubModule`.
    """

    SPEC_CLASS = ModuleResolverSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        handle: str | RuntimeParameter,
        digest: str | RuntimeParameter | None = None,
        cache_dir: str | RuntimeParameter | None = None,
    ):
        """Constructs a ModuleResolver.

        Args:
          handle: URL, archive or directory of the module.
          digest: digest that the module must have, in hex; any if None.
          cache_dir: where workers keep modules; TFHUB_CACHE_DIR or the user's own cache if None.

        Raises:
          HandleError: the handle cannot be parsed.
          ConfigError: the handle holds what may be a credential, which would end in ML Metadata;
            or the digest is not one.
        """
        if isinstance(handle, str):
            checked_handle(handle)
        if isinstance(digest, str):
            parse_digest(digest)
        super().__init__(
            spec=ModuleResolverSpec(
                handle=handle,
                digest=digest,
                cache_dir=cache_dir,
                hub_tfx_version=__version__,
                module=Channel(type=HubModule),
            )
        )
