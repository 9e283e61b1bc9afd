"""Handles into a repository, through the cache: what is copied, pinned, and had without a net."""

import logging
import uuid
from pathlib import Path

import pytest
from published import published

from hub_tfx.errors import DigestMismatchError, FetchError, TransientFetchError
from hub_tfx.repository.buckets import BucketStorage
from hub_tfx.repository.changes import set_alias
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.publish import PublishedVersion
from hub_tfx.repository.storage import open_storage
from hub_tfx.store.cache import ModuleCache

NAME = ModuleName("acme", "words")


@pytest.fixture
def bucket() -> str:
    """A bucket, as fsspec keeps one in memory."""
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def in_bucket(tmp_path: Path, bucket: str) -> PublishedVersion:
    return published(tmp_path, bucket, b"one", aliases=["stable"])


def test_a_directory_is_taken_where_it_is(tmp_path: Path) -> None:
    made = published(tmp_path, tmp_path / "r", b"one")
    resolved = ModuleCache(tmp_path / "cache").resolve(made.handle)
    assert resolved.path == tmp_path / "r/acme/words/1/module"
    assert (resolved.handle, resolved.digest) == (made.handle, made.digest)
    assert not (tmp_path / "cache").exists()


def test_a_relative_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = published(tmp_path, tmp_path / "r", b"one")
    monkeypatch.chdir(tmp_path)
    assert ModuleCache("cache").resolve("repo+./r//acme/words@latest").handle == made.handle


def test_a_bucket_is_fetched_once(tmp_path: Path, bucket: str, in_bucket: PublishedVersion) -> None:
    cache = ModuleCache(tmp_path / "cache")
    first = cache.resolve(f"repo+{bucket}//acme/words@stable")
    assert (first.handle, first.digest) == (f"repo+{bucket}//acme/words/1", in_bucket.digest)
    assert not first.cache_hit
    assert cache.resolve(f"repo+{bucket}//acme/words/1").cache_hit
    assert [p.name for p in (tmp_path / "cache/hub_tfx/tmp").iterdir()] == []


def test_an_alias_is_followed_where_it_moves(
    tmp_path: Path, bucket: str, in_bucket: PublishedVersion
) -> None:
    cache = ModuleCache(tmp_path / "cache")
    alias = f"repo+{bucket}//acme/words@stable"
    assert cache.resolve(alias).digest == in_bucket.digest
    second = published(tmp_path, bucket, b"two", aliases=["stable"])
    assert cache.resolve(alias).digest == second.digest
    assert cache.resolve(alias).handle == second.handle
    set_alias(open_storage(bucket), NAME, "stable", 1, "back")
    assert cache.resolve(alias).digest == in_bucket.digest


def test_other_bytes_in_a_bucket_are_refused(
    tmp_path: Path, bucket: str, in_bucket: PublishedVersion
) -> None:
    storage = BucketStorage(bucket)
    for key, _ in list(storage.files("-/blobs")):
        storage._fs.pipe_file(storage._at(key), b"other")
    with pytest.raises(DigestMismatchError, match="has other bytes than were published"):
        ModuleCache(tmp_path / "cache").resolve(in_bucket.handle)
    for key, _ in list(storage.files("-/blobs")):
        storage.remove(key)
    with pytest.raises(DigestMismatchError, match="it is missing"):
        ModuleCache(tmp_path / "cache").resolve(in_bucket.handle)


@pytest.mark.parametrize("place", ["directory", "bucket"])
def test_a_pin_holds(tmp_path: Path, bucket: str, place: str) -> None:
    root = bucket if place == "bucket" else str(tmp_path / "r")
    made, other = (published(tmp_path, root, weights) for weights in (b"one", b"two"))
    cache = ModuleCache(tmp_path / "cache")
    assert cache.resolve(made.handle, digest=made.digest).digest == made.digest
    with pytest.raises(DigestMismatchError, match="is pinned"):
        cache.resolve(f"repo+{root}//acme/words", digest=made.digest)
    assert cache.resolve(f"repo+{root}//acme/words", digest=other.digest).handle == other.handle


def test_a_number_that_is_in_the_cache_needs_no_net(
    tmp_path: Path,
    bucket: str,
    in_bucket: PublishedVersion,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache = ModuleCache(tmp_path / "cache")
    cache.resolve(in_bucket.handle)

    def no_net(self: object, key: str) -> bytes:
        raise TransientFetchError("the store cannot be asked: try again later")

    monkeypatch.setattr(BucketStorage, "read", no_net)
    with caplog.at_level(logging.WARNING, "hub_tfx"):
        assert cache.resolve(in_bucket.handle).digest == in_bucket.digest
    assert "taken from the cache" in caplog.text
    with pytest.raises(TransientFetchError, match=r"@stable: the store cannot be asked"):
        cache.resolve(f"repo+{bucket}//acme/words@stable")


def test_a_bucket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="is not a repository"):
        ModuleCache(tmp_path / "cache").resolve("repo+memory://nothing/here//acme/words")
