"""Killed at each system call: a complete entry or none, and the next run does the whole of it.

Slow with every call; a few of them daily.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from killing import kill_points

from hub_tfx.module.manifest import Manifest
from hub_tfx.store.archive import pack
from hub_tfx.store.bundle import export_bundle, import_bundle
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.folder import CacheFolder
from hub_tfx.store.prune import plan_prune, prune
from hub_tfx.testing import FakeFetcher, minimal_module

HANDLE = "https://hub.test/acme/text/1"
_FEW = ("rename",)
_ALL = (
    *("openat", "mkdir", "write", "chmod", "rename", "renameat2", "fsync", "unlink", "unlinkat"),
    *("rmdir", "flock", "close", "utimensat"),
)
pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
some_or_all = pytest.mark.parametrize(
    "calls", [_FEW, pytest.param(_ALL, marks=pytest.mark.slow)], ids=["few", "all"]
)


class Place:
    """A cache that is as it was before each try."""

    def __init__(self, folder: Path, module: Path):
        self.digest = Manifest.of_directory(module).digest
        self.root, self._before = folder / "cache", folder / "before"
        self.fetcher = FakeFetcher({HANDLE: module})
        self._before.mkdir()

    @property
    def cache(self) -> ModuleCache:
        return ModuleCache(self.root, fetcher=self.fetcher)

    def fill(self) -> None:
        ModuleCache(self._before, fetcher=self.fetcher).resolve(HANDLE)
        ModuleCache(self._before).release()

    def reset(self) -> None:
        self.cache.release()
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._before, self.root)

    def check(self) -> None:
        """Whatever has the name of an entry is one."""
        modules = CacheFolder(self.root).modules
        for entry in modules.iterdir() if modules.is_dir() else ():
            assert Manifest.of_directory(entry / "module").digest == entry.name == self.digest
            assert (entry / "manifest.json").is_file()

    def sweep(self, calls: tuple[str, ...], body: Callable[[], object]) -> int:
        """Kills the body at each call; then it is run to its end."""
        kills = 0
        for _ in kill_points(self.reset, lambda: (body(), None)[1], calls):
            kills += 1
            self.check()
            body()
            self.check()
        return kills


@pytest.fixture
def place(tmp_path: Path, module_dir: Path) -> Place:
    return Place(tmp_path, module_dir)


@some_or_all
def test_killed_while_it_resolves(
    calls: tuple[str, ...], place: Place, module_dir: Path, tmp_path: Path
) -> None:
    pack(module_dir, tmp_path / "m.tar.gz")

    def body() -> None:
        module = ModuleCache(place.root).resolve(str(tmp_path / "m.tar.gz"))
        assert module.verify().digest == place.digest

    assert place.sweep(calls, body) > 2


@some_or_all
def test_killed_while_it_mends(calls: tuple[str, ...], place: Place) -> None:
    place.fill()

    def body() -> None:
        assert place.cache.resolve(HANDLE, digest=place.digest).digest == place.digest

    reset = place.reset

    def damaged() -> None:
        reset()
        path = next(CacheFolder(place.root).modules.iterdir()) / "module" / "saved_model.pb"
        path.write_bytes(path.read_bytes()[::-1])

    kills = 0
    for _ in kill_points(damaged, body, tuple({*calls, "renameat2"})):
        assert CacheFolder(place.root).modules.joinpath(place.digest).is_dir(), "never away"
        body()
        place.check()
        kills += 1
    assert kills > 1


@some_or_all
def test_killed_while_it_prunes(calls: tuple[str, ...], place: Place) -> None:
    place.fill()
    folder = CacheFolder(place.root)

    def body() -> None:
        prune(folder, plan_prune(folder, max_size_bytes=0))

    assert place.sweep(tuple({*calls, "unlinkat"}), body) > 1
    assert os.listdir(folder.modules) == []
    assert os.listdir(folder.tmp) == []


@some_or_all
def test_killed_while_it_exports(calls: tuple[str, ...], place: Place, tmp_path: Path) -> None:
    place.fill()
    bundle = tmp_path / "out" / "bundle.tar"
    bundle.parent.mkdir()
    place.reset()
    export_bundle(place.cache, [HANDLE], bundle)
    whole = bundle.read_bytes()

    def body() -> None:
        export_bundle(place.cache, [HANDLE], bundle)
        assert bundle.read_bytes() == whole

    for _ in kill_points(place.reset, body, calls):
        assert bundle.read_bytes() == whole
    body()


@some_or_all
def test_killed_while_it_imports(calls: tuple[str, ...], place: Place, tmp_path: Path) -> None:
    source = ModuleCache(
        tmp_path / "source-cache", fetcher=FakeFetcher({HANDLE: minimal_module(tmp_path / "m")})
    )
    export_bundle(source, [HANDLE], tmp_path / "bundle.tar")
    offline = ModuleCache(place.root, fetcher=FakeFetcher({}))

    def body() -> None:
        import_bundle(offline, tmp_path / "bundle.tar")
        assert offline.resolve(HANDLE).cache_hit

    assert place.sweep(calls, body) > 2
