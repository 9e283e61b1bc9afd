"""Who may ask, what may be asked, and what is written down of it."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hubs import COMPRESSED, ask, serving

from hub_tfx.web.access_log import redacted
from hub_tfx.web.guard import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    MAX_PATH_BYTES,
    MAX_QUERY_BYTES,
    OPEN_PATHS,
)
from hub_tfx.web.headers import SECURITY

TOKENS = {"READERS": "a-token-of-readers", "ANN": "a-token-of-ann-1"}
PATH = f"/acme/words/3?{COMPRESSED}"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "access.log"


@pytest.fixture(scope="module")
def closed(repository: Path, log: Path) -> Iterator[str]:
    """URL of a server that wants a token."""
    index = log.with_name("index")
    origins = ("https://pages.example",)
    with serving(repository, index, log, tokens=TOKENS, cors_origins=origins) as address:
        yield address


def line(log: Path, path: str) -> dict[str, object]:
    """The last line about a path, once it is there: it is written after the answer was sent."""
    while True:
        for text in reversed(log.read_text().splitlines()):
            if (found := json.loads(text))["path"] == path:
                return dict(found)
        time.sleep(0.01)


@pytest.mark.parametrize(
    "given",
    [
        "Bearer a-token-of-readers",
        "bearer a-token-of-ann-1",
        "Basic " + base64.b64encode(b"anybody:a-token-of-readers").decode(),
    ],
)
def test_a_token_opens_everything(given: str, closed: str) -> None:
    assert ask(closed, PATH, Authorization=given).status == 200


@pytest.mark.parametrize(
    "given",
    [
        *("", "Bearer", "Bearer ", "Bearer x", "Basic !", "Basic eDp5", "a-token-of-readers"),
        *("Bearer a-token-of-reader", "Bearer READERS", "Digest a-token-of-readers"),
    ],
)
def test_everything_else_is_refused(given: str, closed: str) -> None:
    for path in (PATH, "/", "/-/metrics", "/-/nothing", "/acme.json"):
        answer = ask(closed, path, Authorization=given)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith('Bearer realm="hub-tfx", Basic')


def test_whoever_watches_needs_no_token(closed: str) -> None:
    assert [ask(closed, path).status for path in OPEN_PATHS] == [200, 200]


def test_answers_to_those_with_a_token_are_not_for_shared_caches(closed: str) -> None:
    answer = ask(closed, PATH, Authorization="Bearer a-token-of-readers")
    assert answer.headers["cache-control"].startswith("private")


def test_pages_of_an_origin_that_is_named_may_read(closed: str) -> None:
    origin = "https://pages.example"
    asked = {"Origin": origin, "Access_Control_Request_Method": "GET"}
    assert ask(closed, PATH, "OPTIONS", **asked).headers["access-control-allow-origin"] == origin
    answer = ask(closed, "/-/healthz", Origin=origin)
    assert answer.headers["access-control-allow-origin"] == origin
    assert "Repr-Digest" in answer.headers["access-control-expose-headers"]
    other = ask(closed, "/-/healthz", Origin="https://evil.example")
    assert "access-control-allow-origin" not in other.headers


def test_nobody_else_may(url: str) -> None:
    answer = ask(url, "/-/healthz", Origin="https://pages.example")
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("path", ["/", "/nothing/at/all", PATH, "/-/metrics", "/-/healthz"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_every_answer_has_the_security_headers(path: str, method: str, url: str) -> None:
    answer = ask(url, path, method)
    for name, value in SECURITY.items():
        assert answer.headers[name.lower()] == value


def test_a_line_is_written_for_each_answer(closed: str, log: Path) -> None:
    token = "Bearer a-token-of-readers"
    asked = f"/acme/words@stable?{COMPRESSED}&sig=abc"
    answer = ask(closed, asked, Authorization=token, User_Agent="me\x9b31m")
    ask(closed, "/%1b%0a%e2%80%ae/x")
    found = line(log, "/acme/words@stable")
    assert found["query"] == f"{COMPRESSED}&…=…"
    assert (found["status"], found["bytes"]) == (302, len(answer.body))
    assert (found["token"], found["method"]) == ("READERS", "GET")
    assert line(log, "/\x1b\n\u202e/x")["status"] == 401
    text = log.read_text()
    assert "a-token-of" not in text
    assert text.isascii()
    assert text.replace("\n", "").isprintable()


def test_a_log_that_was_moved_away_begins_again(closed: str, log: Path) -> None:
    ask(closed, "/-/healthz")
    line(log, "/-/healthz")
    log.rename(log.with_suffix(".1"))
    log.touch()
    ask(closed, "/-/readyz")
    assert line(log, "/-/readyz")["status"] == 200


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", ""),
        ("tf-hub-format=compressed", "tf-hub-format=compressed"),
        ("token=abc&q=a b", "…=…&q=a+b"),
        ("secret", "…=…"),
        ("q=%1b%ff", "q=%1B%EF%BF%BD"),
    ],
)
def test_values_that_may_be_secrets_are_not_logged(query: str, shown: str) -> None:
    assert redacted(query) == shown


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/" + "a" * MAX_PATH_BYTES, {}, 414),
        ("/?q=" + "a" * MAX_QUERY_BYTES, {}, 414),
        ("/", {"Host": 'evil"><script>'}, 400),
        ("/", {"Host": "a@b"}, 400),
        ("/", {"Content-Length": str(MAX_BODY_BYTES + 1)}, 413),
        ("/", {"X-Long": "a" * MAX_HEADER_BYTES}, 431),
    ],
)
def test_what_is_too_much(path: str, headers: dict[str, str], status: int, url: str) -> None:
    assert ask(url, path, **headers).status == status


def test_headers_that_never_end_are_cut_off(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub_tfx.web.server._HEADERS_S", 0.2)
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")
        assert slow.recv(1) == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
def test_methods_that_an_address_does_not_take(method: str, url: str) -> None:
    for path in (PATH, "/-/healthz", "/-/openapi.json"):
        answer = ask(url, path, method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
