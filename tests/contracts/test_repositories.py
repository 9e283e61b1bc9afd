"""Every storage of ours keeps the contract of storages."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from overlapping import Runs
from published import published

from hub_tfx.repository.storage import Storage, open_storage
from hub_tfx.repository.verify import verify
from hub_tfx.testing.repositories import StorageContract


class Repository(StorageContract):
    """What runs of a pipeline rely on, too."""

    def test_of_two_runs_that_overlap_one_publishes(self, storage: Storage, tmp_path: Path) -> None:
        runs = Runs(tmp_path, storage.url)
        runs.publish("base", spans="0")
        with ThreadPoolExecutor(2) as pool:
            outcomes = [made.outcome for made in pool.map(runs.publish, ("a", "b"))]
        assert sorted(outcomes) == ["already published", "published"]
        assert (runs.numbers, runs.stable) == ([1, 2], 2)


class TestDisk(Repository):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return open_storage(tmp_path / "repository")


class TestS3(Repository):
    """S3, as moto's server answers."""

    @pytest.fixture
    def storage(self, s3: str, monkeypatch: pytest.MonkeyPatch) -> Storage:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        bucket = f"bucket-{uuid.uuid4().hex}"
        s3fs.S3FileSystem().mkdir(bucket)
        return open_storage(f"s3://{bucket}/modules")


@pytest.mark.engines
class TestGcs(Repository):
    """Google Cloud Storage, as fake-gcs-server answers."""

    @pytest.fixture
    def storage(self, gcs: str, monkeypatch: pytest.MonkeyPatch) -> Storage:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs)
        monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon", "project": "test"})
        bucket = f"bucket-{uuid.uuid4().hex}"
        storage = open_storage(f"gs://{bucket}/modules")
        fsspec.filesystem("gs").mkdir(bucket)
        return storage

    def test_a_module_lies_where_tensorflow_reads_it(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        """By the uncompressed hosting protocol, which is for gs:// alone."""
        published(tmp_path, storage.url, b"one")
        assert storage.names("acme/words/1/module") == ["saved_model.pb", "variables"]
        assert verify(storage).damages == ()
