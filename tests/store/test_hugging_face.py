"""Model repositories of Hugging Face, against an imitation of its interface on the loopback."""

import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hub_tfx.errors import (
    ConfigError,
    DigestMismatchError,
    FetchError,
    HandleError,
    HubTfxError,
    NotAModuleError,
    RefusedError,
    UnsafeArchiveError,
)
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.archive import Limits
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.fetch.access import Access, using
from hub_tfx.store.fetch.hugging_face import HuggingFaceFetcher
from hub_tfx.store.fetch.places import HuggingFaceRepo, hugging_face_repo
from hub_tfx.store.fetch.progress import Download, LogLines, showing

Server = Any
Answer = Any
COMMIT = "c0ffee" * 6 + "0000"
API = "/api/models/acme/words"
_FETCHER = HuggingFaceFetcher(connect_timeout_s=2, read_timeout_s=2, attempts=2, max_wait_s=0.01)


@pytest.mark.parametrize(
    ("text", "repo"),
    [
        ("hf://acme/words", HuggingFaceRepo("acme/words")),
        ("hf://Acme/W.1_2@v1.0", HuggingFaceRepo("Acme/W.1_2", "v1.0")),
        ("hf://acme/words@refs%2Fpr%2F1/", HuggingFaceRepo("acme/words", "refs/pr/1")),
        ("hf://acme/words@dev/a/b", HuggingFaceRepo("acme/words", "dev", "a/b")),
        ("hf://acme/words/1", HuggingFaceRepo("acme/words", "main", "1")),
        ("https://huggingface.co/acme/words", HuggingFaceRepo("acme/words")),
        ("https://hf.co/acme/words/tree/2", HuggingFaceRepo("acme/words", "2")),
        ("https://huggingface.co/a/b/tree/x/y%20z", HuggingFaceRepo("a/b", "x", "y z")),
    ],
)
def test_the_handles_of_a_repository(text: str, repo: HuggingFaceRepo) -> None:
    handle = ModuleHandle.parse(text)
    assert hugging_face_repo(handle) == repo
    assert ModuleHandle.parse(handle.url) == handle
    assert str(handle) == handle.url


@pytest.mark.parametrize(
    "text",
    [
        "hf://",
        "hf://acme",
        "hf://acme/",
        "hf://../words",
        "hf://acme/..",
        "hf://acme/words@",
        "hf://acme/words/../x",
        "hf://acme/words/a//b",
        "hf://acme/words?x=1",
        "hf://user:s3cret@acme/words",
    ],
)
def test_what_names_no_repository(text: str) -> None:
    with pytest.raises(HandleError, match=r"give hf://owner/repository|percent-encode") as error:
        ModuleHandle.parse(text)
    assert "s3cret" not in str(error.value)


class Imitation:
    """A repository with the files of a folder."""

    def __init__(self, server: Server, answer: Answer, folder: Path, below: str = ""):
        self._server, self._answer = server, answer
        self.entries = []
        for file in (p for p in sorted(folder.rglob("*")) if p.is_file()):
            self.add(f"{below}{file.relative_to(folder).as_posix()}", file.read_bytes())
        server.on(f"{API}/revision/main", answer(body=json.dumps({"sha": COMMIT}).encode()))
        self.list_files(below.rstrip("/"))

    def add(self, path: str, content: bytes, *, lfs: bool = False) -> None:
        sha1 = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": sha1}
        if lfs:
            entry |= {"oid": "0" * 40, "lfs": {"oid": hashlib.sha256(content).hexdigest()}}
        self.entries.append(entry)
        self._server.on(f"/acme/words/resolve/{COMMIT}/{path}", self._answer(body=content))

    def list_files(self, below: str = "") -> None:
        first, rest = self.entries[:1], self.entries[1:]
        tree = f"{API}/tree/{COMMIT}" + (f"/{below}" if below else "")
        link = f'<{self._server.url}{tree}?recursive=1&cursor=x>; rel="next"'
        self._server.on(
            tree,
            self._answer(body=json.dumps(first).encode(), headers={"Link": link}),
            self._answer(body=json.dumps(rest).encode()),
        )


@pytest.fixture
def imitation(
    server: Server, answer: Answer, module_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Imitation:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return Imitation(server, answer, module_dir)


def _resolve(tmp_path: Path, handle: str = "hf://acme/words", fetcher: Any = _FETCHER) -> Any:
    return ModuleCache(tmp_path / "cache", fetcher=fetcher).resolve(handle)


def test_the_files_of_the_module_come_from_one_commit_and_nothing_else_does(
    imitation: Imitation, server: Server, module_dir: Path, tmp_path: Path
) -> None:
    for other in ("README.md", ".gitattributes", "pytorch_model.bin", "onnx/model.onnx"):
        imitation.add(other, b"x")
    imitation.entries.append({"type": "directory", "path": "variables", "oid": "0" * 40, "size": 0})
    imitation.list_files()
    module = _resolve(tmp_path)
    assert module.digest == Manifest.of_directory(module_dir).digest
    assert server.targets[:3] == [
        f"{API}/revision/main",
        f"{API}/tree/{COMMIT}?recursive=1",
        f"{API}/tree/{COMMIT}?recursive=1&cursor=x",
    ]
    assert all(target.startswith(f"/acme/words/resolve/{COMMIT}/") for target in server.targets[3:])
    assert _FETCHER.commit(ModuleHandle.parse("hf://acme/words")) == COMMIT


def test_a_commit_that_was_fetched_is_not_fetched_again(
    imitation: Imitation, server: Server, tmp_path: Path
) -> None:
    cache = ModuleCache(tmp_path / "cache", fetcher=_FETCHER)
    assert not cache.resolve("hf://acme/words", new_bytes="refuse").cache_hit
    count = len(server.targets)
    assert cache.resolve("hf://acme/words", new_bytes="refuse").cache_hit
    assert server.targets[count:] == [f"{API}/revision/main"]
    assert COMMIT in next((tmp_path / "cache").glob("hub_tfx/handles/*.json")).read_text()


def test_the_files_are_shown_as_one_download_of_which_nothing_counts_twice(
    imitation: Imitation, server: Server, answer: Answer, tmp_path: Path
) -> None:
    class Kept(LogLines):
        seen: ClassVar[list[Download]] = []

        def ended(self, download: Download) -> None:
            self.seen.append(download)

    imitation.add("variables/large", b"x" * 600)
    imitation.list_files()
    short = answer(body=b"x" * 300, headers={"Content-Length": "600"})
    server.on(f"/acme/words/resolve/{COMMIT}/variables/large", short, answer(body=b"x" * 600))
    with showing(Kept()):
        module = _resolve(tmp_path)
    assert [(d.done, d.expected) for d in Kept.seen] == [(module.size_bytes, module.size_bytes)]


def test_a_folder_of_a_repository_is_a_module(
    imitation: Imitation, server: Server, answer: Answer, module_dir: Path, tmp_path: Path
) -> None:
    Imitation(server, answer, module_dir, "tf/saved/")
    module = _resolve(tmp_path, "hf://acme/words@main/tf/saved")
    assert module.digest == Manifest.of_directory(module_dir).digest


def test_large_files_come_from_elsewhere_without_the_token_and_are_hashed(
    imitation: Imitation,
    server: Server,
    other_server: Server,
    answer: Answer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    imitation.add("variables/large", b"weights", lfs=True)
    imitation.list_files()
    there = other_server.on("/lfs/1", answer(body=b"weights"))
    path = f"/acme/words/resolve/{COMMIT}/variables/large"
    server.on(path, answer(302, headers={"Location": f"{there}?sig=x"}))
    module = _resolve(tmp_path)
    assert (module.path / "variables" / "large").read_bytes() == b"weights"
    assert {headers["authorization"] for headers in server.headers} == {"Bearer s3cret"}
    assert "authorization" not in other_server.headers[0]


@pytest.mark.parametrize("lfs", [True, False])
def test_a_file_with_other_bytes_than_the_commit_names_is_refused(
    lfs: bool, imitation: Imitation, server: Server, answer: Answer, tmp_path: Path
) -> None:
    imitation.add("assets/words.txt", b"good", lfs=lfs)
    imitation.list_files()
    server.on(f"/acme/words/resolve/{COMMIT}/assets/words.txt", answer(body=b"evil"))
    with pytest.raises(DigestMismatchError, match=r"assets/words\.txt is not the file"):
        _resolve(tmp_path)
    assert not [*(tmp_path / "cache").rglob("words.txt")]


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("variables/../../../x", r"'\.\.' in its path"),
        ("assets/a\\b", "backslash"),
        ("assets/A", "the same as"),
        ("variables/", "named like a directory"),
    ],
)
def test_names_that_lead_elsewhere_are_refused_before_anything_is_downloaded(
    path: str, rule: str, imitation: Imitation, server: Server, tmp_path: Path
) -> None:
    imitation.add("assets/a", b"x")
    imitation.add(path, b"x")
    imitation.list_files()
    with pytest.raises(UnsafeArchiveError, match=rule):
        _resolve(tmp_path)
    assert not [target for target in server.targets if "/resolve/" in target]


def test_a_file_that_does_not_end_is_stopped_at_its_size(
    imitation: Imitation, server: Server, answer: Answer, tmp_path: Path
) -> None:
    imitation.add("variables/large", b"x" * 10, lfs=True)
    imitation.list_files()
    endless = answer(body=b"x" * 999, headers={"Content-Length": ""})
    server.on(f"/acme/words/resolve/{COMMIT}/variables/large", endless)
    with pytest.raises(UnsafeArchiveError, match="more than 10 bytes"):
        _resolve(tmp_path)


@pytest.mark.parametrize(
    "address", ["mirror.example", "ftp://mirror.example", "https://", "https://u:s3cret@mirror"]
)
def test_an_endpoint_that_is_not_a_server_is_an_error(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(ConfigError, match="HF_ENDPOINT is not the address of a server: set") as e:
        _resolve(tmp_path)
    assert "s3cret" not in str(e.value)


def test_limits_hold_before_anything_is_downloaded(
    imitation: Imitation, server: Server, tmp_path: Path
) -> None:
    for limits, why in (
        (Limits(members=1), "more than 1 files"),
        (Limits(total_bytes=10), "trust"),
    ):
        imitation.list_files()
        with pytest.raises(UnsafeArchiveError, match=why):
            _resolve(tmp_path, fetcher=HuggingFaceFetcher(limits=limits))
    assert not [target for target in server.targets if "/resolve/" in target]


def test_a_repository_without_a_saved_model_is_not_a_module(
    imitation: Imitation, tmp_path: Path
) -> None:
    imitation.entries = [e for e in imitation.entries if e["path"] != "saved_model.pb"]
    imitation.add("tf/saved_model.pb", b"x")
    imitation.list_files()
    with pytest.raises(NotAModuleError, match="give the folder that does"):
        _resolve(tmp_path)


def test_a_list_that_leads_to_another_host_is_refused(
    imitation: Imitation, server: Server, other_server: Server, answer: Answer, tmp_path: Path
) -> None:
    for there in (f"{other_server.url}/tree", "https://:1/", "gs://b/../x"):
        link = {"Link": f'<{there}>; rel="next"'}
        server.on(f"{API}/tree/{COMMIT}", answer(body=b"[]", headers=link))
        with pytest.raises(FetchError, match="list of files does not end: check"):
            _resolve(tmp_path)
    assert other_server.targets == []


@pytest.mark.parametrize("tree", [b"{}", b"[1]", b'[{"type": "file", "path": "saved_model.pb"}]'])
def test_a_list_that_cannot_be_read_is_an_error(
    tree: bytes, imitation: Imitation, server: Server, answer: Answer, tmp_path: Path
) -> None:
    server.on(f"{API}/tree/{COMMIT}", answer(body=tree))
    with pytest.raises(FetchError, match="list of files cannot be read: check"):
        _resolve(tmp_path)


@pytest.mark.parametrize("sha", [b'{"sha": "main"}', b'{"sha": 1}', b"[]"])
def test_a_revision_that_is_no_commit_is_an_error(
    sha: bytes, imitation: Imitation, server: Server, answer: Answer, tmp_path: Path
) -> None:
    server.on(f"{API}/revision/main", answer(body=sha))
    with pytest.raises(FetchError, match="does not say which commit it is: check"):
        _resolve(tmp_path)


def test_what_needs_a_token_says_so(
    imitation: Imitation, server: Server, answer: Answer, tmp_path: Path
) -> None:
    server.on(f"{API}/revision/main", answer(401))
    with pytest.raises(HubTfxError, match="401 Unauthorized; set HF_TOKEN"):
        _resolve(tmp_path)


def test_a_token_is_not_sent_to_an_endpoint_without_tls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example")
    monkeypatch.setenv("OF_A_TEAM", "s3cret")
    with using(Access(token_env="OF_A_TEAM")), pytest.raises(RefusedError, match="without TLS"):
        _resolve(tmp_path)
