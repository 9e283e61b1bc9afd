"""Every storage of ours keeps the contract of storages."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from overlapping import Runs
from published import published
from pushes import vectors_in, write_embeddings

from hub_tfx.embed.generations import latest_generation, list_generations
from hub_tfx.embed.output import push
from hub_tfx.embed.output.push import push_generation
from hub_tfx.errors import InputError
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


class BucketContract(Repository):
    """What a bucket does besides: it copies by itself, and holds embeddings in generations."""

    def test_what_is_in_the_same_store_is_copied_by_it(self, storage: Storage) -> None:
        storage.create("a/1.json", b"one")
        assert storage.put("b/2.json", f"{storage.url}/a/1.json")
        assert storage.read("b/2.json") == b"one"

    def test_generations_are_pushed_found_and_removed(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        root = f"{storage.url.rpartition('/')[0]}/embeddings"
        outputs = [write_embeddings(tmp_path / str(n), [[float(n)]]) for n in range(3)]
        assert [push_generation(root, output).generation.number for output in outputs] == [1, 2, 3]
        assert not push_generation(root, outputs[2]).created
        assert [generation.number for generation in list_generations(root)] == [2, 3]
        there = open_storage(root)
        assert there.names("") == ["-", "2", "3", "latest.json"]
        assert there.read("latest.json") == there.read("3/generation.json")


class TestDisk(Repository):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return open_storage(tmp_path / "repository")


class TestS3(BucketContract):
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

    @pytest.mark.slow
    def test_embeddings_of_the_same_store_never_come_here(
        self, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bucket = storage.url.rpartition("/")[0]
        output = write_embeddings(tmp_path / "out", [[1.0], [2.0]])
        made = push_generation(f"{bucket}/first", output).uri
        monkeypatch.setattr(push, "verified_copy", None)
        assert push_generation(f"{bucket}/second", made).generation.source == made
        assert vectors_in(f"{bucket}/second") == [[1.0], [2.0]]
        lost = next(k for k, _ in open_storage(made).files("") if k.startswith("embeddings"))
        open_storage(made).replace(lost, lambda old: b"cut" if old != b"cut" else None)
        with pytest.raises(InputError, match="has changed since it was written"):
            push_generation(f"{bucket}/third", made)
        assert latest_generation(f"{bucket}/third") is None


@pytest.mark.engines
class TestGcs(BucketContract):
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
