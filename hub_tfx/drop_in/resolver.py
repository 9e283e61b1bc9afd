"""install_resolver: `hub.load(url)` and its like take modules from our store."""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from hub_tfx.errors import HandleError, HubTfxError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.cache import ModuleCache, NewBytes
from hub_tfx.store.fetch.base import fetcher_for
from hub_tfx.store.lock_file import LockFile

LOCK_FILE = "HUB_TFX_LOCK_FILE"
_OF_HTTP = ("http://", "https://")


@dataclass(frozen=True)
class StoreResolver:
    """A resolver of TF Hub that takes URLs. Paths are left to TF Hub, which reads them in place.

    Attributes:
      cache: where modules are kept, or its directory; None for what TFHUB_CACHE_DIR or TF Hub's
        flag says when a module is resolved, otherwise the user's cache.
      lock_file: what every URL must be named by; None for none.
      new_bytes: see ModuleCache.resolve.
    """

    cache: ModuleCache | str | None = None
    lock_file: LockFile | None = None
    new_bytes: NewBytes | None = None

    def is_supported(self, handle: object) -> bool:
        """Whether a handle is a URL that our store fetches."""
        if not isinstance(handle, str):
            return False
        if handle.startswith(_OF_HTTP):
            return True  # One that cannot be parsed is told by us.
        try:
            parsed = ModuleHandle.parse(handle)
            return not parsed.is_local and fetcher_for(parsed) is not None
        except HandleError:
            return False

    def __call__(self, handle: str) -> str:
        """The directory of the module.

        Raises:
          HubTfxError: see ModuleCache.resolve. It is an OSError and a ValueError as well, which is
            what callers of TF Hub expect.
        """
        try:
            return os.fspath(self._resolve(handle))
        except HubTfxError as error:
            raise _as_of_tf_hub(error) from error

    def _resolve(self, handle: str) -> os.PathLike[str]:
        cache = self.cache if isinstance(self.cache, ModuleCache) else ModuleCache(self._root())
        if self.lock_file is not None:
            return self.lock_file.resolve(cache, handle).path
        return cache.resolve(handle, new_bytes=self.new_bytes).path

    def _root(self) -> str | None:
        if isinstance(self.cache, str):
            return self.cache
        from tensorflow_hub import resolver

        return resolver.tfhub_cache_dir() or None  # The variable, or a flag of the program.


@dataclass
class Installation:
    """A resolver that is installed, and that leaves with ``uninstall`` or the end of a block."""

    resolver: StoreResolver
    _is_ours: bool = field(default=True, repr=False)

    def uninstall(self) -> None:
        """Takes the resolver away; TF Hub's own, or the one before, resolves from then on."""
        from tensorflow_hub import registry

        if self._is_ours:
            with suppress(ValueError):  # Somebody has cleared the registry.
                registry.resolver._impls.remove(self.resolver)
        self._is_ours = False

    def __enter__(self) -> "Installation":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.uninstall()


def install_resolver(
    cache: ModuleCache | str | os.PathLike[str] | None = None,
    *,
    lock_file: LockFile | str | os.PathLike[str] | None = None,
    new_bytes: NewBytes | None = None,
) -> Installation:
    """Puts our store in front of TF Hub's resolvers, in this process.

    From then on ``hub.load(url)``, ``hub.Module(url)``, ``hub.KerasLayer(url)`` and
    ``hub.resolve(url)`` take their modules from it. Installing the same twice changes nothing::

        hub_tfx.install_resolver(lock_file="modules.lock.json")
        layer = hub.KerasLayer("https://tfhub.dev/google/nnlm-en-dim128/2")

    Args:
      cache: the cache or its directory; None for that of TFHUB_CACHE_DIR or of TF Hub's flag
        ``--tfhub_cache_dir``, otherwise the user's own.
      lock_file: a lock file: a URL that it does not name is refused. None for the one that
        HUB_TFX_LOCK_FILE names, if it does.
      new_bytes: ``refuse`` or ``follow`` what a URL has become since it was fetched; None does not
        look, as TF Hub.

    Returns:
      What takes the resolver away again; a context manager.

    Raises:
      ConfigFileError: the lock file cannot be read.
      OutputError: the cache is not a directory of this machine.
    """
    from tensorflow_hub import registry

    lock_file = lock_file or os.environ.get(LOCK_FILE) or None
    if lock_file is not None and not isinstance(lock_file, LockFile):
        lock_file = LockFile.read(lock_file)
    if cache is not None and not isinstance(cache, ModuleCache):
        cache = os.fspath(ModuleCache(cache).root)
    resolver = StoreResolver(cache, lock_file, new_bytes)
    installed: list[Any] = registry.resolver._impls
    if installed and installed[-1] == resolver:
        return Installation(installed[-1], False)
    registry.resolver.add_implementation(resolver)
    return Installation(resolver)


def _as_of_tf_hub(error: HubTfxError) -> Exception:
    """The same error, which ``except OSError`` and ``except ValueError`` catch, too."""
    kind = type(type(error).__name__, (type(error), OSError, ValueError), {})
    told: Exception = kind.__new__(kind, *error.args)
    told.args = error.args
    told.__dict__.update(error.__dict__)
    return told
