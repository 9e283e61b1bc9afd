"""Handles of buckets, and what is refused, late or missing there; the rest is in the contract."""

import logging
import sys
import threading
import traceback
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from hub_tfx.errors import (
    ConfigError,
    FetchError,
    HandleError,
    HubTfxError,
    NotAModuleError,
    RefusedError,
    TransientFetchError,
    UnsafeArchiveError,
)
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.archive import Limits
from hub_tfx.store.bucket_filesystem import open_bucket, told_by
from hub_tfx.store.fetch import buckets
from hub_tfx.store.fetch.access import Access, using
from hub_tfx.store.fetch.buckets import BucketFetcher
from hub_tfx.store.fetch.hosts import HostPolicy
from hub_tfx.store.fetch.http import HttpFetcher

Server = Any
Answer = Any


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "work" / "module").mkdir(parents=True)
    return tmp_path / "work" / "module"


@pytest.fixture
def bucket(module_dir: Path) -> str:
    """A bucket with ``module``."""
    name = uuid.uuid4().hex
    fsspec.filesystem("memory").put(str(module_dir), f"/{name}/module", recursive=True)
    return name


def _fails(
    kind: type[HubTfxError], handle: str, into: Path, fetcher: BucketFetcher | None = None
) -> str:
    with pytest.raises(kind) as error:
        (fetcher or BucketFetcher()).fetch(ModuleHandle.parse(handle), into)
    assert "s3cret" not in "".join(traceback.format_exception(error.value))
    assert handle in str(error.value)
    assert [p for p in into.parent.iterdir() if p != into] == []
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "authority", "path", "version"),
    [
        ("gs://Models/a b/words/3/", "Models", "/a b/words", 3),
        ("S3://models/m.tar.gz", "models", "/m.tar.gz", None),
        ("s3://models", "models", "", None),
        ("abfss://box@acc.dfs.core.windows.net/m", "box@acc.dfs.core.windows.net", "/m", None),
        ("hdfs://node:8020/m", "node:8020", "/m", None),
        ("hdfs:///m", "", "/m", None),
    ],
)
def test_the_handles_of_buckets(text: str, authority: str, path: str, version: int | None) -> None:
    handle = ModuleHandle.parse(text)
    assert (handle.authority, handle.path, handle.version) == (authority, path, version)
    assert ModuleHandle.parse(handle.url) == handle
    assert str(handle) == handle.url
    assert not handle.may_hold_secret


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("s3://key:s3cret@bucket/m", "credentials come from"),
        ("s3://key@bucket/m", "credentials come from"),
        ("abfs://box:s3cret@account/m", "credentials come from"),
        ("az://box/m?sig=s3cret", "credentials come from"),
        ("gs:///m", "names no bucket: give gs://bucket/name"),
        ("gs://b/../m", "'..' in the name"),
        ("gs://b/a//m", "an empty part"),
        ("gs://b/./m", "an empty part"),
        ("gs://b/a\\b", "rename the object"),
        ("gs://b/a\x1bb", "rename the object"),
        ("gs://b/a#1", "rename the object"),
        ("gs://b/caf\udce9", "not UTF-8"),
    ],
)
def test_what_is_no_handle_of_a_bucket(text: str, why: str) -> None:
    with pytest.raises(HandleError) as error:
        ModuleHandle.parse(text)
    assert why in str(error.value)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("key", ["../x", "../../x", "assets/../../x", "/x", "a//x", "./x"])
def test_names_that_lead_elsewhere_are_refused_before_anything_is_copied(
    key: str, bucket: str, into: Path
) -> None:
    root = f"/{bucket}/module"
    MemoryFileSystem.store[f"{root}/{key}"] = MemoryFileSystem.store[f"{root}/saved_model.pb"]
    try:
        message = _fails(UnsafeArchiveError, f"memory://{bucket}/module", into)
    finally:
        del MemoryFileSystem.store[f"{root}/{key}"]
    assert message.endswith("rename the object in the bucket")
    assert list(into.iterdir()) == []


def test_limits_hold_before_anything_is_copied(bucket: str, into: Path) -> None:
    for limits in (Limits(members=1), Limits(total_bytes=1)):
        fetcher = BucketFetcher(limits=limits)
        _fails(UnsafeArchiveError, f"memory://{bucket}/module", into, fetcher)
        assert list(into.iterdir()) == []


def test_a_folder_that_is_not_a_module_is_not_copied(bucket: str, into: Path) -> None:
    message = _fails(NotAModuleError, f"memory://{bucket}/module/variables", into)
    assert "give the folder that does" in message
    _fails(NotAModuleError, f"memory://{bucket}", into)


def test_a_name_that_only_begins_as_the_modules_is_another(bucket: str, into: Path) -> None:
    assert "nothing at that name" in _fails(FetchError, f"memory://{bucket}/mod", into)


@pytest.mark.parametrize("slow", ["find", "open"])
def test_a_store_that_does_not_answer_is_given_up(
    slow: str, bucket: str, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(MemoryFileSystem, slow, lambda *_, **__: over.wait(60))
    fetcher = BucketFetcher(total_timeout_s=0.1)
    message = _fails(TransientFetchError, f"memory://{bucket}/module", into, fetcher)
    assert "not complete after 0.1 s" in message
    over.set()


@pytest.mark.parametrize(
    ("error", "kind", "why"),
    [
        (PermissionError("Forbidden"), FetchError, "may not be read: Forbidden; check"),
        (RuntimeError("at https://h/x?sig=s3cret"), TransientFetchError, r"at https://h/x?…"),
        (FileNotFoundError("x"), FetchError, "nothing at that name"),
    ],
)
def test_what_libraries_raise_is_told_in_one_line_without_secrets(
    error: Exception,
    kind: type[HubTfxError],
    why: str,
    bucket: str,
    into: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(MemoryFileSystem, "find", fail)
    assert why in _fails(kind, f"memory://{bucket}/module", into)


def test_an_object_that_changes_during_the_copy_is_noticed(
    bucket: str, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = MemoryFileSystem.find

    def grown(self: Any, *arguments: Any, **keywords: Any) -> Any:
        found = find(self, *arguments, **keywords)
        return {name: {**info, "size": info["size"] + 1} for name, info in found.items()}

    monkeypatch.setattr(MemoryFileSystem, "find", grown)
    message = _fails(TransientFetchError, f"memory://{bucket}/module", into)
    assert "changed during the copy" in message


@pytest.mark.parametrize(
    ("scheme", "library", "extra"),
    [("s3", "s3fs", "s3"), ("gs", "gcsfs", "gcs"), ("az", "adlfs", "az"), ("abfs", "adlfs", "az")],
)
def test_a_library_that_is_missing_is_named_by_its_extra(
    scheme: str, library: str, extra: str, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)
    message = _fails(ConfigError, f"{scheme}://bucket/m", into)
    assert f"pip install 'hub-tfx[{extra}]'" in message


def test_a_store_that_is_not_configured_is_an_error(
    into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account of Azure is given by adlfs' own variables."""
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_CONNECTION_STRING"):
        monkeypatch.delenv(name, raising=False)
    message = _fails(ConfigError, "az://container/m", into)
    assert "cannot be reached as this machine is set up" in message
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    assert type(open_bucket("az://container/m")[0]).__module__ == "adlfs.spec"


def test_a_policy_knows_buckets_by_their_urls(bucket: str, into: Path) -> None:
    handle = f"memory://{bucket}/module"
    with using(Access(HostPolicy(deny=("memory://*",)))):
        assert "is denied" in _fails(RefusedError, handle, into)
    with using(Access(HostPolicy(allow=("gs://models",)))):
        assert "not among the allowed" in _fails(RefusedError, handle, into)
    with using(Access(HostPolicy(allow=(f"memory://{bucket}",)))):
        BucketFetcher().fetch(ModuleHandle.parse(handle), into)


def test_requests_of_the_libraries_are_not_logged(
    bucket: str, into: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = MemoryFileSystem.find

    def talkative(*arguments: Any, **keywords: Any) -> Any:
        logging.getLogger("botocore.auth").debug("StringToSign: %s", "s3cret")
        return find(*arguments, **keywords)

    monkeypatch.setattr(MemoryFileSystem, "find", talkative)
    caplog.set_level(logging.DEBUG)
    BucketFetcher().fetch(ModuleHandle.parse(f"memory://{bucket}/module"), into)
    assert "s3cret" not in caplog.text
    with buckets._QUIET, buckets._QUIET:
        assert not logging.getLogger("botocore.auth").isEnabledFor(logging.ERROR)
    assert logging.getLogger("botocore").level == logging.NOTSET


def test_a_long_text_of_a_library_is_cut() -> None:
    assert len(told_by(RuntimeError("x" * 9999))) == 300
    assert told_by(RuntimeError()) == "RuntimeError"


def test_a_store_that_knows_objects_by_nothing_vouches_for_nothing(bucket: str) -> None:
    assert BucketFetcher().entity_tag(ModuleHandle.parse(f"memory://{bucket}/module")) == ""


# --- TF Hub's uncompressed protocol -------------------------------------------------------------


@pytest.fixture
def as_gs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has gs:// stand for the memory of this process."""
    opened = buckets.open_bucket
    monkeypatch.setattr(
        buckets, "open_bucket", lambda url: opened(url.replace("gs://", "memory://"))
    )


def _server_of(server: Server, answer: Answer, body: bytes, status: int = 303) -> str:
    page = answer(body=b"<!DOCTYPE html><title>A module</title>")
    return str(server.on("/acme/text/1", page, answer(status, body)))


@pytest.mark.usefixtures("as_gs")
def test_a_server_may_name_the_directory_in_a_bucket(
    bucket: str, server: Server, answer: Answer, module_dir: Path, into: Path
) -> None:
    url = _server_of(server, answer, f"gs://{bucket}/module\n".encode())
    HttpFetcher().fetch(ModuleHandle.parse(url), into)
    assert Manifest.of_directory(into) == Manifest.of_directory(module_dir)
    formats = [target.partition("=")[2] for target in server.targets]
    assert formats == ["compressed", "uncompressed"]


def test_the_tag_of_a_page_does_not_vouch_for_the_directory_in_a_bucket(
    server: Server, answer: Answer
) -> None:
    page = answer(body=b"<!DOCTYPE html>" + bytes(600), headers={"ETag": '"1"'})
    url = server.on("/acme/text/1", page)
    for query in ("", "?lang=de"):
        assert HttpFetcher().entity_tag(ModuleHandle.parse(f"{url}{query}")) == ""


@pytest.mark.usefixtures("as_gs")
@pytest.mark.parametrize(
    ("load_format", "asked"),
    [("UNCOMPRESSED", ["uncompressed"]), ("COMPRESSED", ["compressed"])],
)
def test_the_variable_of_tf_hub_says_which_form_is_asked_for(
    load_format: str,
    asked: list[str],
    bucket: str,
    server: Server,
    answer: Answer,
    into: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TFHUB_MODEL_LOAD_FORMAT", load_format)
    url = server.on("/acme/text/1", answer(404))
    with pytest.raises(FetchError, match=r"TFHUB_MODEL_LOAD_FORMAT=UNCOMPRESSED|404"):
        HttpFetcher().fetch(ModuleHandle.parse(url), into)
    assert [target.partition("=")[2] for target in server.targets] == asked


@pytest.mark.usefixtures("as_gs")
@pytest.mark.parametrize(
    "body", [b"s3://bucket/module", b"file:///etc", b"/etc", b"gs://b/../x", b"\xff", b"g" * 5000]
)
def test_a_location_that_is_not_in_gs_is_not_taken(
    body: bytes, server: Server, answer: Answer, into: Path
) -> None:
    url = _server_of(server, answer, body)
    with pytest.raises((NotAModuleError, FetchError), match="check the handle"):
        HttpFetcher().fetch(ModuleHandle.parse(url), into)
    assert list(into.iterdir()) == []


@pytest.mark.usefixtures("as_gs")
def test_what_is_wrong_in_the_bucket_names_both(
    bucket: str, server: Server, answer: Answer, into: Path
) -> None:
    url = _server_of(server, answer, f"gs://{bucket}/none".encode())
    with pytest.raises(FetchError, match=f"^{url}: gs://{bucket}/none: there is nothing"):
        HttpFetcher().fetch(ModuleHandle.parse(url), into)
