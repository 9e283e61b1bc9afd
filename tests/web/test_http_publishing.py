"""Publishing by PUT, and reading meanwhile."""

import errno
import hashlib
import json
import socket
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hostile_modules import node, saved_model, write
from hubs import COMPRESSED, Answer, ask, serving
from published import CARD, module

from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import open_storage
from hub_tfx.repository.versions import aliases, numbers, read_version

TOKEN = "a-token-of-ann-1"
WORDS = ModuleName("acme", "words")
_READERS = 8


def packed(folder: Path, weights: bytes, card: str = CARD, mode: str = "w:gz") -> bytes:
    """What `tar -czf FILE README.md module` gives."""
    folder = folder / hashlib.sha256(weights).hexdigest()[:12]
    made, file = module(folder / "module", weights=weights), BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as tar:  # type: ignore[call-overload]
        header = tarfile.TarInfo("README.md")
        header.size = len(card.encode())
        tar.addfile(header, BytesIO(card.encode()))
        tar.add(made.path, "module")
    return file.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A place where no repository is yet."""
    return tmp_path / "modules"


@pytest.fixture
def hub(root: Path, tmp_path: Path) -> Iterator[str]:
    """URL of a server of it, to which those with a token publish."""
    options = {"tokens": {"ANN": TOKEN}, "allow_publish": True, "max_upload_bytes": 1 << 20}
    with serving(root, tmp_path / "index", **options) as address:
        yield address


def put(hub: str, body: object, path: str = "/acme/words", token: str = TOKEN) -> Answer:
    return ask(hub, path, "PUT", body, Authorization=f"Bearer {token}")


def get(hub: str, path: str) -> Answer:
    return ask(hub, path, Authorization=f"Bearer {TOKEN}")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_module_is_published_and_at_once_served(
    mode: str, hub: str, root: Path, tmp_path: Path
) -> None:
    body = packed(tmp_path, b"one", mode=mode)
    answer = put(hub, body, "/acme/words?alias=stable&why=better")
    told = json.loads(answer.body)
    assert (answer.status, answer.headers["location"]) == (201, "/acme/words/1")
    version = read_version(open_storage(root), WORDS, 1)
    assert told == {
        "handle": f"{hub}/acme/words/1",
        "name": "acme/words",
        "version": 1,
        "digest": version.digest,
        "created": True,
    }
    assert version.who == "ANN@127.0.0.1"
    assert aliases(open_storage(root), WORDS) == {"stable": 1}
    assert (root / "acme/words/1/README.md").read_text() == CARD
    archive = get(hub, f"/acme/words/1?{COMPRESSED}")
    assert archive.headers["hub-tfx-digest"] == version.digest
    assert b"acme/words/1" in get(hub, "/-/feed.atom").body
    assert list((root / "-" / "work").iterdir()) == []


def test_a_module_with_an_op_on_no_list_is_refused_unless_it_is_allowed(
    root: Path, tmp_path: Path
) -> None:
    saved, file = saved_model(), BytesIO()
    node(saved.meta_graphs[0].graph_def, "Mystery", "what")
    hostile = write(tmp_path / "hostile", saved)
    with tarfile.open(fileobj=file, mode="w") as tar:
        (tmp_path / "README.md").write_text(CARD)
        tar.add(tmp_path / "README.md", "README.md")
        tar.add(hostile, "module")
    options = {"tokens": {"ANN": TOKEN}, "allow_publish": True}
    with serving(root, tmp_path / "index", **options) as hub:
        answer = put(hub, file.getvalue())
        assert (answer.status, numbers(open_storage(root), WORDS)) == (400, [])
        assert "op Mystery in node 'what'" in answer.text
    options["policy"] = SafetyPolicy(allow_ops=("Mystery",))
    with serving(tmp_path / "open", tmp_path / "index-2", **options) as hub:
        assert put(hub, file.getvalue()).status == 201


def test_the_same_bytes_again_are_the_same_version(hub: str, tmp_path: Path) -> None:
    body = packed(tmp_path, b"one")
    assert put(hub, body).status == 201
    again = put(hub, iter([body[:100], body[100:]]))
    assert (again.status, json.loads(again.body)["created"]) == (200, False)


def test_a_number_that_others_have(hub: str, tmp_path: Path) -> None:
    put(hub, packed(tmp_path, b"one"))
    other = packed(tmp_path, b"two")
    answer = put(hub, other, "/acme/words?version=1")
    assert answer.status == 409
    assert "acme/words/1 is published already, with other bytes" in answer.text
    assert put(hub, other, "/acme/Words").status == 409
    assert put(hub, other).headers["location"] == "/acme/words/2"


def test_an_archive_that_is_not_a_card_and_a_module(hub: str, root: Path, tmp_path: Path) -> None:
    whole = packed(tmp_path, b"one")
    bare = BytesIO()
    with tarfile.open(fileobj=bare, mode="w:gz") as tar:
        tar.add(module(tmp_path / "bare").path, ".")
    climbing = BytesIO()
    with tarfile.open(fileobj=climbing, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../evil"))
    bodies = {
        b"": "cut short",
        b"<html>" * 200: "not a tar archive",
        whole[:-40]: "cut short",
        bare.getvalue(): "The archive holds saved_model.pb, variables: it takes the card and",
        climbing.getvalue(): "'../evil'",
        packed(tmp_path, b"two", CARD.replace("summary", "summry")): "README.md:1: summary: is m",
    }
    for body, told in bodies.items():
        answer = put(hub, body)
        assert (answer.status, answer.text.count("\n")) == (400, 1)
        assert told in answer.text
        assert str(tmp_path) not in answer.text
    assert numbers(open_storage(root), WORDS) == []
    assert list((root / "-" / "work").iterdir()) == []
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/acme/words?version=0", "'0' is not the number of a version"),
        ("/acme/words?verson=1", "'verson' is not a parameter of a publication. Use one of: ver"),
        ("/acme/words?alias=latest", "the alias latest cannot be set"),
        ("/acme/words.json", "ends as a file does"),
        ("/-/words", "does not begin with a letter"),
    ],
)
def test_what_cannot_be_asked_for(path: str, told: str, hub: str, tmp_path: Path) -> None:
    answer = put(hub, packed(tmp_path, b"one"), path)
    assert answer.status == 400
    assert told in answer.text


def test_a_repository_that_cannot_be_written(
    hub: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hub_tfx.repository.local.os.rename", full)
    answer = put(hub, packed(tmp_path, b"one"))
    assert (answer.status, answer.text.count("\n")) == (507, 1)
    assert str(root) not in answer.text
    assert list((root / "-" / "work").iterdir()) == []


def test_a_body_that_is_too_large(hub: str) -> None:
    assert put(hub, b"x" * ((1 << 20) + 1)).status == 413
    assert put(hub, iter([b"x" * (1 << 19)] * 3)).status == 413


def test_a_body_that_ends_too_early_leaves_nothing(hub: str, root: Path) -> None:
    parts = urlsplit(hub)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        head = f"PUT /acme/words HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        connection.sendall(f"{head}Content-Length: 100\r\n\r\nabc".encode())
    assert get(hub, "/-/readyz").status == 200
    while (root / "-" / "work").is_dir() and list((root / "-" / "work").iterdir()):
        pass
    assert not (root / "acme").exists()


def test_only_those_with_a_token_publish(hub: str, tmp_path: Path) -> None:
    body = packed(tmp_path, b"one")
    assert put(hub, body, token="a-token-of-evil1").status == 401
    assert ask(hub, "/acme/words", "PUT", body).status == 401


def test_without_the_option_nobody_publishes(root: Path, tmp_path: Path) -> None:
    put_before = packed(tmp_path, b"one")
    with serving(root, tmp_path / "index", tokens={"ANN": TOKEN}) as address:
        assert put(address, put_before).status in (404, 405)
    assert not root.exists()


def read_until(hub: str, done: threading.Event) -> int:
    """How many times a reader got the newest version, whole and as it was promised."""
    count = 0
    while not done.is_set():
        answer = get(hub, f"/acme/words?{COMPRESSED}")
        assert answer.status == 302
        answer = get(hub, answer.headers["location"])
        assert answer.status == 200
        assert answer.headers["etag"] == f'"{hashlib.sha256(answer.body).hexdigest()}"'
        count += 1
    return count


def published_while_read(hub: str, folder: Path, readers: int, versions: int) -> None:
    put(hub, packed(folder, b"first"))
    done = threading.Event()
    with ThreadPoolExecutor(readers) as pool:
        reading = [pool.submit(read_until, hub, done) for _ in range(readers)]
        try:
            for number in range(versions):
                answer = put(hub, packed(folder, b"version %d" % number))
                assert answer.headers["location"] == f"/acme/words/{number + 2}"
        finally:
            done.set()
        assert all(found.result() for found in reading)


def test_readers_see_whole_versions_while_one_is_published(hub: str, tmp_path: Path) -> None:
    published_while_read(hub, tmp_path, _READERS, 3)


@pytest.mark.slow
def test_64_readers_see_whole_versions_while_20_are_published(hub: str, tmp_path: Path) -> None:
    published_while_read(hub, tmp_path, 64, 20)
