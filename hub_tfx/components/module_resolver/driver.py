"""The driver of ModuleResolver: what a handle stands for now, before TFX looks into its cache."""

import uuid
from typing import Any

from hub_tfx._tfx import BaseDriver, DriverOutput, ExecutionInfo
from hub_tfx.components.module_resolver.executor import cache_of
from hub_tfx.errors import HubTfxError
from hub_tfx.module.handle import ModuleHandle, checked_handle
from hub_tfx.store.cache import ModuleCache, NewBytes
from hub_tfx.store.fetch.base import PinningFetcher, TaggingFetcher, fetcher_for

CONTENT = "content"


class Driver(BaseDriver):  # type: ignore[misc]
    """Puts a fingerprint of what the handle stands for into the parameters of the execution.

    TFX's cache compares parameters, so an execution is used again while the fingerprint is the
    same. LocalDagRunner and Kubeflow Pipelines v1 run drivers; Vertex AI Pipelines runs none.
    """

    def run(self, execution_info: ExecutionInfo) -> DriverOutput:
        """The parameter ``content``; see the launcher of TFX."""
        output = DriverOutput()
        output.exec_properties[CONTENT].string_value = _content(execution_info.exec_properties)
        return output


def _content(properties: dict[str, Any]) -> str:
    if digest := properties.get("digest"):  # A runtime parameter has been given one.
        return str(digest)
    cache = cache_of(properties)
    try:
        handle = checked_handle(properties["handle"])
        return fingerprint(handle, cache, properties.get("new_bytes"))
    except HubTfxError:  # The executor fails in the same way, and TFX records its failures.
        return uuid.uuid4().hex


def fingerprint(handle: ModuleHandle, cache: ModuleCache, new_bytes: NewBytes | None) -> str:
    """A text that is another one as soon as the handle stands for other bytes.

    Where the place of the module can tell by itself, the module is not fetched.

    Raises:
      HubTfxError: see ModuleCache.resolve.
    """
    fetcher = fetcher_for(handle)
    if isinstance(fetcher, PinningFetcher):
        return fetcher.pin(handle).digest
    tag = fetcher.entity_tag(handle) if isinstance(fetcher, TaggingFetcher) else ""
    return tag or cache.resolve(handle, new_bytes=new_bytes).digest
