"""Everything that may happen to a cache, in any order, as a state machine of hypothesis.

What ``ModuleCache`` promises holds after each step: what is resolved has the bytes of its digest,
nothing is half there, and a hit fetches nothing. A fetcher or a file system of your own is tried by
a subclass::

    from hub_tfx.testing.cache_machine import CacheMachine

    class MyMachine(CacheMachine):
        def make_cache(self, root, modules):
            return ModuleCache(root, fetcher=MyFetcher(modules))

    TestMyCache = MyMachine.TestCase
"""

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hub_tfx.errors import DigestMismatchError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.folder import CacheFolder
from hub_tfx.store.prune import plan_prune, prune
from hub_tfx.store.verify import verify_cache
from hub_tfx.testing.fake_fetcher import FakeFetcher
from hub_tfx.testing.modules import minimal_module

HANDLES = tuple(f"https://hub.test/acme/{name}" for name in ("a/1", "b/1", "c", "twin-of-a/1"))
_SOURCES = 3
_TICK_S = 0.03  # A change within one tick of the clock of the file system looks like none.
_handles = st.sampled_from(HANDLES)
_files = st.sampled_from(("saved_model.pb", "variables/variables.index"))


class CacheMachine(RuleBasedStateMachine):
    """The operations and what holds after each."""

    def make_cache(self, root: Path, modules: Mapping[str, Path]) -> ModuleCache:
        """The cache under test, which fetches a handle's module from a directory of this machine.

        Args:
          root: where the cache is.
          modules: handle -> directory; it changes when a module is published again.
        """
        self._fetcher = _Counting(modules)
        return ModuleCache(root, fetcher=self._fetcher)

    @initialize()
    def begin(self) -> None:
        self._work = Path(tempfile.mkdtemp())
        sources = [minimal_module(self._work / str(n), dim=n + 2) for n in range(_SOURCES + 1)]
        self._modules = dict(zip(HANDLES, [*sources[:3], sources[0]], strict=True))
        self._republished = sources[_SOURCES]
        self._root = self._work / "cache"
        self._cache = self.make_cache(self._root, self._modules)
        self._folder = CacheFolder(self._root)
        self._gave: dict[str, str] = {}

    def teardown(self) -> None:
        if hasattr(self, "_work"):
            self._cache.release()
            shutil.rmtree(self._work)

    @rule(handle=_handles)
    def resolve(self, handle: str) -> None:
        """A handle gives what it gave before, or says that its bytes have changed."""
        is_there = self._is_whole(handle)
        fetched = len(self._fetcher.calls)
        try:
            module = self._cache.resolve(handle)
        except DigestMismatchError:
            assert self._served(handle) != self._gave[handle]
            assert not is_there
            return
        assert self._gave.setdefault(handle, module.digest) == module.digest
        self._check(module)
        if is_there:
            assert module.cache_hit
            assert len(self._fetcher.calls) == fetched

    @rule(handle=_handles)
    def resolve_pinned(self, handle: str) -> None:
        """A pin is kept; what is pinned once is what the handle stands for."""
        served = self._served(handle)
        module = self._cache.resolve(handle, digest=served)
        assert module.digest == served
        self._check(module)
        if not module.cache_hit:
            self._gave[handle] = served

    @rule(handle=_handles)
    def resolve_pinned_to_another(self, handle: str) -> None:
        """A pin that nothing has is refused."""
        try:
            self._cache.resolve(handle, digest="0" * 64)
        except DigestMismatchError:
            return
        raise AssertionError("a module with another digest than the pinned one was taken")

    @rule(handle=_handles, seconds=st.integers(1, 3))
    def resolve_by_another_cache(self, handle: str, seconds: int) -> None:
        """Two handles of one digest, and two users of one cache, keep one entry."""
        served = self._served(handle)
        for _ in range(seconds):
            module = ModuleCache(self._root, fetcher=FakeFetcher(self._modules)).resolve(
                handle, digest=served
            )
            self._check(module)
            if not module.cache_hit:
                self._gave[handle] = served

    @rule(handle=_handles)
    def resolve_from_its_directory(self, handle: str) -> None:
        """A local handle takes no lock, and finds the same entry."""
        module = ModuleCache(self._root).resolve(str(self._modules[handle]))
        assert module.digest == self._served(handle)
        self._check(module)

    @precondition(lambda self: self._entries())
    @rule(data=st.data(), file=_files, keep_time=st.booleans())
    def damage(self, data: st.DataObject, file: str, keep_time: bool) -> None:
        """Other bytes of the same size."""
        path = data.draw(st.sampled_from(self._entries())) / "module" / file
        if not path.is_file():
            return
        before = path.stat()
        time.sleep(_TICK_S)
        path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
        if keep_time:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        time.sleep(_TICK_S)

    @precondition(lambda self: self._entries())
    @rule(
        data=st.data(),
        name=st.sampled_from(
            ("module/saved_model.pb", "manifest.json", "spec-2.json", "stamps.json")
        ),
    )
    def remove(self, data: st.DataObject, name: str) -> None:
        """A file of an entry is lost."""
        (data.draw(st.sampled_from(self._entries())) / name).unlink(missing_ok=True)

    @rule(handle=_handles)
    def publish_again(self, handle: str) -> None:
        """The server has other bytes under the handle from now on."""
        self._modules[handle] = self._republished

    @rule(let_go=st.booleans())
    def prune_all(self, let_go: bool) -> None:
        """What is in use stays; everything else goes."""
        if let_go:
            self._cache.release()
        before = {path.name for path in self._entries()}
        done = prune(self._folder, plan_prune(self._folder, max_size_bytes=0, quarantine=True))
        kept = {item.digest for item in done.modules if item.kept}
        assert {path.name for path in self._entries()} == kept & before
        assert not let_go or not kept

    @rule()
    def verify(self) -> None:
        """Every damage is found, and nothing else."""
        for found in verify_cache(self._folder):
            assert bool(found.damage) != self._is_right(found.module.digest), found
        self._cache.release()

    @invariant()
    def nothing_is_half_there(self) -> None:
        if not hasattr(self, "_work") or not self._folder.base.is_dir():
            return
        assert os.listdir(self._folder.tmp) == []
        assert [name for name in os.listdir(self._folder.handles) if ".tmp" in name] == []

    def _entries(self) -> list[Path]:
        modules = self._folder.modules
        return sorted(modules.iterdir()) if modules.is_dir() else []

    def _served(self, handle: str) -> str:
        return Manifest.of_directory(self._modules[handle]).digest

    def _is_right(self, digest: str) -> bool:
        directory = self._folder.modules / digest
        if not (directory / "module").is_dir() or not (directory / "manifest.json").is_file():
            return False
        return Manifest.of_directory(directory / "module").digest == digest

    def _is_whole(self, handle: str) -> bool:
        """Whether the cache has what the handle gave before."""
        digest = self._gave.get(handle)
        return digest is not None and self._is_right(digest)

    def _check(self, module: ResolvedModule) -> None:
        assert Manifest.of_directory(module.path).digest == module.digest
        assert module.path == self._folder.modules / module.digest / "module"
        assert module.spec.get_signature_names()


class _Counting:
    """Fetches from directories that may change, and keeps which handles were asked for."""

    def __init__(self, modules: Mapping[str, Path]):
        self._modules = modules
        self.calls: list[str] = []

    def fetch(self, handle: ModuleHandle, into: Path) -> None:
        self.calls.append(handle.url)
        FakeFetcher(self._modules).fetch(handle, into)
