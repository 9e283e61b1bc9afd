"""Downloads that broke off are resumed where the file is the same, and told without secrets."""

import logging
import os
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from hub_tfx.errors import HubTfxError, NotAModuleError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.archive import pack
from hub_tfx.store.fetch import progress
from hub_tfx.store.fetch.http import HttpFetcher
from hub_tfx.store.fetch.progress import Download, LogLines, showing

Server = Any
Answer = Any
_FETCHER = HttpFetcher(connect_timeout_s=2, read_timeout_s=2, attempts=3, max_wait_s=0.01)
ETAG = '"v1"'


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "work" / "module").mkdir(parents=True)
    return tmp_path / "work" / "module"


@pytest.fixture
def body(tmp_path: Path, module_dir: Path) -> bytes:
    """An archive that does not pack well, so that a part of it is more than its head."""
    (module_dir / "assets").mkdir()
    (module_dir / "assets" / "noise").write_bytes(os.urandom(4000))
    pack(module_dir, tmp_path / "big.tgz")
    return (tmp_path / "big.tgz").read_bytes()


def _half(answer: Answer, body: bytes, etag: str = ETAG) -> Any:
    half = body[: len(body) // 2]
    return answer(body=half, headers={"Content-Length": str(len(body)), "ETag": etag})


def _rest(answer: Answer, body: bytes, start: int | None = None, **headers: str) -> Any:
    start = len(body) // 2 if start is None else start
    said = f"bytes {start}-{len(body) - 1}/{len(body)}"
    return answer(206, body[start:], {"Content-Range": said, "ETag": ETAG} | headers)


def _fetch(url: str, into: Path) -> None:
    _FETCHER.fetch(ModuleHandle.parse(url), into)
    assert [p.name for p in into.parent.iterdir()] == ["module"]


def test_the_rest_is_asked_for_and_the_archive_is_whole(
    server: Server, answer: Answer, body: bytes, module_dir: Path, into: Path
) -> None:
    url = server.on("/m.tgz", _half(answer, body), _rest(answer, body))
    _fetch(url, into)
    assert Manifest.of_directory(into) == Manifest.of_directory(module_dir)
    first, second = server.headers
    assert "range" not in first
    assert (second["range"], second["if-range"]) == (f"bytes={len(body) // 2}-", ETAG)


def test_a_file_that_has_changed_comes_as_a_whole(
    server: Server, answer: Answer, body: bytes, module_dir: Path, into: Path
) -> None:
    url = server.on("/m.tgz", _half(answer, b"x" * 9999), answer(body=body))
    with pytest.raises(NotAModuleError):  # The first part is not even one of an archive.
        _fetch(url, into)
    url = server.on("/m.tgz", _half(answer, body[:-50] + b"y" * 50), answer(body=body))
    _fetch(url, into)
    assert Manifest.of_directory(into) == Manifest.of_directory(module_dir)


@pytest.mark.parametrize("etag", ["", 'W/"v1"'])
def test_without_a_strong_validator_it_begins_again(
    etag: str, server: Server, answer: Answer, body: bytes, into: Path
) -> None:
    url = server.on("/m.tgz", _half(answer, body, etag), answer(body=body))
    _fetch(url, into)
    assert "range" not in server.headers[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": 0},
        {"start": 700},
        {"Content-Range": ""},
        {"Content-Range": "bytes x"},
        {"Content-Range": "items 1-2/3"},
        {"ETag": '"v2"'},
    ],
    ids=str,
)
def test_another_range_or_file_than_was_asked_for_is_refused(
    wrong: dict[str, Any], server: Server, answer: Answer, body: bytes, into: Path
) -> None:
    url = server.on("/m.tgz", _half(answer, body), _rest(answer, body, **wrong))
    with pytest.raises(NotAModuleError, match="another range"):
        _fetch(url, into)
    assert list(into.iterdir()) == []
    assert len(server.targets) == 2


def test_a_range_of_a_longer_file_is_refused(
    server: Server, answer: Answer, body: bytes, into: Path
) -> None:
    half = len(body) // 2
    longer = {"Content-Range": f"bytes {half}-{len(body)}/{len(body) + 1}"}
    url = server.on("/m.tgz", _half(answer, body), _rest(answer, body, **longer))
    with pytest.raises(NotAModuleError, match="another range"):
        _fetch(url, into)


def test_a_range_that_cannot_be_had_begins_again(
    server: Server, answer: Answer, body: bytes, into: Path
) -> None:
    url = server.on("/m.tgz", _half(answer, body), answer(416), answer(body=body))
    _fetch(url, into)
    assert [("range" in headers) for headers in server.headers] == [False, True, False]


def test_a_damaged_archive_is_fetched_as_a_whole(
    server: Server, answer: Answer, body: bytes, into: Path
) -> None:
    damaged = answer(body=body[:-60] + bytes(60), headers={"ETag": ETAG})
    url = server.on("/m.tgz", damaged, answer(body=body, headers={"ETag": ETAG}))
    _fetch(url, into)
    assert "range" not in server.headers[1]


# --- What is said meanwhile ---------------------------------------------------------------------


def test_no_log_of_any_library_has_the_secrets_of_a_url(
    server: Server,
    other_server: Server,
    answer: Answer,
    body: bytes,
    into: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def malformed(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 302 Found\r\nno colon\r\n")
        handler.wfile.write(b"Location: /x?sig=s3cret\r\nContent-Length: 0\r\n\r\n")

    def broken(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n bad\r\nalso bad\r\n\r\n")

    caplog.set_level(logging.DEBUG)
    there = other_server.on("/m.tgz", _half(answer, body), answer(act=broken), answer(body=body))
    url = server.on(
        "/m",
        answer(503),
        answer(302, headers={"Location": f"{there}?X-Amz-Signature=s3cret"}),
    )
    _fetch(url.replace("//", "//ann:s3cret@") + "?token=s3cret", into)
    server.on("/n", answer(act=malformed))
    with pytest.raises(HubTfxError):
        _FETCHER.fetch(ModuleHandle.parse(f"{server.url}/n?token=s3cret"), into)
    assert "urllib3" in {record.name.partition(".")[0] for record in caplog.records}
    assert server.targets[0] == "/m?token=s3cret"
    assert "s3cret" not in caplog.text


def test_a_download_is_told_in_the_log_at_intervals(
    server: Server, answer: Answer, body: bytes, into: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="hub_tfx")
    url = server.on("/m.tgz", answer(body=body))
    with showing(LogLines(every_s=0)):
        _fetch(f"{url}?token=s3cret", into)
    told = [record.getMessage() for record in caplog.records if record.name == progress.__name__]
    assert told[-1].startswith(f"{url}?token=…: {len(body) / 1000:,.1f} kB of ")
    assert "left" in told[-1]
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("download", "line"),
    [
        (Download("m", 500, 2000, 0, 0.0), "m: 500 B of 2.0 kB, 50 B/s, 0:30 left"),
        (Download("m", 3_000_000, None, 1_000_000, 0.0), "m: 3.0 MB, 200.0 kB/s"),
        (Download("m", 5, 5_000_000_000, 5, 0.0), "m: 5 B of 5.0 GB, 0 B/s"),
    ],
)
def test_bytes_rate_and_time_left(download: Download, line: str) -> None:
    assert download.line(10.0) == line
