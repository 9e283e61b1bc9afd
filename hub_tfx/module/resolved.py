"""ResolvedModule: a verified module on this machine, which every job takes."""

import os
from dataclasses import dataclass
from pathlib import Path

from hub_tfx.module.inspect import inspect
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.spec import ModuleSpec


@dataclass(frozen=True)
class ResolvedModule:
    """A module on this machine. ``ModuleCache.resolve`` gives one, so does ``of_directory``.

    Attributes:
      handle: what the user named, without secrets; fit for logs and ML Metadata.
      path: the module's directory; read it, never write there.
      digest: SHA-256 of its manifest, in hex.
      spec: its format and signatures.
      size_bytes: of all its files.
      cache_hit: whether it was in the cache before.
      remote_path: the same directory on a Beam filesystem that workers on other machines reach;
        None where they find it under ``path``.
    """

    handle: str
    path: Path
    digest: str
    spec: ModuleSpec
    size_bytes: int = 0
    cache_hit: bool = False
    remote_path: str | None = None

    @classmethod
    def of_directory(
        cls, path: str | os.PathLike[str], handle: str | None = None
    ) -> "ResolvedModule":
        """Reads and hashes the module in a directory.

        Args:
          path: the directory, on this machine.
          handle: what to call it; the path if None.

        Raises:
          NotAModuleError: the directory does not hold a module.
        """
        path = Path(path)
        spec, manifest = inspect(path), Manifest.of_directory(path)
        return cls(handle or str(path), path, manifest.digest, spec, manifest.size_bytes)

    @property
    def worker_path(self) -> str:
        """Where workers load it from, on any Beam filesystem."""
        return self.remote_path or os.fspath(self.path)


EmbedModule = ResolvedModule
"""The name until 0.1; it goes with the next release."""
