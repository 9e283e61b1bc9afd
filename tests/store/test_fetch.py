"""Which fetcher serves which scheme, and what a local one refuses."""

from pathlib import Path

import pytest

from hub_tfx.errors import HandleError, NotAModuleError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.fetch import base
from hub_tfx.store.fetch.base import fetcher_for, register
from hub_tfx.store.fetch.http import HttpFetcher
from hub_tfx.store.fetch.local import LocalFetcher
from hub_tfx.testing import FakeFetcher


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_fetchers", {})


def test_every_scheme_has_its_fetcher() -> None:
    assert isinstance(fetcher_for(ModuleHandle.parse("/a")), LocalFetcher)
    assert isinstance(fetcher_for(ModuleHandle.parse("http://h/a")), HttpFetcher)
    assert isinstance(fetcher_for(ModuleHandle.parse("HTTPS://h/a")), HttpFetcher)


def test_a_scheme_can_be_added_and_replaced(module_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(HandleError, match=r"fake:// handles; there are file, http, https$"):
        fetcher_for(ModuleHandle.parse("fake://h/a"))
    fetcher = FakeFetcher({"fake://h/a": module_dir, "https://h/a": module_dir})
    register(("fake", "HTTPS"), fetcher)
    assert ModuleCache(tmp_path / "cache").resolve("fake://h/a").size_bytes > 0
    assert ModuleCache(tmp_path / "cache").resolve("https://h/a").size_bytes > 0
    assert len(fetcher.calls) == 2
    register("other", fetcher)
    with pytest.raises(HandleError, match="fake, file, http, https, other"):
        fetcher_for(ModuleHandle.parse("unknown://h/a"))


def test_a_directory_that_is_not_a_module_is_not_copied(tmp_path: Path) -> None:
    for name in ("empty", "into"):
        (tmp_path / name).mkdir()
    with pytest.raises(NotAModuleError, match="empty is not a module"):
        LocalFetcher().fetch(ModuleHandle.parse(str(tmp_path / "empty")), tmp_path / "into")
