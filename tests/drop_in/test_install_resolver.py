"""install_resolver: what it puts in front of TF Hub's resolvers, and that it leaves no trace."""

from pathlib import Path

import pytest
import tensorflow_hub as hub
from tensorflow_hub import registry

import hub_tfx
from hub_tfx.drop_in.resolver import install_resolver
from hub_tfx.errors import ConfigError, ConfigFileError, DigestMismatchError, OutputError
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.archive import pack
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.fetch import base
from hub_tfx.store.lock_file import Locked, add_to_lock_file
from hub_tfx.testing import FakeFetcher, serve


@pytest.fixture(autouse=True)
def unchanged() -> object:
    before = list(registry.resolver._impls)
    yield
    assert registry.resolver._impls == before


def test_it_is_there_until_it_is_taken_away(source: Path, cache_dir: Path) -> None:
    with serve({"/acme/text/1": source}) as url:
        installation = hub_tfx.install_resolver()
        path = Path(hub.resolve(f"{url}/acme/text/1"))
        installation.uninstall()
        installation.uninstall()
        assert path.is_relative_to(cache_dir / "hub_tfx" / "modules")
        other = Path(hub.resolve(f"{url}/acme/text/1"))
    assert not other.is_relative_to(cache_dir / "hub_tfx")
    assert Manifest.of_directory(path) == Manifest.of_directory(other)


def test_installing_it_twice_changes_nothing(tmp_path: Path) -> None:
    for arguments in ((), (str(tmp_path),), (ModuleCache(tmp_path),)):
        count = len(registry.resolver._impls)
        with install_resolver(*arguments):
            with install_resolver(*arguments):
                assert len(registry.resolver._impls) == count + 1
            assert len(registry.resolver._impls) == count + 1


def test_the_last_one_that_was_installed_resolves(tmp_path: Path, source: Path) -> None:
    with serve({"/m": source}) as url, install_resolver(tmp_path / "a"):
        with install_resolver(tmp_path / "b"):
            assert Path(hub.resolve(f"{url}/m")).is_relative_to(tmp_path / "b")
        assert Path(hub.resolve(f"{url}/m")).is_relative_to(tmp_path / "a")


def test_somebody_clears_the_registry() -> None:
    before = list(registry.resolver._impls)
    try:
        with install_resolver():
            registry.resolver.clear_implementations()
    finally:
        registry.resolver._impls = before


def test_a_lock_file_decides_which_urls_there_are(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "x.json"
    with serve({"/m": source, "/other": source}) as url:
        locked = {
            f"{url}/m": Locked(Manifest.of_directory(source).digest),
            f"{url}/other": Locked("0" * 64),
        }
        add_to_lock_file(lock, locked)
        monkeypatch.setenv("HUB_TFX_LOCK_FILE", str(lock))
        with install_resolver():
            assert hub.resolve(f"{url}/m")
            with pytest.raises(DigestMismatchError):
                hub.resolve(f"{url}/other")
            with pytest.raises(ConfigError, match="is not in the lock file"):
                hub.resolve(f"{url}/unknown")
            assert hub.resolve(str(source)) == str(source)


def test_new_bytes_are_followed_where_that_is_said(tmp_path: Path, source: Path) -> None:
    archive = tmp_path / "m.tar.gz"
    pack(source, archive)
    with serve({"/m.tar.gz": archive}) as url:
        with install_resolver():
            first = hub.resolve(f"{url}/m.tar.gz")
        (source / "new.txt").write_text("new")
        pack(source, archive)
        with install_resolver():
            assert hub.resolve(f"{url}/m.tar.gz") == first
        with install_resolver(new_bytes="follow"):
            assert hub.resolve(f"{url}/m.tar.gz") != first


def test_what_cannot_be_installed(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match="cannot be read"):
        install_resolver(lock_file=tmp_path / "missing")
    with pytest.raises(OutputError, match="not a local directory"):
        install_resolver("gs://bucket/cache")


def test_schemes_that_our_store_fetches_are_ours(
    source: Path, installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "_fetchers", {"fake": FakeFetcher({"fake://text/1": source})})
    assert Manifest.of_directory(hub.resolve("fake://text/1")) == Manifest.of_directory(source)
    resolver = registry.resolver._impls[-1]
    for theirs in ("nobody://text/1", "text", "/text", "file:///text", "", b"http://x/1", None, 1):
        assert not resolver.is_supported(theirs)
    assert resolver.is_supported("repo+/r//acme/text/1")
    assert resolver.is_supported("gs://bucket/text/1")
    assert resolver.is_supported("http://a b")
