"""What hub_tfx.store.fetch.base.Fetcher promises, over every fetcher there is."""

import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub_tfx.errors import (
    ArchiveError,
    FetchError,
    HandleError,
    NotAModuleError,
    UnsafeArchiveError,
)
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.archive import pack
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.fetch import base
from hub_tfx.store.fetch.base import Fetcher, fetcher_for, register
from hub_tfx.store.fetch.http import HttpFetcher
from hub_tfx.store.fetch.local import LocalFetcher
from hub_tfx.testing import FakeFetcher, minimal_module, serve


@dataclass(frozen=True)
class Case:
    """A fetcher, and how to have it find a file or a directory under a name."""

    fetcher: Fetcher
    handle: Callable[[str], str]
    takes_archives: bool = True


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the modules that are fetched lie."""
    minimal_module(tmp_path / "place" / "module")
    return tmp_path / "place"


def _local_directory(place: Path) -> Iterator[Case]:
    yield Case(LocalFetcher(), lambda name: str(place / name), takes_archives=False)


def _local_archive(suffix: str) -> Callable[[Path], Iterator[Case]]:
    def case(place: Path) -> Iterator[Case]:
        pack(place / "module", place / "packed")
        if suffix == ".tar":
            with tarfile.open(place / "module.tar", "w") as tar:
                tar.add(place / "module", ".")
        else:
            shutil.copy(place / "packed", place / f"module{suffix}")
        yield Case(LocalFetcher(), lambda name: f"file://{place / name}{suffix}")

    return case


def _http(suffix: str) -> Callable[[Path], Iterator[Case]]:
    def case(place: Path) -> Iterator[Case]:
        pack(place / "module", place / "module.tar.gz")
        names = ("module", "damaged", "hostile")
        with serve({f"/{name}{suffix}": place / f"{name}.tar.gz" for name in names}) as url:
            fetcher = HttpFetcher(attempts=2, max_wait_s=0.01)
            host = url.replace("http://", "http://ann:s3cret@")
            yield Case(fetcher, lambda name: f"{host}/{name}{suffix}?token=s3cret")

    return case


def _fake(place: Path) -> Iterator[Case]:
    handle = "fake://modules/{}".format
    fetcher = FakeFetcher({handle("module"): place / "module"})
    yield Case(fetcher, handle, takes_archives=False)


_CASES = {
    "local directory": _local_directory,
    "local .tar": _local_archive(".tar"),
    "local .tar.gz": _local_archive(".tar.gz"),
    "local .tgz": _local_archive(".tgz"),
    "http": _http(""),
    "http archive": _http(".tar.gz"),
    "fake": _fake,
}


@pytest.fixture(params=_CASES)
def case(request: pytest.FixtureRequest, place: Path) -> Iterator[Case]:
    yield from _CASES[request.param](place)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "work" / "module").mkdir(parents=True)
    return tmp_path / "work" / "module"


def test_it_brings_the_files_and_clears_up(case: Case, into: Path, place: Path) -> None:
    case.fetcher.fetch(ModuleHandle.parse(case.handle("module")), into)
    assert Manifest.of_directory(into) == Manifest.of_directory(place / "module")
    assert [path.name for path in into.parent.iterdir()] == ["module"]


def test_it_brings_them_again(case: Case, into: Path, place: Path) -> None:
    for _ in range(2):
        case.fetcher.fetch(ModuleHandle.parse(case.handle("module")), into)
        assert Manifest.of_directory(into) == Manifest.of_directory(place / "module")
        shutil.rmtree(into)
        into.mkdir()


def test_what_is_not_there_is_a_fetch_error_that_names_the_handle(case: Case, into: Path) -> None:
    handle = ModuleHandle.parse(case.handle("missing"))
    with pytest.raises(FetchError) as error:
        case.fetcher.fetch(handle, into)
    assert str(handle) in str(error.value)
    assert "s3cret" not in str(error.value)
    assert list(into.iterdir()) == []


def test_the_cache_takes_it(case: Case, tmp_path: Path, place: Path) -> None:
    cache = ModuleCache(tmp_path / "cache", fetcher=case.fetcher)
    resolved = cache.resolve(case.handle("module"))
    assert resolved.digest == Manifest.of_directory(place / "module").digest
    assert cache.resolve(case.handle("module")).cache_hit


def _archive_path(case: Case, place: Path, name: str) -> Path:
    handle = ModuleHandle.parse(case.handle(name))
    return Path(handle.path) if handle.is_local else place / f"{name}.tar.gz"


def test_a_damaged_archive_is_told_and_leaves_nothing(case: Case, into: Path, place: Path) -> None:
    if not case.takes_archives:
        pytest.skip("takes no archives")
    whole = _archive_path(case, place, "module").read_bytes()
    _archive_path(case, place, "damaged").write_bytes(whole[: len(whole.rstrip(b"\0")) - 9])
    handle = ModuleHandle.parse(case.handle("damaged"))
    with pytest.raises(ArchiveError) as error:
        case.fetcher.fetch(handle, into)
    assert str(error.value).startswith(f"{handle}: ")
    assert [path.name for path in into.parent.rglob("*")] == ["module"]


def test_a_hostile_archive_is_refused_and_leaves_nothing(
    case: Case, into: Path, place: Path
) -> None:
    if not case.takes_archives:
        pytest.skip("takes no archives")
    with tarfile.open(_archive_path(case, place, "hostile"), "w") as tar:
        tar.addfile(tarfile.TarInfo("fine"))
        tar.addfile(tarfile.TarInfo("../../escaped"))
    handle = ModuleHandle.parse(case.handle("hostile"))
    with pytest.raises(UnsafeArchiveError, match=r"escaped") as error:
        case.fetcher.fetch(handle, into)
    assert str(error.value).startswith(f"{handle}: ")
    assert [path.name for path in into.parent.rglob("*")] == ["module"]


def test_a_directory_that_is_no_module_is_not_copied(into: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotAModuleError, match="empty is not a module"):
        LocalFetcher().fetch(ModuleHandle.parse(str(tmp_path / "empty")), into)


# --- The registry -------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_fetchers", {})


def test_every_scheme_has_its_fetcher() -> None:
    assert isinstance(fetcher_for(ModuleHandle.parse("/a")), LocalFetcher)
    assert isinstance(fetcher_for(ModuleHandle.parse("http://h/a")), HttpFetcher)
    assert isinstance(fetcher_for(ModuleHandle.parse("HTTPS://h/a")), HttpFetcher)


def test_a_scheme_can_be_added_and_replaced(place: Path, tmp_path: Path) -> None:
    with pytest.raises(HandleError, match=r"fake:// handles; there are file, http, https$"):
        fetcher_for(ModuleHandle.parse("fake://h/a"))
    fetcher = FakeFetcher({"fake://h/a": place / "module", "https://h/a": place / "module"})
    register(("fake", "HTTPS"), fetcher)
    assert ModuleCache(tmp_path / "cache").resolve("fake://h/a").size_bytes > 0
    assert ModuleCache(tmp_path / "cache").resolve("https://h/a").size_bytes > 0
    assert len(fetcher.calls) == 2
    register("other", fetcher)
    with pytest.raises(HandleError, match="fake, file, http, https, other"):
        fetcher_for(ModuleHandle.parse("unknown://h/a"))
