"""What every fetcher promises, as tests: see ``hub_tfx.store.fetch.base.Fetcher``.

A fetcher of your own is tested by a subclass, which pytest collects::

    from hub_tfx.testing.fetchers import FetcherContract, Source

    class TestBucketFetcher(FetcherContract):
        @pytest.fixture
        def source(self, place):
            with my_bucket(place) as bucket:
                yield Source(BucketFetcher(), f"bucket://{bucket}/{{}}".format)
"""

import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub_tfx.errors import ArchiveError, FetchError, UnsafeArchiveError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.fetch.base import Fetcher
from hub_tfx.testing.modules import minimal_module

SECRET = "s3cret"
"""A word for passwords and tokens in handles, which no message may contain."""


@dataclass(frozen=True)
class Source:
    """A fetcher, and where it finds what.

    Attributes:
      fetcher: the fetcher under test.
      handle: name -> handle of the module of that name; with SECRET wherever a handle of this kind
        may hold a credential.
      archive: name -> the local file that such a handle points to; None for a fetcher that takes
        no archives.
    """

    fetcher: Fetcher
    handle: Callable[[str], str]
    archive: Callable[[str], Path] | None = None

    def fetch(self, name: str, into: Path) -> None:
        self.fetcher.fetch(self.parsed(name), into)

    def parsed(self, name: str) -> ModuleHandle:
        return ModuleHandle.parse(self.handle(name))


class FetcherContract:
    """The suite. Tests of archives are skipped for a fetcher that takes none."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        """A folder that holds the directory of a module, ``module``."""
        minimal_module(tmp_path / "place" / "module")
        return tmp_path / "place"

    @pytest.fixture
    def source(self, place: Path) -> Source:
        """The fetcher under test, which finds the files of ``place / "module"`` as ``module``."""
        raise NotImplementedError

    @pytest.fixture
    def into(self, tmp_path: Path) -> Path:
        """The directory that is given to a fetcher."""
        (tmp_path / "work" / "module").mkdir(parents=True)
        return tmp_path / "work" / "module"

    def test_it_fetches_the_files_and_clears_up(
        self, source: Source, into: Path, place: Path
    ) -> None:
        source.fetch("module", into)
        assert Manifest.of_directory(into) == Manifest.of_directory(place / "module")
        assert [path.name for path in into.parent.iterdir()] == ["module"]

    def test_it_fetches_them_again(self, source: Source, into: Path, place: Path) -> None:
        for _ in range(2):
            source.fetch("module", into)
            assert Manifest.of_directory(into) == Manifest.of_directory(place / "module")
            shutil.rmtree(into)
            into.mkdir()

    def test_a_missing_module_is_a_fetch_error_that_names_the_handle(
        self, source: Source, into: Path
    ) -> None:
        with pytest.raises(FetchError) as error:
            source.fetch("missing", into)
        assert str(source.parsed("missing")) in str(error.value)
        assert SECRET not in str(error.value)
        assert list(into.iterdir()) == []

    def test_the_cache_takes_it(self, source: Source, tmp_path: Path, place: Path) -> None:
        cache = ModuleCache(tmp_path / "cache", fetcher=source.fetcher)
        resolved = cache.resolve(source.handle("module"))
        assert resolved.digest == Manifest.of_directory(place / "module").digest
        assert cache.resolve(source.handle("module")).cache_hit

    def test_a_damaged_archive_is_an_error_and_leaves_nothing(
        self, source: Source, into: Path
    ) -> None:
        whole = _archive(source, "module").read_bytes()
        _archive(source, "damaged").write_bytes(whole[: len(whole.rstrip(b"\0")) - 9])
        with pytest.raises(ArchiveError) as error:
            source.fetch("damaged", into)
        assert str(error.value).startswith(f"{source.parsed('damaged')}: ")
        assert [path.name for path in into.parent.rglob("*")] == ["module"]

    def test_a_hostile_archive_is_refused_and_leaves_nothing(
        self, source: Source, into: Path
    ) -> None:
        with tarfile.open(_archive(source, "hostile"), "w") as tar:
            tar.addfile(tarfile.TarInfo("fine"))
            tar.addfile(tarfile.TarInfo("../../escaped"))
        with pytest.raises(UnsafeArchiveError, match="escaped") as error:
            source.fetch("hostile", into)
        assert str(error.value).startswith(f"{source.parsed('hostile')}: ")
        assert [path.name for path in into.parent.rglob("*")] == ["module"]


def _archive(source: Source, name: str) -> Path:
    if source.archive is None:
        pytest.skip("the fetcher takes no archives")
    return source.archive(name)
