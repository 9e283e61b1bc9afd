"""What a hit believes: bytes where a digest is promised, the look of the files where none is."""

import ast
import errno
import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest

import hub_tfx
from hub_tfx.errors import DigestMismatchError, FetchError, UnsafeArchiveError
from hub_tfx.module import hashes
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.store.archive import pack
from hub_tfx.store.cache import ModuleCache
from hub_tfx.testing import FakeFetcher

HANDLE, TWIN = "https://hub.test/acme/text/1", "https://hub.test/acme/twin/1"


@pytest.fixture
def fetcher(module_dir: Path) -> FakeFetcher:
    return FakeFetcher({HANDLE: module_dir, TWIN: module_dir})


@pytest.fixture
def cache(tmp_path: Path, fetcher: FakeFetcher) -> ModuleCache:
    return ModuleCache(tmp_path / "cache", fetcher=fetcher)


@pytest.fixture
def offline(tmp_path: Path) -> ModuleCache:
    return ModuleCache(tmp_path / "cache", fetcher=FakeFetcher({}))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are hashed from here on."""
    names: list[str] = []
    hash_file = hashes.hash_file

    def noted(path: Path) -> tuple[int, str]:
        names.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(hashes, "hash_file", noted)
    return names


def weights_of(module: ResolvedModule) -> Path:
    return module.path / "variables" / "variables.index"


def rot(module: ResolvedModule, *, unseen: bool = False) -> None:
    """Other bytes of the same size and time; unseen, where the stamps say that nothing changed."""
    weights = weights_of(module)
    before = weights.stat()
    weights.write_bytes(weights.read_bytes()[::-1])
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    if unseen:
        stamps = module.path.parent / "stamps.json"
        document = json.loads(stamps.read_text())
        now = weights.stat()
        document["files"]["variables/variables.index"] = [
            now.st_size,
            now.st_mtime_ns,
            now.st_ino,
            now.st_ctime_ns,
        ]
        stamps.write_text(json.dumps(document))


@pytest.mark.parametrize("pinned", [True, False])
def test_other_bytes_of_the_same_size_and_time_are_set_aside_and_fetched_again(
    pinned: bool, cache: ModuleCache, offline: ModuleCache, fetcher: FakeFetcher
) -> None:
    module = cache.resolve(HANDLE)
    digest = module.digest if pinned else None
    rot(module)
    with pytest.raises(FetchError, match=r"variables.index does not have the bytes.*replaced"):
        offline.resolve(HANDLE, digest=digest)
    mended = cache.resolve(HANDLE, digest=digest)
    assert not mended.cache_hit
    assert Manifest.of_directory(mended.path).digest == module.digest
    assert len(fetcher.calls) == 2
    assert len(os.listdir(cache.root / "hub_tfx" / "quarantine")) == 1


@pytest.mark.parametrize("how", ["pinned", "verified"])
def test_whoever_promises_a_digest_gets_its_bytes_whatever_the_files_look_like(
    how: str, cache: ModuleCache
) -> None:
    module = cache.resolve(HANDLE)
    rot(module, unseen=True)
    assert cache.resolve(HANDLE).cache_hit, "the quick check cannot see it"
    if how == "pinned":
        mended = cache.resolve(HANDLE, digest=module.digest)
    else:
        mended = cache.resolve(HANDLE, verify=True)
    assert not mended.cache_hit
    assert Manifest.of_directory(mended.path).digest == module.digest


def test_a_quick_hit_reads_no_file_of_the_module(cache: ModuleCache, read: list[str]) -> None:
    cache.resolve(HANDLE)
    read.clear()
    assert cache.resolve(HANDLE).cache_hit
    assert read == []


def test_a_full_check_reads_each_file_once_a_process(
    cache: ModuleCache, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = cache.resolve(HANDLE)
    monkeypatch.setattr(hashes, "_remembered", {})  # As in another process.
    read.clear()
    for _ in range(3):
        assert cache.resolve(HANDLE, digest=module.digest).cache_hit
        module.verify()
    assert sorted(read) == ["saved_model.pb", "variables.index"]
    rot(module)
    with pytest.raises(DigestMismatchError):
        module.verify()


def test_a_cache_that_was_copied_is_hashed_once_and_then_known(
    cache: ModuleCache, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an image or a backup does, with other inodes."""
    cache.resolve(HANDLE)
    shutil.copytree(cache.root, tmp_path / "copy")
    time.sleep(0.03)
    copy = ModuleCache(tmp_path / "copy", fetcher=FakeFetcher({}))
    read.clear()
    assert copy.resolve(HANDLE).cache_hit
    assert sorted(read) == ["saved_model.pb", "variables.index"]
    monkeypatch.setattr(hashes, "_remembered", {})
    assert copy.resolve(HANDLE).cache_hit
    assert len(read) == 2


def test_signatures_that_somebody_changed_are_not_believed(cache: ModuleCache) -> None:
    whole = cache.resolve(HANDLE)
    spec = whole.path.parent / "spec-2.json"
    spec.write_text(spec.read_text().replace('"default"', '"planted"'))
    assert cache.resolve(HANDLE).spec == whole.spec
    stamps = whole.path.parent / "stamps.json"
    document = json.loads(stamps.read_text())
    planted = spec.read_text().replace('"default"', '"planted"')
    spec.write_text(planted)
    document["spec_sha256"] = hashlib.sha256(planted.encode()).hexdigest()
    stamps.write_text(json.dumps(document))
    assert cache.resolve(HANDLE, digest=whole.digest).spec == whole.spec


@pytest.mark.parametrize("text", ["", "[]", '{"files": {"a": [1]}}', '{"files": 3}', "[" * 9999])
def test_stamps_that_cannot_be_read_are_made_again(text: str, cache: ModuleCache) -> None:
    module = cache.resolve(HANDLE)
    stamps = module.path.parent / "stamps.json"
    whole = stamps.read_text()
    stamps.write_text(text)
    assert cache.resolve(HANDLE).cache_hit
    assert stamps.read_text() == whole


def test_a_good_entry_is_never_taken_from_under_its_user(
    cache: ModuleCache, fetcher: FakeFetcher, monkeypatch: pytest.MonkeyPatch, module_dir: Path
) -> None:
    """Two handles of one digest find it damaged; the second one mends it first."""
    module = cache.resolve(HANDLE)
    cache.resolve(TWIN)
    rot(module)
    mended: list[int] = []

    class Slow(FakeFetcher):
        def fetch(self, handle: object, into: Path) -> None:
            super().fetch(handle, into)  # type: ignore[arg-type]
            other = ModuleCache(cache.root, fetcher=fetcher).resolve(TWIN)
            mended.append(other.path.stat().st_ino)

    slow = ModuleCache(cache.root, fetcher=Slow({HANDLE: module_dir}))
    assert slow.resolve(HANDLE).path.stat().st_ino == mended[0]
    local = ModuleCache(cache.root).resolve(str(module_dir))
    assert local.path.stat().st_ino == mended[0]
    assert len(os.listdir(cache.root / "hub_tfx" / "quarantine")) == 1


def test_a_damaged_entry_is_swapped_and_never_away(
    cache: ModuleCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = cache.resolve(HANDLE)
    (module.path / "saved_model.pb").chmod(0o644)
    rot(module)
    rename = os.rename

    def noted(source: Path, target: Path) -> None:
        assert Path(source) != module.path.parent, "the entry would be away until it has a new one"
        if Path(target).parent.name == "quarantine":
            assert module.path.is_dir()
        rename(source, target)

    monkeypatch.setattr(os, "rename", noted)
    assert not cache.resolve(HANDLE, digest=module.digest).cache_hit
    assert module.path.is_dir()


def test_where_names_cannot_be_swapped_it_is_mended_all_the_same(
    cache: ModuleCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_tfx.store.entries.exchange", lambda one, other: False)
    module = cache.resolve(HANDLE)
    rot(module)
    assert not cache.resolve(HANDLE).cache_hit
    assert cache.resolve(HANDLE, digest=module.digest).cache_hit


def test_a_local_archive_is_hashed_once_and_after_its_limits(
    tmp_path: Path, module_dir: Path, read: list[str]
) -> None:
    pack(module_dir, archive := tmp_path / "m.tar.gz")
    time.sleep(0.03)
    cache = ModuleCache(tmp_path / "cache")
    for _ in range(3):
        cache.resolve(str(archive))
    assert read.count("m.tar.gz") == 1
    hostile = tmp_path / "hostile.tar"
    with hostile.open("wb") as file:
        file.truncate(1 << 40)
    read.clear()
    with pytest.raises(UnsafeArchiveError, match="more than 34359738368; pack"):
        cache.resolve(str(hostile))
    assert read == []


def test_a_full_disk_does_not_keep_a_hit_from_being_one(
    cache: ModuleCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = cache.resolve(HANDLE)
    (module.path.parent / "stamps.json").unlink()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert cache.resolve(HANDLE).cache_hit
    assert "stamps.json" not in os.listdir(module.path.parent)


def test_the_steps_that_promise_a_digest_ask_for_the_bytes() -> None:
    """Their own tests show what they do; this one that nobody resolves without."""
    root = Path(hub_tfx.__file__).parent
    promising = (
        "components/module_resolver/executor.py",
        "cli/fine_tune.py",
        "cli/publish.py",
        "cli/embed.py",
        "cli/evaluate.py",
        "cli/options.py",
    )
    for name in promising:
        calls = [
            ast.unparse(node)
            for node in ast.walk(ast.parse((root / name).read_text()))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "resolve"
            and "digest" in ast.unparse(node)
        ]
        assert calls, name
        assert [call for call in calls if "verify=True" not in call] == [], name
