"""What the store does with a module in which something was found."""

import json
from pathlib import Path

import pytest
from hostile_modules import build, saved_model, write

from hub_tfx.errors import UnsafeModuleError
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.store.archive import pack
from hub_tfx.store.bundle import export_bundle, import_bundle
from hub_tfx.store.cache import ModuleCache
from hub_tfx.testing import FakeFetcher, minimal_module


@pytest.fixture(autouse=True)
def examined_here() -> None:
    """Children read the modules."""


HANDLE = "https://hub.test/acme/text/1"
OFF, STRICT = SafetyPolicy("off"), SafetyPolicy("strict")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    return build(tmp_path / "hostile", "rows")


def cache_of(tmp_path: Path, module: Path, policy: SafetyPolicy | None = None) -> ModuleCache:
    return ModuleCache(tmp_path / "cache", fetcher=FakeFetcher({HANDLE: module}), policy=policy)


def kept(tmp_path: Path) -> list[str]:
    base = tmp_path / "cache" / "hub_tfx"
    return [str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()]


def test_a_module_from_elsewhere_is_refused_and_nothing_of_it_is_kept(
    tmp_path: Path, hostile: Path
) -> None:
    with pytest.raises(UnsafeModuleError) as refused:
        cache_of(tmp_path, hostile).resolve(HANDLE)
    told = str(refused.value)
    assert told.startswith(f"{HANDLE}: refused: op ReadFile in node 'evil' of function 'inner'")
    assert "--allow-op ReadFile" in told
    assert [name for name in kept(tmp_path) if not name.startswith("locks/")] == []


def test_the_last_good_module_of_the_handle_stays(tmp_path: Path, hostile: Path) -> None:
    good = cache_of(tmp_path, minimal_module(tmp_path / "good")).resolve(HANDLE)
    before = set(kept(tmp_path))
    record = next((tmp_path / "cache" / "hub_tfx" / "handles").iterdir())
    record.write_text("lost")  # So that it is fetched again.
    with pytest.raises(UnsafeModuleError):
        cache_of(tmp_path, hostile, STRICT).resolve(HANDLE)
    assert set(kept(tmp_path)) == before
    assert Manifest.of_directory(good.path).digest == good.digest


def test_a_module_of_this_machine_is_warned_of(
    tmp_path: Path, hostile: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pack(hostile, tmp_path / "m.tar.gz")
    for handle in (hostile, tmp_path / "m.tar.gz"):
        caplog.clear()
        resolved = ModuleCache(tmp_path / "cache").resolve(str(handle))
        assert resolved.path.is_dir()
        [record] = caplog.records
        assert "op ReadFile in node 'evil'" in record.getMessage()
        with pytest.raises(UnsafeModuleError):
            ModuleCache(tmp_path / "cache", policy=STRICT).resolve(str(handle))
    with pytest.raises(UnsafeModuleError):
        ResolvedModule.of_directory(hostile, policy=STRICT)


def test_a_hit_obeys_the_policy_of_who_asks(tmp_path: Path, hostile: Path) -> None:
    digest = cache_of(tmp_path, hostile, OFF).resolve(HANDLE).digest
    for given in (None, digest):
        with pytest.raises(UnsafeModuleError):
            cache_of(tmp_path, hostile).resolve(HANDLE, digest=given)
    allowing = SafetyPolicy("strict", allow_ops=("ReadFile",))
    assert cache_of(tmp_path, hostile, allowing).resolve(HANDLE).cache_hit


def test_a_hit_is_judged_once(
    tmp_path: Path, module_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged_again(*_: object, **__: object) -> None:
        raise AssertionError("it is read again")

    cache = cache_of(tmp_path, module_dir)
    cache.resolve(HANDLE)
    monkeypatch.setattr("hub_tfx.store.verdicts.examine", judged_again)
    assert cache.resolve(HANDLE).cache_hit


@pytest.mark.parametrize("left", [None, b"", b"[]", b'{"version": "other", "findings": []}'])
def test_a_verdict_that_is_lost_damaged_or_of_another_list_is_made_again(
    left: bytes | None, tmp_path: Path, hostile: Path
) -> None:
    entry = cache_of(tmp_path, hostile, OFF).resolve(HANDLE).path.parent
    [verdict] = entry.glob("verdict-*.json")
    before = json.loads(verdict.read_bytes())
    verdict.unlink()
    if left is not None:
        verdict.write_bytes(left)
    with pytest.raises(UnsafeModuleError):
        cache_of(tmp_path, hostile).resolve(HANDLE)
    assert json.loads(verdict.read_bytes()) == before


def test_a_bundle_brings_nothing_in_that_the_policy_refuses(tmp_path: Path, hostile: Path) -> None:
    bundle = tmp_path / "modules.tar"
    export_bundle(cache_of(tmp_path, hostile, OFF), [HANDLE], bundle)
    other = ModuleCache(tmp_path / "other")
    with pytest.raises(UnsafeModuleError, match="op ReadFile"):
        import_bundle(other, bundle)
    assert not list((tmp_path / "other").rglob("saved_model.pb"))


def test_a_module_in_text_is_looked_at_and_kept(tmp_path: Path) -> None:
    module = write(tmp_path / "m", saved_model(), as_text=True)
    assert cache_of(tmp_path, module).resolve(HANDLE).spec.default_signature == "serving_default"
