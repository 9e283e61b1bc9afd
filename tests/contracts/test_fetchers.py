"""Every fetcher of ours keeps the contract of fetchers."""

import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest
from cards import write_card

from hub_tfx.errors import UnsafeArchiveError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.fetch import RepositoryFetcher
from hub_tfx.repository.publish import publish
from hub_tfx.store.archive import pack
from hub_tfx.store.fetch.buckets import BucketFetcher
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


class TestBucket(FetcherContract):
    """A bucket as fsspec keeps one in memory; directories, and archives."""

    @pytest.fixture(params=["", ".tar.gz"])
    def source(self, place: Path, request: pytest.FixtureRequest) -> Source:
        pack(place / "module", place / "module.tar.gz")
        bucket = f"memory://{uuid.uuid4().hex}"
        filesystem, _ = fsspec.core.url_to_fs(bucket)
        return _bucket_source(filesystem, bucket, place, request.param)


@pytest.fixture
def s3_bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an empty bucket at moto's server."""
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"bucket-{uuid.uuid4().hex}"
    s3fs.S3FileSystem().mkdir(bucket)
    return bucket


class TestS3(FetcherContract):
    """S3, as moto's server answers."""

    @pytest.fixture(params=["", ".tar.gz"])
    def source(self, place: Path, request: pytest.FixtureRequest, s3_bucket: str) -> Source:
        pack(place / "module", place / "module.tar.gz")
        filesystem = fsspec.filesystem("s3")
        return _bucket_source(filesystem, f"s3://{s3_bucket}", place, request.param)


def _put(bucket: str, name: str) -> None:
    fsspec.filesystem("s3").call_s3("put_object", Bucket=bucket, Key=name, Body=b"")


def test_objects_whose_names_lead_elsewhere_are_refused(s3_bucket: str, tmp_path: Path) -> None:
    names = ["../../x", "variables/../../../x", "/etc/x", "assets//x", "assets/./x", "a\\b"]
    for number, name in enumerate(names):
        into = tmp_path / str(number) / "module"
        into.mkdir(parents=True)
        _put(s3_bucket, f"{number}/saved_model.pb")
        _put(s3_bucket, f"{number}/{name}")
        with pytest.raises(UnsafeArchiveError, match="rename the object in the bucket"):
            BucketFetcher().fetch(ModuleHandle.parse(f"s3://{s3_bucket}/{number}"), into)
        assert list(into.iterdir()) == []


def test_empty_objects_for_folders_are_passed_over(s3_bucket: str, tmp_path: Path) -> None:
    for name in ("m/", "m/saved_model.pb", "m/variables/", "m/assets/", "m/assets/words.txt"):
        _put(s3_bucket, name)
    BucketFetcher().fetch(ModuleHandle.parse(f"s3://{s3_bucket}/m"), tmp_path)
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {"saved_model.pb", "assets/words.txt"}


def test_the_tag_of_a_bucket_is_another_as_soon_as_an_object_is(s3_bucket: str) -> None:
    handle, tags = ModuleHandle.parse(f"s3://{s3_bucket}/m"), list[str]()
    for change in (lambda: _put(s3_bucket, "m/saved_model.pb"), lambda: _put(s3_bucket, "m/x")):
        change()
        tags += [BucketFetcher().entity_tag(handle)]
    fsspec.filesystem("s3").pipe_file(f"{s3_bucket}/m/x", b"y")
    tags += [BucketFetcher().entity_tag(handle)]
    fsspec.filesystem("s3").pipe_file(f"{s3_bucket}/m/x", b"z")
    tags += [BucketFetcher().entity_tag(handle), BucketFetcher().entity_tag(handle)]
    assert [len(tag) for tag in tags] == [64] * 5
    assert len(set(tags)) == 4
    assert BucketFetcher().entity_tag(ModuleHandle.parse(f"s3://{s3_bucket}/none")) == ""


@pytest.mark.engines
class TestGcs(FetcherContract):
    """Google Cloud Storage, as fake-gcs-server answers."""

    @pytest.fixture(params=["", ".tar.gz"])
    def source(
        self,
        place: Path,
        request: pytest.FixtureRequest,
        gcs: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Source:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs)
        monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon", "project": "test"})
        pack(place / "module", place / "module.tar.gz")
        bucket = f"bucket-{uuid.uuid4().hex}"
        filesystem = fsspec.filesystem("gs")
        filesystem.mkdir(bucket)
        return _bucket_source(filesystem, f"gs://{bucket}", place, request.param)


def _bucket_source(filesystem: Any, bucket: str, place: Path, ending: str) -> Source:
    """The modules of a place, in a bucket."""
    fetcher, handle = BucketFetcher(), f"{bucket}/{{}}{ending}".format
    if not ending:
        filesystem.put(str(place / "module"), f"{bucket}/module", recursive=True)
        return Source(fetcher, handle)
    filesystem.put_file(str(place / f"module{ending}"), handle("module"))
    return _Uploading(fetcher, handle, lambda name: place / f"{name}{ending}", filesystem)


@dataclass(frozen=True)
class _Uploading(Source):
    """A source whose archives are brought to a bucket when they are asked for."""

    filesystem: Any = None

    def fetch(self, name: str, into: Path) -> None:
        self._upload(name)
        super().fetch(name, into)

    def _upload(self, name: str) -> None:
        assert self.archive is not None
        if self.archive(name).exists():
            self.filesystem.put_file(str(self.archive(name)), self.handle(name))
