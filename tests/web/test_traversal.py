"""Paths that climb, in every encoding, on every address: nothing of the machine is ever sent."""

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hubs import COMPRESSED

CLIMBING = (
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%252e%252e%252f%252e%252e%252fetc%252fpasswd",
    "..%5c..%5cetc%5cpasswd",
    "..\\..\\etc\\passwd",
    "%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd",
    "%uff0e%uff0e/etc/passwd",
    "....//....//etc/passwd",
    "..;/..;/etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    "file:///etc/passwd",
    "acme/words/3/../../../../../etc/passwd",
    "acme/words/3%00.json",
    "acme/words/3%0d%0aX-Evil:%201",
    "acme/words/3/version.json",
    "acme/words/3/module/saved_model.pb",
    "acme/words/-/aliases/stable/0001.json",
    "-/blobs",
    "-/repository.json",
    "-/spellings/acme/words.json",
    "acme/words/3/",
    "acme/words/",
    "acme/words/..%2f3",
    "acme%2fwords%2f3",
    "%ff%fe/%80/1",
    "acme/%E2%80%AE/1",
    "acme/words/03",
    "acme/words/99999999999999999999",
    "acme/words/%D9%A3",
    ".",
    "..",
)
PREFIXES = ("/", "/-/", "/-/static/", "/-/versions/", "/-/lineage/", "/-/reports/", "/acme/")
QUERIES = ("", f"?{COMPRESSED}", "?lite-format=tflite", "?tf-hub-format=uncompressed")
ABSOLUTE = ("http://evil.example/acme", "*", "//evil.example/", "/\t", "/ HTTP/1.0 /")


def raw(url: str, target: str, *, method: str = "GET") -> bytes:
    """All that a server answers to a target that is sent as it is written."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        head = f"{method} {target} HTTP/1.1\r\nHost: hub.example\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode("latin-1"))
        answer = b""
        while chunk := connection.recv(1 << 16):
            answer += chunk
    return answer


def check(answer: bytes, asked: str, repository: Path) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    assert status < 500, asked
    assert b"root:" not in body, asked
    if (location := re.search(rb"\r\nlocation: (\S*)", head)) is not None:
        assert re.match(rb"(http://hub\.example)?/[^/\\]", location[1]), asked
    assert b"x-evil" not in head.lower(), asked
    assert str(repository).encode() not in answer, asked
    assert b'"beside"' not in body, asked
    assert not body.startswith(b"\x08"), asked  # saved_model.pb


@pytest.mark.parametrize("prefix", PREFIXES)
def test_no_address_leads_out(prefix: str, url: str, repository: Path) -> None:
    for climbing in CLIMBING:
        for query in QUERIES:
            check(raw(url, f"{prefix}{climbing}{query}"), f"{prefix}{climbing}{query}", repository)


def test_targets_that_are_not_paths(url: str, repository: Path) -> None:
    for target in ABSOLUTE:
        check(raw(url, target), target, repository)
        check(raw(url, target, method="OPTIONS"), target, repository)


@pytest.mark.parametrize("query", QUERIES)
def test_no_folder_is_listed(query: str, url: str, repository: Path) -> None:
    for folder in ("/-/", "/-/blobs/", "/acme/words/3/module/", "/acme/words/-/"):
        answer = raw(url, f"{folder}{query}")
        if b" 307 " in answer[:20]:  # To the same without the slash.
            answer = raw(url, f"{folder[:-1]}{query}")
        assert answer.split(b" ", 2)[1] in (b"404", b"400"), folder
