"""ResolvedModule: a verified module on this machine."""

import os
from dataclasses import dataclass

from hub_tfx.module.inspect import inspect
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.spec import ModuleSpec


@dataclass(frozen=True)
class EmbedModule:
    """The module a job embeds with.

    Attributes:
      handle: what the user named, fit for logs.
      path: its directory, the same on each worker.
      digest: of its manifest, in hex.
      spec: its signatures.
    """

    handle: str
    path: str
    digest: str
    spec: ModuleSpec

    @classmethod
    def of_directory(cls, path: str | os.PathLike[str], handle: str = "") -> "EmbedModule":
        """Reads a module's directory; raises NotAModuleError where it holds none."""
        path = os.fspath(path)
        spec = inspect(path)
        return cls(handle or path, path, Manifest.of_directory(path).digest, spec)
