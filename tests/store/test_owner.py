"""Whose caches are used: what somebody else made, or may change, is refused by one error."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hub_tfx.errors import RefusedError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store import owner
from hub_tfx.store.cache import ModuleCache
from hub_tfx.testing import FakeFetcher, minimal_module

HANDLE = "https://hub.test/acme/text/1"
OTHER = 54321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    module = minimal_module(folder / "module")
    ModuleCache(folder / "cache", fetcher=FakeFetcher({HANDLE: module})).resolve(HANDLE)
    return folder / "cache"


@pytest.fixture
def cache(root: Path, module_dir: Path, filled: Path) -> ModuleCache:
    shutil.copytree(filled, root)
    return ModuleCache(root, fetcher=FakeFetcher({HANDLE: module_dir}))


def give_away(path: Path) -> None:
    os.chown(path, OTHER, OTHER, follow_symlinks=False)


def move_and_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


PLACES: dict[str, Callable[[Path], Path]] = {
    "root": lambda root: root,
    "hub_tfx": lambda root: root / "hub_tfx",
    "modules": lambda root: root / "hub_tfx" / "modules",
    "handles": lambda root: root / "hub_tfx" / "handles",
    "locks": lambda root: root / "hub_tfx" / "locks",
    "leases": lambda root: root / "hub_tfx" / "leases",
    "tmp": lambda root: root / "hub_tfx" / "tmp",
    "quarantine": lambda root: root / "hub_tfx" / "quarantine",
    "an entry": lambda root: next((root / "hub_tfx" / "modules").iterdir()),
    "a record": lambda root: next((root / "hub_tfx" / "handles").iterdir()),
    "a manifest": lambda root: next((root / "hub_tfx" / "modules").glob("*/manifest.json")),
    "stamps": lambda root: next((root / "hub_tfx" / "modules").glob("*/stamps.json")),
    "a module": lambda root: next((root / "hub_tfx" / "modules").glob("*/module")),
    "a file": lambda root: next((root / "hub_tfx" / "modules").glob("*/module/saved_model.pb")),
}
PLANTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "somebody else's": (give_away, f"belongs to the user {OTHER}"),
    "writable by all": (lambda path: path.chmod(0o777), "may be written by every user"),
    "a link": (move_and_link, "is a symbolic link"),
}


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("place", PLACES)
def test_what_others_may_change_is_refused_by_name(
    place: str, plant: str, root: Path, cache: ModuleCache
) -> None:
    if plant == "somebody else's" and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    act, why = PLANTS[plant]
    planted = PLACES[place](root)
    act(planted)
    if (place, plant) == ("root", "a link"):
        assert cache.resolve(HANDLE).cache_hit, "a user may link to where the room is"
        return
    if plant == "a link" and place in ("a file", "a module", "a manifest", "stamps"):
        assert not cache.resolve(HANDLE).cache_hit, "set aside as any damage"
        return
    with pytest.raises(RefusedError, match=why) as error:
        cache.resolve(HANDLE)
    assert str(error.value).startswith(f"the cache {root} is refused: {planted} ")
    assert "set TFHUB_CACHE_DIR" in str(error.value)


def test_a_link_to_everywhere_is_not_written_through(
    root: Path, tmp_path: Path, module_dir: Path
) -> None:
    (tmp_path / "victim").mkdir()
    (root / "hub_tfx").mkdir(parents=True)
    for name in ("modules", "tmp"):
        (root / "hub_tfx" / name).symlink_to(tmp_path / "victim")
    with pytest.raises(RefusedError, match="is a symbolic link"):
        ModuleCache(root, fetcher=FakeFetcher({HANDLE: module_dir})).resolve(HANDLE)
    assert os.listdir(tmp_path / "victim") == []


def test_a_lock_that_is_a_link_is_not_followed(
    root: Path, tmp_path: Path, module_dir: Path, cache: ModuleCache
) -> None:
    (tmp_path / "victim").write_text("mine")
    shutil.rmtree(root / "hub_tfx" / "modules")
    for folder, name in (
        ("locks", f"{ModuleHandle.parse(HANDLE).key}.lock"),
        ("leases", next((root / "hub_tfx" / "leases").iterdir()).name),
    ):
        path = root / "hub_tfx" / folder / name
        path.unlink(missing_ok=True)
        path.symlink_to(tmp_path / "victim")
    assert not cache.resolve(HANDLE).cache_hit
    assert (tmp_path / "victim").read_text() == "mine"
    assert cache.resolve(HANDLE).cache_hit


def test_a_directory_for_everyone_needs_its_sticky_bit(root: Path, module_dir: Path) -> None:
    root.mkdir()
    cache = ModuleCache(root, fetcher=FakeFetcher({HANDLE: module_dir}))
    root.chmod(0o777)
    with pytest.raises(RefusedError, match="every user"):
        cache.resolve(HANDLE)
    assert os.listdir(root) == []
    root.chmod(0o1777)  # As /tmp: nobody may rename what others own.
    assert not cache.resolve(HANDLE).cache_hit


@needs_root
def test_a_group_is_trusted_where_the_user_says_so(
    root: Path, cache: ModuleCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = root / "hub_tfx"
    for path in (base, *base.rglob("*")):
        os.chown(path, OTHER, OTHER)
        path.chmod(path.stat().st_mode | 0o020)
    with pytest.raises(RefusedError, match=f"{OTHER}, who could .*HUB_TFX_SHARED_CACHE=1"):
        cache.resolve(HANDLE)
    monkeypatch.setenv(owner.SHARED, "1")
    assert cache.resolve(HANDLE).cache_hit
    (base / "modules").chmod(0o777)
    with pytest.raises(RefusedError, match="every user"):
        cache.resolve(HANDLE)
    (base / "modules").chmod(0o770)
    os.chown(base / "handles", OTHER + 1, OTHER + 1)
    with pytest.raises(RefusedError, match=f"belongs to the user {OTHER + 1}"):
        cache.resolve(HANDLE)


def test_a_new_shared_cache_may_be_written_by_its_group(
    root: Path, module_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(owner.SHARED, "1")
    module = ModuleCache(root, fetcher=FakeFetcher({HANDLE: module_dir})).resolve(HANDLE)
    folders = [root / "hub_tfx", module.path.parent.parent, root / "hub_tfx" / "locks"]
    assert {oct(folder.stat().st_mode & 0o7777) for folder in folders} == {"0o2770"}
    inside = [module.path.parent, *module.path.parent.rglob("*")]
    assert [path for path in inside if not path.stat().st_mode & 0o020] == []
    assert ModuleCache(root, fetcher=FakeFetcher({})).resolve(HANDLE).cache_hit


@needs_root
def test_a_group_of_ones_own_is_nobody_else(root: Path, cache: ModuleCache) -> None:
    """Many systems make one for each user, with a umask of 002."""
    (root / "hub_tfx" / "modules").chmod(0o775)
    assert cache.resolve(HANDLE).cache_hit
    os.chown(root / "hub_tfx" / "modules", 0, OTHER)
    with pytest.raises(RefusedError, match=f"may be written by the group {OTHER}"):
        cache.resolve(HANDLE)
