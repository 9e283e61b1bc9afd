"""TensorFlow Hub's hosting protocol, as it goes over the wire."""

import base64
import hashlib
import subprocess
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from hubs import COMPRESSED, Answer, ask, serving

from hub_tfx.repository.layout import ARCHIVE
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import open_storage
from hub_tfx.repository.versions import read_version

PATH = f"/acme/words/3?{COMPRESSED}"


def content(repository: Path, number: int = 3) -> bytes:
    return (repository / f"acme/words/{number}" / ARCHIVE).read_bytes()


def one_line(answer: Answer) -> str:
    """The text of an answer that a program prints."""
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.count("\n") == 1
    return answer.text.rstrip("\n")


def test_the_archive_of_a_version(url: str, repository: Path) -> None:
    answer = ask(url, PATH)
    assert (answer.status, answer.body) == (200, content(repository))
    sha256 = hashlib.sha256(answer.body)
    version = read_version(open_storage(repository), ModuleName("acme", "words"), 3)
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["etag"] == f'"{sha256.hexdigest()}"'
    encoded = base64.b64encode(sha256.digest()).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{encoded}:"
    assert answer.headers["hub-tfx-digest"] == version.digest
    assert answer.headers["content-type"] == "application/gzip"
    assert parsedate_to_datetime(answer.headers["last-modified"]).tzinfo is not None


def test_head_tells_the_same_without_the_body(url: str) -> None:
    whole, head = ask(url, PATH), ask(url, PATH, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert {**head.headers, "date": ""} == {**whole.headers, "date": ""}


def test_a_slash_at_the_end_changes_nothing(url: str, repository: Path) -> None:
    assert ask(url, f"/acme/words/3/?{COMPRESSED}").body == content(repository)


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=10-", 10, None), ("bytes=-7", -7, None), ("Bytes= 3-3", 3, 4)],
)
def test_a_part_of_it(
    wanted: str, start: int, stop: int | None, url: str, repository: Path
) -> None:
    answer, whole = ask(url, PATH, Range=wanted), content(repository)
    assert (answer.status, answer.body) == (206, whole[start:stop])
    first = start % len(whole)
    last = first + len(answer.body) - 1
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"


def test_several_parts_come_as_multipart(url: str, repository: Path) -> None:
    answer, whole = ask(url, PATH, Range="bytes=0-4, 10-11,-3"), content(repository)
    kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
    assert (answer.status, kind) == (206, "multipart/byteranges")
    assert answer.headers["content-length"] == str(len(answer.body))
    *parts, end = answer.body.split(f"\r\n--{boundary}".encode())[1:]
    assert end == b"--\r\n"
    assert [part.partition(b"\r\n\r\n")[2] for part in parts] == [
        whole[:5],
        whole[10:12],
        whole[-3:],
    ]
    assert f"Content-Range: bytes 10-11/{len(whole)}".encode() in parts[1]


def test_a_part_beyond_the_end(url: str, repository: Path) -> None:
    answer = ask(url, PATH, Range="bytes=999999-")
    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers["content-range"] == f"bytes */{len(content(repository))}"


@pytest.mark.parametrize("header", ["If-None-Match", "If-Modified-Since"])
def test_what_the_client_has_is_not_sent_again(header: str, url: str) -> None:
    known = ask(url, PATH).headers
    value = known["etag"] if header == "If-None-Match" else known["last-modified"]
    answer = ask(url, PATH, **{header: value})
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == known["etag"]


def test_a_part_of_something_else_is_not_sent(url: str, repository: Path) -> None:
    etag = ask(url, PATH).headers["etag"]
    assert ask(url, PATH, Range="bytes=0-1", If_Range=etag).status == 206
    assert ask(url, PATH, Range="bytes=0-1", If_Range='"other"').body == content(repository)
    assert ask(url, PATH, If_Match='"other"').status == 412


@pytest.mark.parametrize(
    ("reference", "number"),
    [("acme/words", 3), ("acme/words@latest", 3), ("acme/words@stable", 2)],
)
def test_names_and_aliases_lead_to_a_version_for_now(reference: str, number: int, url: str) -> None:
    answer = ask(url, f"/{reference}?x=%2F&{COMPRESSED}")
    assert answer.status == 302
    assert answer.headers["location"] == f"/acme/words/{number}?x=%2F&{COMPRESSED}"
    assert answer.headers["cache-control"] == "no-store"


def test_tensorflow_lite(url: str) -> None:
    answer = ask(url, "/acme/words/2?lite-format=tflite")
    assert (answer.status, answer.body) == (200, b"TFL3" * 100)
    assert ask(url, "/acme/words?lite-format=tflite").status == 302


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/acme/words/1", 410, "acme/words/1 is yanked: trained on the test rows."),
        (
            "/acme/wrods/1",
            404,
            "There is no module acme/wrods. The nearest: acme/words, acme/bare.",
        ),
        (
            "/acme/words/9",
            404,
            "acme/words has no version 9. The nearest: acme/words/1, acme/words/2, acme/words/3.",
        ),
        (
            "/acme/words@prod",
            404,
            "acme/words has no alias 'prod'. The nearest: acme/words@latest, acme/words@stable.",
        ),
        ("/acme/words/stable", 404, "'stable' is not the number of a version"),
        ("/acme", 404, "'acme' is not the name of a module"),
        ("/acme/bare/1", 404, "acme/bare/1 was published without the archive"),
    ],
)
def test_what_is_not_there_is_told_in_a_line(path: str, status: int, told: str, url: str) -> None:
    answer = ask(url, f"{path}?{COMPRESSED}")
    assert answer.status == status
    assert one_line(answer).startswith(told)


@pytest.mark.parametrize(
    "query", ["tf-hub-format=zip", "tf-hub-format=", f"{COMPRESSED}&{COMPRESSED}", "lite-format=x"]
)
def test_a_format_that_there_is_not(query: str, url: str) -> None:
    answer = ask(url, f"/acme/words/3?{query}")
    assert answer.status == 400
    assert one_line(answer).startswith("Ask for one format of a module. Use one of: tf-hub-format=")


def test_a_module_without_the_variant(url: str) -> None:
    answer = ask(url, "/acme/words/3?lite-format=tflite")
    assert answer.status == 404
    assert "without a TensorFlow Lite variant" in one_line(answer)


def test_only_google_storage_is_read_in_place(url: str) -> None:
    answer = ask(url, "/acme/words/3?tf-hub-format=uncompressed")
    assert answer.status == 406
    assert "is not in gs://" in one_line(answer)


def test_curl_gets_the_archive(url: str, repository: Path, tmp_path: Path) -> None:
    """By the line of docs/serving.md."""
    target = tmp_path / "words.tar.gz"
    command = ["curl", "-fsSL", "-o", str(target), f"{url}/acme/words?{COMPRESSED}"]
    subprocess.run(command, check=True)
    assert target.read_bytes() == content(repository)


def test_only_so_many_archives_are_sent_at_a_time(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path / "index", max_downloads=0) as address:
        answer = ask(address, PATH)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert one_line(answer).startswith("The server sends 0 at a time")
