"""A fetcher that needs no network and counts what it is asked for."""

import os
from collections.abc import Mapping
from pathlib import Path

from hub_tfx.errors import FetchError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.fetch.local import copy_files


class FakeFetcher:
    """Fetches from a dict of handle -> directory: ``ModuleCache(root, fetcher=FakeFetcher(…))``.

    Attributes:
      calls: the handles that were asked for, in order.
    """

    def __init__(self, modules: Mapping[str, str | os.PathLike[str]]):
        self._modules = {ModuleHandle.parse(handle): Path(p) for handle, p in modules.items()}
        self.calls: list[ModuleHandle] = []

    def fetch(self, handle: ModuleHandle, into: Path) -> None:
        self.calls.append(handle)
        if handle not in self._modules:
            raise FetchError(f"{handle}: this fake has no such module")
        copy_files(self._modules[handle], into)
