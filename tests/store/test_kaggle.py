"""Models on Kaggle, against an imitation of its interface on the loopback."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from hub_tfx.errors import FetchError, HandleError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.fetch.access import Access, using
from hub_tfx.store.fetch.kaggle import KaggleFetcher
from hub_tfx.store.fetch.places import KaggleModel, kaggle_model

Server = Any
Answer = Any
API = "/api/v1/models/acme/words/tensorFlow2/base"
URL = "https://www.kaggle.com/models/acme/words/tensorFlow2/base"
_FETCHER = KaggleFetcher(connect_timeout_s=2, read_timeout_s=2, attempts=2, max_wait_s=0.01)


@pytest.fixture(autouse=True)
def kaggle(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("KAGGLE_API_ENDPOINT", server.url)
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return server


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("acme/words/frameworks/tensorFlow2/variations/base/versions/2", 2),
        ("acme/words/frameworks/tensorFlow2/variations/base", None),
        ("acme/words/tensorFlow2/base/2", 2),
        ("acme/words/tensorFlow2/base/", None),
    ],
)
@pytest.mark.parametrize("host", ["kaggle.com", "www.kaggle.com"])
def test_the_urls_of_a_model(host: str, path: str, version: int | None) -> None:
    handle = ModuleHandle.parse(f"https://{host}/models/{path}")
    assert kaggle_model(handle) == KaggleModel("acme", "words", "tensorFlow2", "base", version)


@pytest.mark.parametrize(
    "url",
    [
        "https://www.kaggle.com/models/acme/words",
        "https://www.kaggle.com/models/acme/../words/tensorFlow2/base",
        "https://www.kaggle.com/models/acme/words/tensorFlow2/base/2/more/and",
        "https://www.kaggle.com/models/acme/words/tensorFlow2/base/2?x=1",
        "http://www.kaggle.com/models/acme/words/tensorFlow2/base/2",
        "https://kaggle.com.example/models/acme/words/tensorFlow2/base/2",
        "gs://kaggle.com/models/acme/words/tensorFlow2/base/2",
    ],
)
def test_what_is_not_the_url_of_a_model(url: str, tmp_path: Path) -> None:
    assert kaggle_model(ModuleHandle.parse(url)) is None
    with pytest.raises(HandleError, match="not the URL of a model on Kaggle: give"):
        _FETCHER.fetch(ModuleHandle.parse(url), tmp_path)


def _resolve(url: str, tmp_path: Path) -> Any:
    return ModuleCache(tmp_path / "cache", fetcher=_FETCHER).resolve(url)


def test_the_archive_of_a_version_is_fetched_and_credentials_stay_with_kaggle(
    server: Server,
    other_server: Server,
    answer: Answer,
    archive: Path,
    module_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = other_server.on("/archive.tar.gz", answer(body=archive.read_bytes()))
    server.on(f"{API}/2/download", answer(302, headers={"Location": f"{storage}?sig=x"}))
    monkeypatch.setenv("KAGGLE_USERNAME", "ann")
    monkeypatch.setenv("KAGGLE_KEY", "s3cret")
    module = _resolve(f"{URL}/2", tmp_path)
    assert module.digest == Manifest.of_directory(module_dir).digest
    assert module.handle == f"{URL}/2"
    basic = "Basic " + base64.b64encode(b"ann:s3cret").decode()
    assert [headers.get("authorization") for headers in server.headers] == [basic]
    assert "authorization" not in other_server.headers[0]


def test_without_a_version_the_latest_is_asked_for(
    server: Server, answer: Answer, archive: Path, tmp_path: Path
) -> None:
    server.on(f"{API}/get", answer(body=json.dumps({"versionNumber": 7}).encode()))
    server.on(f"{API}/7/download", answer(body=archive.read_bytes()))
    _resolve(URL, tmp_path)
    assert server.targets == [f"{API}/get", f"{API}/7/download"]
    assert _FETCHER.entity_tag(ModuleHandle.parse(URL)) == "version 7"


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"versionNumber": "../7"}', b"<html>", b""])
def test_an_answer_without_a_version_is_an_error(
    body: bytes, server: Server, answer: Answer, tmp_path: Path
) -> None:
    server.on(f"{API}/get", answer(body=body))
    with pytest.raises(FetchError, match=r"kaggle\.com/models.*: check the handle"):
        _resolve(URL, tmp_path)


def test_what_needs_credentials_says_which(
    server: Server, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on(f"{API}/2/download", answer(403))
    with pytest.raises(FetchError, match="403 Forbidden; set KAGGLE_USERNAME and KAGGLE_KEY"):
        _resolve(f"{URL}/2", tmp_path)
    monkeypatch.setenv("KAGGLE_API_TOKEN", "one")
    monkeypatch.setenv("OF_A_TEAM", "two")
    for access in (Access(), Access(token_env="OF_A_TEAM")):
        with using(access), pytest.raises(FetchError):
            _resolve(f"{URL}/2", tmp_path)
    sent = [headers.get("authorization") for headers in server.headers]
    assert sent == [None, "Bearer one", "Bearer two"]
