"""Every fetcher of ours keeps the contract of fetchers."""

import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from cards import write_card

from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.fetch import RepositoryFetcher
from hub_tfx.repository.publish import publish
from hub_tfx.store.archive import pack
from hub_tfx.store.fetch.http import HttpFetcher
from hub_tfx.store.fetch.local import LocalFetcher
from hub_tfx.testing import FakeFetcher, serve
from hub_tfx.testing.fetchers import SECRET, FetcherContract, Source


class TestLocalDirectory(FetcherContract):
    @pytest.fixture
    def source(self, place: Path) -> Source:
        return Source(LocalFetcher(), lambda name: str(place / name))


class TestLocalArchive(FetcherContract):
    @pytest.fixture(params=[".tar", ".tar.gz", ".tgz"])
    def source(self, place: Path, request: pytest.FixtureRequest) -> Source:
        packed = place / f"module{request.param}"
        if request.param == ".tar":
            with tarfile.open(packed, "w") as tar:
                tar.add(place / "module", ".")
        else:
            pack(place / "module", packed)

        def archive(name: str) -> Path:
            return place / f"{name}{request.param}"

        return Source(LocalFetcher(), lambda name: f"file://{archive(name)}", archive)


class TestHttp(FetcherContract):
    @pytest.fixture(params=["", ".tar.gz"])
    def source(self, place: Path, request: pytest.FixtureRequest) -> Iterator[Source]:
        def archive(name: str) -> Path:
            return place / f"{name}.tar.gz"

        pack(place / "module", archive("module"))
        served = {f"/{n}{request.param}": archive(n) for n in ("module", "damaged", "hostile")}
        with serve(served) as url:
            host = url.replace("http://", f"http://ann:{SECRET}@")
            handle = f"{host}/{{}}{request.param}?token={SECRET}".format
            yield Source(HttpFetcher(attempts=2, max_wait_s=0.01), handle, archive)


class TestRepository(FetcherContract):
    """In a directory, and in a bucket, as fsspec keeps one in memory."""

    @pytest.fixture(params=["directory", "bucket"])
    def source(self, place: Path, request: pytest.FixtureRequest) -> Source:
        root = str(place / "r") if request.param == "directory" else f"memory://{uuid.uuid4().hex}"
        module = ResolvedModule.of_directory(place / "module")
        publish(module, root, "acme/module", card=write_card(place))
        return Source(RepositoryFetcher(), f"repo+{root}//acme/{{}}/1".format)


class TestFake(FetcherContract):
    @pytest.fixture
    def source(self, place: Path) -> Source:
        handle = "fake://modules/{}".format
        return Source(FakeFetcher({handle("module"): place / "module"}), handle)
