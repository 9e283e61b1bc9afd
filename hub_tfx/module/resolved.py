"""ResolvedModule: a verified module on this machine, which every job takes."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from hub_tfx.errors import DigestMismatchError
from hub_tfx.module.examine import examine
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.module.spec import ModuleSpec


@dataclass(frozen=True)
class ResolvedModule:
    """A module on this machine, as ``ModuleCache.resolve`` and ``of_directory`` give it.

    Attributes:
      handle: the handle that the user named, without secrets; fit for logs and ML Metadata. That of
        a module in a repository ends in the version's number, whichever alias was named.
      path: the module's directory; read it, never write there.
      digest: SHA-256 of the module's manifest, in hex.
      spec: format and signatures of the module.
      size_bytes: size of all files together.
      cache_hit: whether the module was in the cache before, or in a repository of this machine.
      remote_path: the same directory on a Beam filesystem that workers on other machines reach;
        None where they find it under ``path``.
      signed_by: fingerprint of the public key whose signature was verified; None where no key is
        configured, or the module is not one of a repository.
    """

    handle: str
    path: Path
    digest: str
    spec: ModuleSpec
    size_bytes: int = 0
    cache_hit: bool = False
    remote_path: str | None = None
    signed_by: str | None = None

    @classmethod
    def of_directory(
        cls,
        path: str | os.PathLike[str],
        handle: str | None = None,
        policy: SafetyPolicy | None = None,
        *,
        is_remote: bool = False,
    ) -> "ResolvedModule":
        """Reads and hashes the module in a directory.

        Args:
          path: the directory, on this machine.
          handle: name of the module for logs and ML Metadata; the path if None.
          policy: whether it is refused for what is in its graphs; one without exceptions if None.
          is_remote: whether somebody on another machine has sent it.

        Raises:
          NotAModuleError: the directory does not hold a module.
          UnsafeModuleError: the policy refuses it, or reading it takes more memory or time than any
            real module needs.
        """
        path, policy = Path(path), policy or SafetyPolicy()
        examined = examine(path, is_trusted=not is_remote)
        policy.admit(handle or str(path), examined.verdict, is_remote=is_remote)
        manifest = Manifest.of_directory(path)
        return cls(handle or str(path), path, manifest.digest, examined.spec, manifest.size_bytes)

    def verify(self) -> Manifest:
        """The manifest of the directory, which is hashed for it, once a process.

        Raises:
          DigestMismatchError: the directory no longer has the bytes of the digest. What resolves a
            module may have hashed it long ago.
        """
        manifest = Manifest.of_directory(self.path, once=True)
        if manifest.digest != self.digest:
            raise DigestMismatchError(
                f"{self.path} does not hold the module {self.handle} that was resolved: its digest "
                f"is {manifest.digest}, not {self.digest}; resolve it again, and if the directory "
                "is one of the cache, remove it before"
            )
        return manifest

    @property
    def worker_path(self) -> str:
        """The directory that workers load the module from, on any Beam filesystem."""
        return self.remote_path or os.fspath(self.path)


def __getattr__(name: str) -> type[ResolvedModule]:
    """``EmbedModule``, which was the name of ResolvedModule before this release."""
    if name != "EmbedModule":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        "hub_tfx.EmbedModule is renamed and goes with the next release: use hub_tfx.ResolvedModule",
        DeprecationWarning,
        stacklevel=3,  # The caller of hub_tfx.__getattr__, which asks here.
    )
    return ResolvedModule
