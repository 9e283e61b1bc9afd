"""The executor of ModuleResolver."""

from typing import Any

from hub_tfx._tfx import BaseExecutor, artifact_utils
from hub_tfx.artifacts import write_module
from hub_tfx.module.handle import ModuleHandle, checked_handle
from hub_tfx.store.cache import ModuleCache


class Executor(BaseExecutor):  # type: ignore[misc]
    """Resolves the handle and copies the module into the output artifact."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Resolves a module.

        Args:
          input_dict: empty.
          output_dict:
            - module: one HubModule.
          exec_properties: handle; digest and cache_dir, or None.

        Raises:
          HubTfxError: see ModuleCache.resolve; no artifact is published.
        """
        handle = checked_handle(exec_properties["handle"])
        cache = ModuleCache(exec_properties.get("cache_dir"))
        resolved = cache.resolve(handle, digest=exec_properties.get("digest"))
        resolved.verify()
        write_module(
            artifact_utils.get_single_instance(output_dict["module"]),
            resolved.path,
            {"handle": resolved.handle, "version": ModuleHandle.parse(resolved.handle).version},
        )
