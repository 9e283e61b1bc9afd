"""The executor of ModuleResolver."""

import logging
from collections.abc import Mapping
from typing import Any

from hub_tfx._tfx import BaseExecutor, artifact_utils
from hub_tfx.artifacts import write_module
from hub_tfx.components.skipping import leave_out
from hub_tfx.module.handle import ModuleHandle, checked_handle
from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.repository.in_use import handle_in_use
from hub_tfx.store.cache import ModuleCache

_log = logging.getLogger(__name__)


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
            - module: one HubModule, which is left out where there is no version yet and no
              fallback.
          exec_properties: handle; digest, cache_dir, fallback, fallback_digest, optional, new_bytes
            and policy (in JSON), or None. Of ``content`` and ``this_run`` only TFX's cache takes
            notice.

        Raises:
          HubTfxError: see ModuleCache.resolve; no artifact is published.
        """
        handle, digest = _wanted(exec_properties)
        if handle is None:
            _log.info("%s has no version yet", exec_properties["handle"])
            leave_out(output_dict, ["module"], self._context)
            return
        cache = cache_of(exec_properties)
        resolved = cache.resolve(
            checked_handle(handle),
            digest=digest,
            new_bytes=exec_properties.get("new_bytes"),
            verify=True,
        )
        write_module(
            artifact_utils.get_single_instance(output_dict["module"]),
            resolved.path,
            {"handle": resolved.handle, "version": ModuleHandle.parse(resolved.handle).version},
        )


def cache_of(properties: Mapping[str, Any]) -> ModuleCache:
    """The cache of the worker, with the policy of the step."""
    policy = properties.get("policy")
    return ModuleCache(
        properties.get("cache_dir"),
        policy=None if policy is None else SafetyPolicy.from_json(policy),
    )


def _wanted(properties: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The handle to resolve now, and its digest; None for none.

    Raises:
      HubTfxError: the repository cannot be read: that is not the same as that it has no version.
    """
    handle, fallback = properties["handle"], properties.get("fallback")
    if fallback is None and not properties.get("optional"):
        return handle, properties.get("digest")
    in_use = handle_in_use(checked_handle(handle))
    if in_use is not None:
        return in_use, properties.get("digest")
    return fallback, properties.get("fallback_digest")
