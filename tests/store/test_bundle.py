"""Bundles: what was exported is found by the same handles, and nothing hostile gets in."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from cards import write_card

from hub_tfx.cli.main import run
from hub_tfx.errors import (
    ArchiveError,
    DigestMismatchError,
    FetchError,
    HubTfxError,
    InputError,
    NotAModuleError,
    OutputError,
    UnsafeArchiveError,
)
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.archive import pack
from hub_tfx.store.bundle import export_bundle, import_bundle
from hub_tfx.store.cache import ModuleCache
from hub_tfx.testing import FakeFetcher, minimal_module, serve

ONE, TWO = "https://hub.test/acme/text/1", "https://hub.test/acme/text"
SECRET = "https://ann:hunter2@hub.test/acme/other/1?sig=s3cr3t"


@pytest.fixture
def other_dir(tmp_path: Path) -> Path:
    return minimal_module(tmp_path / "other", dim=5)


@pytest.fixture
def source(module_dir: Path, other_dir: Path, tmp_path: Path) -> ModuleCache:
    modules = {ONE: module_dir, TWO: module_dir, SECRET: other_dir}
    return ModuleCache(tmp_path / "source-cache", fetcher=FakeFetcher(modules))


@pytest.fixture
def offline(tmp_path: Path) -> ModuleCache:
    return ModuleCache(tmp_path / "offline", fetcher=FakeFetcher({}))


def _digest(directory: Path) -> str:
    return Manifest.of_directory(directory).digest


def _left(cache: ModuleCache) -> list[str]:
    """What a cache holds beside whole modules and records."""
    return sorted(os.listdir(cache.root / "hub_tfx" / "tmp"))


def test_modules_are_resolved_offline_by_the_same_handles(
    source: ModuleCache, offline: ModuleCache, module_dir: Path, tmp_path: Path
) -> None:
    (exported,) = export_bundle(source, [ONE, TWO], tmp_path / "bundle.tar")
    assert exported.handles == (TWO, ONE)
    (imported,) = import_bundle(offline, tmp_path / "bundle.tar")
    assert (imported.digest, imported.was_cached) == (_digest(module_dir), False)
    for handle in (ONE, TWO):
        module = offline.resolve(handle)
        assert module.cache_hit
        assert Manifest.of_directory(module.path) == Manifest.of_directory(module_dir)
    (again,) = import_bundle(offline, tmp_path / "bundle.tar")
    assert again.was_cached
    assert _left(offline) == []


def test_equal_modules_give_equal_bytes(source: ModuleCache, tmp_path: Path) -> None:
    for name, handles in (("a", [ONE, SECRET]), ("b", [SECRET, ONE, ONE])):
        export_bundle(source, handles, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} >= {"a", "b"}


def test_no_secret_and_no_path_is_written(
    source: ModuleCache, offline: ModuleCache, module_dir: Path, other_dir: Path, tmp_path: Path
) -> None:
    local = ModuleCache(tmp_path / "source-cache")
    file = tmp_path / "bundle.tar"
    (exported,) = export_bundle(source, [SECRET], file)
    assert exported.handles == ()
    for secret in (b"ann", b"hunter2", b"s3cr3t"):
        assert secret not in file.read_bytes()
    import_bundle(offline, file)
    assert offline.resolve(SECRET, digest=_digest(other_dir)).cache_hit
    (exported,) = export_bundle(local, [str(module_dir)], file)
    assert exported.handles == ()
    assert str(tmp_path).encode() not in file.read_bytes()
    import_bundle(offline, file)
    assert offline.resolve(ONE, digest=_digest(module_dir)).cache_hit


def test_a_version_of_a_repository_is_found_where_the_repository_is_not(
    module_dir: Path, tmp_path: Path
) -> None:
    from hub_tfx.module.resolved import ResolvedModule
    from hub_tfx.repository.publish import publish

    module, repository = ResolvedModule.of_directory(module_dir), tmp_path / "repository"
    publish(module, repository, "acme/words", card=write_card(tmp_path), aliases=["stable"])
    bundle, offline = tmp_path / "bundle.tar", ModuleCache(tmp_path / "offline")
    handle = f"repo+{repository}//acme/words"
    (exported,) = export_bundle(ModuleCache(tmp_path / "cache"), [f"{handle}@stable"], bundle)
    assert exported.handles == (f"{handle}/1",)
    os.rename(repository, tmp_path / "away")
    with pytest.raises(FetchError):
        offline.resolve(f"{handle}/1")
    import_bundle(offline, bundle)
    assert offline.resolve(f"{handle}/1").digest == module.digest
    with pytest.raises(FetchError):
        offline.resolve(f"{handle}@stable")


def _bundle(path: Path, index: object, *members: tuple[str, bytes]) -> Path:
    text = index if isinstance(index, bytes) else json.dumps(index).encode()
    with tarfile.open(path, "w") as tar:
        for name, content in (("bundle.json", text), *members):
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return path


def _index(digest: str, *handles: object) -> dict[str, object]:
    return {"bundle": 1, "modules": [{"digest": digest, "handles": list(handles)}]}


@pytest.fixture
def packed(module_dir: Path, tmp_path: Path) -> bytes:
    pack(module_dir, tmp_path / "packed.tar.gz")
    return (tmp_path / "packed.tar.gz").read_bytes()


def _hostile_tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        header = tarfile.TarInfo("../escaped")
        header.size = 1
        tar.addfile(header, io.BytesIO(b"x"))
    return stream.getvalue()


def test_what_is_hostile_or_damaged_leaves_nothing(
    offline: ModuleCache, module_dir: Path, other_dir: Path, packed: bytes, tmp_path: Path
) -> None:
    digest, other = _digest(module_dir), _digest(other_dir)
    name, other_name = f"modules/{digest}.tar.gz", f"modules/{other}.tar.gz"
    cases: list[tuple[object, list[tuple[str, bytes]], type[HubTfxError], str]] = [
        (_index(other), [(other_name, packed)], DigestMismatchError, "do not use it"),
        (_index(digest), [(name, _hostile_tar())], UnsafeArchiveError, "'..' in its path"),
        (_index(digest), [(name, packed[:-5])], ArchiveError, "cut short"),
        (_index(digest), [(name, b"")], ArchiveError, "cut short"),
        (_index(digest), [(f"../{name}", packed)], UnsafeArchiveError, "'..' in its path"),
        (_index(digest), [("else", packed)], UnsafeArchiveError, "does not belong"),
        (_index(digest), [], ArchiveError, f"the module {digest} is missing"),
        (_index("../../x"), [], ArchiveError, "bundle.json cannot be read"),
        (_index(digest, "/etc"), [], ArchiveError, "bundle.json cannot be read"),
        (_index(digest, "https://a:b@h/x"), [], ArchiveError, "bundle.json cannot be read"),
        (_index(digest, 5), [], ArchiveError, "bundle.json cannot be read"),
        ({"bundle": 2, "modules": []}, [], ArchiveError, "bundle.json cannot be read"),
        ([], [], ArchiveError, "bundle.json cannot be read"),
        (b"\xff", [], ArchiveError, "bundle.json cannot be read"),
        (b"[" * 100_000, [], ArchiveError, "bundle.json cannot be read"),
    ]
    for index, members, error, why in cases:
        bundle = _bundle(tmp_path / "hostile.tar", index, *members)
        with pytest.raises(error, match=why) as caught:
            import_bundle(offline, bundle)
        assert "hostile.tar: " in str(caught.value)
        modules = offline.root / "hub_tfx" / "modules"
        assert not modules.exists() or list(modules.iterdir()) == []
        assert not modules.exists() or _left(offline) == []
    assert not list(tmp_path.rglob("escaped"))


def test_a_module_before_the_damage_is_there_and_the_others_are_not(
    source: ModuleCache, offline: ModuleCache, tmp_path: Path
) -> None:
    file = tmp_path / "bundle.tar"
    first, second = export_bundle(source, [ONE, SECRET], file)
    content = file.read_bytes()
    at = content.index(second.digest.encode() + b".tar.gz")
    file.write_bytes(content[: at + 600])
    with pytest.raises(ArchiveError, match="cut short"):
        import_bundle(offline, file)
    assert [path.name for path in (offline.root / "hub_tfx" / "modules").iterdir()] == [
        first.digest
    ]


def test_a_bundle_that_is_cut_anywhere_is_refused(
    source: ModuleCache, offline: ModuleCache, tmp_path: Path
) -> None:
    file = tmp_path / "bundle.tar"
    export_bundle(source, [ONE], file)
    content = file.read_bytes()
    for length in range(0, content.rindex(b"\x8b"), 311):
        file.write_bytes(content[:length])
        with pytest.raises(ArchiveError):
            import_bundle(offline, file)
    modules = offline.root / "hub_tfx" / "modules"
    assert not modules.exists() or list(modules.iterdir()) == []


def test_a_module_twice_is_refused(
    offline: ModuleCache, module_dir: Path, packed: bytes, tmp_path: Path
) -> None:
    member = (f"modules/{_digest(module_dir)}.tar.gz", packed)
    bundle = _bundle(tmp_path / "b.tar", _index(_digest(module_dir)), member, member)
    with pytest.raises(UnsafeArchiveError, match="does not belong to a bundle"):
        import_bundle(offline, bundle)


def test_a_handle_that_stood_for_another_module_keeps_it(
    offline: ModuleCache, module_dir: Path, other_dir: Path, packed: bytes, tmp_path: Path
) -> None:
    pack(other_dir, tmp_path / "other.tar.gz")
    other = (f"modules/{_digest(other_dir)}.tar.gz", (tmp_path / "other.tar.gz").read_bytes())
    import_bundle(offline, _bundle(tmp_path / "b.tar", _index(_digest(other_dir), ONE), other))
    member = (f"modules/{_digest(module_dir)}.tar.gz", packed)
    with pytest.raises(DigestMismatchError, match="its bytes have changed"):
        import_bundle(
            offline, _bundle(tmp_path / "b.tar", _index(_digest(module_dir), ONE), member)
        )
    assert offline.resolve(ONE).digest == _digest(other_dir)


def test_what_is_no_bundle_and_what_cannot_be_written(
    source: ModuleCache, offline: ModuleCache, archive: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="fifo cannot be read: it is a FIFO"):
        import_bundle(offline, tmp_path / "fifo")
    with pytest.raises(InputError, match="missing cannot be read"):
        import_bundle(offline, tmp_path / "missing")
    with pytest.raises(ArchiveError, match=r"not a bundle of modules.*cache export"):
        import_bundle(offline, archive)
    with pytest.raises(OutputError, match="cannot be written"):
        export_bundle(source, [ONE], tmp_path / "no" / "folder.tar")


def test_a_file_that_changed_in_the_cache_is_not_exported(
    source: ModuleCache, tmp_path: Path
) -> None:
    weights = source.resolve(ONE).path / "variables" / "variables.index"
    os.chmod(weights, 0o644)
    weights.write_bytes(weights.read_bytes()[::-1])
    source._fetcher = FakeFetcher({})
    with pytest.raises(FetchError, match="the copy in the cache is damaged"):
        export_bundle(source, [ONE], tmp_path / "bundle.tar")
    assert not (tmp_path / "bundle.tar").exists()


def test_a_module_that_is_none_is_refused(offline: ModuleCache, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "text").write_text("x")
    pack(tmp_path / "empty", tmp_path / "empty.tar.gz")
    digest = _digest(tmp_path / "empty")
    member = (f"modules/{digest}.tar.gz", (tmp_path / "empty.tar.gz").read_bytes())
    with pytest.raises(NotAModuleError):
        import_bundle(offline, _bundle(tmp_path / "b.tar", _index(digest, ONE), member))


def test_the_commands(
    module_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = str(tmp_path / "bundle.tar")
    with serve({"/acme/text/1": module_dir}) as url:
        handle = f"{url}/acme/text/1"
        here, there = str(tmp_path / "here"), str(tmp_path / "there")
        assert run(["cache", "export", handle, "--output", bundle, "--cache-dir", here]) == 0
        assert f"{_digest(module_dir)}\t" in capsys.readouterr().out
    assert run(["cache", "import", bundle, "--cache-dir", there, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    size_bytes = Manifest.of_directory(module_dir).size_bytes
    row = {"digest": _digest(module_dir), "handles": [handle], "size_bytes": size_bytes}
    assert document == {"bundle": bundle, "modules": [row | {"was_cached": False}]}
    assert run(["resolve", handle, "--cache-dir", there, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cache_hit"] is True
    assert run(["cache", "import", str(tmp_path / "nothing.tar")]) == 1
