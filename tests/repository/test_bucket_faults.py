"""A repository in a bucket whose publishers die, and whose garbage is collected meanwhile."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from published import card, module

from hub_tfx.errors import ConfigError, HandleError, OutputError, TransientFetchError
from hub_tfx.repository.buckets import BucketStorage
from hub_tfx.repository.garbage import collect_garbage
from hub_tfx.repository.layout import ARCHIVE, WORK
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.publish import PublishedVersion, publish
from hub_tfx.repository.storage import open_storage
from hub_tfx.repository.verify import verify
from hub_tfx.repository.versions import numbers

NAME = ModuleName("acme", "words")
_WRITES = ("pipe_file", "put_file", "cp_file", "rm_file")


class KilledError(BaseException):
    """What ends a process, for a test that is to live."""


@pytest.fixture
def bucket() -> str:
    """A bucket, as fsspec keeps one in memory."""
    return f"memory://{uuid.uuid4().hex}"


def publisher(folder: Path, bucket: str) -> Callable[[bytes], PublishedVersion]:
    text = card(folder)
    made = {w: module(folder / w.decode(), weights=w) for w in (b"old", b"new")}
    return lambda weights: publish(made[weights], bucket, str(NAME), card=text)


def dying(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Has a process die in the bucket's write of this number, of which nothing is seen."""
    left = after

    def request(write: Any, *arguments: Any, **more: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise KilledError
        return write(*arguments, **more)

    filesystem = type(fsspec.filesystem("memory"))
    for name in _WRITES:
        write = getattr(filesystem, name)
        monkeypatch.setattr(
            filesystem, name, lambda *a, write=write, **more: request(write, *a, **more)
        )


def test_wherever_a_publisher_dies_there_is_the_old_state_or_the_new_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = set[tuple[int, ...]]()
    for after in range(100):
        bucket = f"memory://{uuid.uuid4().hex}"
        publish_bytes = publisher(tmp_path, bucket)
        publish_bytes(b"old")
        storage = open_storage(bucket)
        with monkeypatch.context() as patched:
            dying(patched, after)
            try:
                publish_bytes(b"new")
            except KilledError:
                pass
            else:
                break
        states.add(tuple(numbers(storage, NAME)))
        beside = {f"acme/words/2/{name}" for name in (ARCHIVE, "module.json", "README.md")}
        damaged = {damage.key for damage in verify(storage).damages}
        assert damaged <= beside  # Of a version that our own handles resolve.
        assert publish_bytes(b"new").version == 2
        assert verify(storage).damages == ()
        assert collect_garbage(storage, execute=True).files == ()
        assert collect_garbage(storage, execute=True, forget=True).size_bytes == 0
        assert list(storage.files(WORK)) == []
    assert after > 8
    assert states == {(1,), (1, 2)}


def test_a_publisher_waits_for_no_collector_and_says_so(tmp_path: Path, bucket: str) -> None:
    publish_bytes = publisher(tmp_path, bucket)
    publish_bytes(b"old")
    storage = BucketStorage(bucket)

    def meanwhile() -> set[str]:
        with pytest.raises(OutputError, match=r"garbage is being collected by .*@.* since 20"):
            publish_bytes(b"new")
        with pytest.raises(OutputError, match="garbage is being collected"):
            storage.collect(set, execute=True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.collect(meanwhile, execute=True)
    assert publish_bytes(b"new").version == 2


def test_the_note_of_a_dead_collector_is_forgotten_when_a_person_says_so(
    tmp_path: Path, bucket: str
) -> None:
    publish_bytes = publisher(tmp_path, bucket)
    publish_bytes(b"old")
    storage = BucketStorage(bucket)
    storage.create(f"{WORK}/collector.json", b'{"who": "ann@here", "when": "2026-01-01"}')
    with pytest.raises(OutputError, match=r"ann@here since 2026-01-01: .*--forget"):
        publish_bytes(b"new")
    collect_garbage(storage, execute=True, forget=True)
    assert publish_bytes(b"new").version == 2


def test_what_a_store_answers_is_one_error(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_bytes = publisher(tmp_path, bucket)
    filesystem = type(fsspec.filesystem("memory"))

    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(filesystem, "put_file", fail)
    failure: Exception = RuntimeError("slow\ndown")
    with pytest.raises(TransientFetchError, match="cannot be asked: slow down; check the network"):
        publish_bytes(b"old")
    failure = PermissionError("Access Denied")
    with pytest.raises(OutputError, match="cannot be written: Access Denied; check that"):
        publish_bytes(b"old")
    assert numbers(open_storage(bucket), NAME) == []


def test_a_store_that_overwrites_is_refused_before_anything_is_published(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some servers do, which take the condition and forget it."""
    filesystem = type(fsspec.filesystem("memory"))
    write = filesystem.pipe_file
    monkeypatch.setattr(
        filesystem, "pipe_file", lambda self, path, value, mode="": write(self, path, value)
    )
    with pytest.raises(OutputError, match="its store overwrites"):
        publisher(tmp_path, bucket)(b"old")
    assert numbers(open_storage(bucket), NAME) == []


@pytest.mark.parametrize(
    "url", ["s3://", "s3://key:secret@bucket", "s3://bucket?x", "ftp://h/r", "http://h/r", "az://c"]
)
def test_what_is_not_the_url_of_a_repository(url: str) -> None:
    with pytest.raises(HandleError) as error:
        open_storage(url)
    assert "secret" not in str(error.value)


def test_what_reaches_a_store_may_not_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", fail)
    with pytest.raises(ConfigError, match=r"is not installed: install it with .*hub-tfx\[s3\]"):
        open_storage("s3://bucket/r")
