"""`hub-tfx search`: in a repository and on a hub, on a terminal and in a pipe."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from published import published

from hub_tfx.cli.main import cli, run
from hub_tfx.errors import ConfigError, HandleError
from hub_tfx.repository.catalogue import (
    SORTS,
    Catalogue,
    CatalogueQuery,
    query_from_parameters,
    results_from_json,
    results_to_json,
)
from hub_tfx.repository.catalogue.remote import Hub
from hub_tfx.repository.storage import open_storage


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two modules."""
    folder = tmp_path_factory.mktemp("searched")
    published(folder, folder / "r", b"1", "acme/words")
    published(folder, folder / "r", b"2", "acme/words", aliases=["stable"])
    published(folder, folder / "r", b"3", "bob/code")
    return folder / "r"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("HUB_TFX_REPOSITORY", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


class Handler(BaseHTTPRequestHandler):
    """Answers as the server of a hub does; ``odd`` holds what else it answers with, by path."""

    catalogue: Catalogue
    odd: dict[str, tuple[int, bytes, dict[str, str]]]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        status, headers = 200, dict[str, str]()
        if parts.path in self.odd:
            status, body, headers = self.odd[parts.path]
        else:
            assert parts.path == "/hub/.json"
            try:
                query = query_from_parameters(parse_qsl(parts.query))
                document = results_to_json(self.catalogue.search(query))
            except ConfigError as error:
                status, document = 400, {"status": 400, "error": str(error), "nearest": []}
            body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ThreadingHTTPServer]:
    catalogue = Catalogue.open(open_storage(repository), tmp_path_factory.mktemp("i") / "i.sqlite")
    catalogue.refresh()
    Handler.catalogue, Handler.odd = catalogue, {}
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()
    catalogue.close()


@pytest.fixture
def hub(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}/hub"


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a search; gives exit code, stdout and stderr."""

    def search(*arguments: str) -> tuple[int, str, str]:
        code = run(["search", *arguments])
        return (code, *capsys.readouterr())

    return search


def test_a_pipe_gets_whole_lines(ran: Any, repository: Path) -> None:
    code, out, err = ran("words", "--repository", str(repository))
    header, *rows = [line.split("\t") for line in out.splitlines()]
    assert (code, err, len(rows)) == (0, "", 2)
    row = dict(zip(header, rows[0], strict=True))
    assert row["handle"] == f"repo+{repository}//acme/words/2"
    assert (row["task"], row["license"]) == ("text-embedding", "Apache-2.0")
    assert (row["fine_tunable"], row["summary"]) == ("no", "Vectors of words.")


def test_quiet_prints_handles_that_commands_take(ran: Any, repository: Path) -> None:
    _, out, err = ran("stable", "-q", "--repository", str(repository))
    assert (out, err) == (f"repo+{repository}//acme/words/2\n", "")
    assert run(["resolve", "-q", out.strip()]) == 0


def test_json_is_what_the_server_says(ran: Any, repository: Path, hub: str) -> None:
    code, out, err = ran("words", "--publisher", "acme", "--json", "--repository", str(repository))
    document = json.loads(out)
    assert (code, err, document.pop("repository")) == (0, "", str(repository))
    results = results_from_json(document)
    assert [e.handle for e in results.entries] == ["acme/words"]
    assert results.query == CatalogueQuery("words", publisher=("acme",))
    _, out, _ = ran("words", "--publisher", "acme", "--json", "--hub", hub)
    remote = json.loads(out)
    assert remote.pop("hub") == hub
    assert results_from_json(remote) == results


def test_a_hub_is_searched_as_a_repository_is(ran: Any, repository: Path, hub: str) -> None:
    asked = ("words", "--task", "text-embedding", "--not-fine-tunable", "--sort", "name")
    here = ran(*asked, "--repository", str(repository))
    there = ran(*asked, "--hub", f"{hub}/")
    assert there == (here[0], here[1].replace(f"repo+{repository}//", f"{hub}/"), here[2])
    assert set(ran("-q", "--hub", hub)[1].splitlines()) == {
        f"{hub}/bob/code/1",
        f"{hub}/acme/words/2",
    }


def test_a_terminal_gets_a_table_that_fits(
    ran: Any, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    _, out, _ = ran("--sort", "name", "--repository", str(repository))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    header, first, _ = plain.splitlines()
    assert header.split() == ["module", "task", "size", "published", "summary"]
    assert first.split()[:2] == ["acme/words/2", "text-embedding"]
    assert re.search(r" 1\d\d B ", first)


def test_escape_sequences_from_a_hub_do_not_reach_a_terminal(
    ran: Any, hub: str, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = results_to_json(Handler.catalogue.search(CatalogueQuery()))
    for module in results["modules"]:
        module |= {"summary": "\x1b]0;title\x07\u202e\ud800", "task": ["\x9b"]}
    body = json.dumps(results).encode()
    monkeypatch.setitem(Handler.odd, "/hub/.json", (200, body, {}))
    for is_terminal in (True, False):
        monkeypatch.setattr("sys.stdout.isatty", lambda shown=is_terminal: shown)
        for option in ((), ("--json",), ("-q",)):
            code, out, _ = ran("--hub", hub, *option)
            assert code == 0
            assert not re.search("[\x00-\x08\x0b-\x1a\x7f-\x9f\u202e]|\x1b(?!\\[[0-9;]*m)", out)


def test_nothing_found_is_told_with_names_that_look_like_it(ran: Any, repository: Path) -> None:
    code, out, err = ran("acme/wrods", "--repository", str(repository))
    assert (code, out) == (0, "")
    assert "no module is found: use fewer words or filters; the nearest names: acme/words" in err


def test_more_than_is_listed_is_told(ran: Any, repository: Path) -> None:
    code, out, err = ran("--limit", "1", "-q", "--repository", str(repository))
    assert (code, len(out.splitlines())) == (0, 1)
    assert "1 of 2 modules are listed: use more words or filters, or --limit" in err


def test_a_limit_may_take_several_pages(
    ran: Any, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = CatalogueQuery

    def small(*values: Any, per_page: int, **more: Any) -> CatalogueQuery:
        return query(*values, per_page=1, **more)

    monkeypatch.setattr("hub_tfx.repository.catalogue.CatalogueQuery", small)
    _, out, err = ran("-q", "--repository", str(repository))
    assert (len(out.splitlines()), err) == (2, "")


@pytest.mark.parametrize("where", ["repository", "hub"])
def test_a_wrong_value_is_told_with_choices_and_the_nearest(
    where: str, ran: Any, repository: Path, hub: str
) -> None:
    place = hub if where == "hub" else str(repository)
    code, out, err = ran("--publisher", "acmee", f"--{where}", place)
    assert (code, out) == (2, "")
    assert "no module has the publisher 'acmee': use one of acme, bob; nearest: acme" in err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ([], 2, "name a repository by --repository, or a server by --hub"),
        (["--repository", "r", "--hub", "http://h"], 2, "are two places: name one of them"),
        (["--repository", "nothing"], 1, "is not a repository: check the path"),
        (["--hub", "hub.example.org"], 2, "is not the address of a hub"),
        (["--hub", "ftp://hub.example.org"], 2, "is not the address of a hub"),
        (["--hub", "http://127.0.0.1:9"], 1, "no connection"),
        (["--repository", "r", "x" * 501], 2, "501 characters"),
        (["--repository", "r", "--limit", "0"], 2, "--limit"),
    ],
)
def test_what_cannot_be_searched_is_one_line(
    arguments: list[str], code: int, told: str, ran: Any, cache: Path
) -> None:
    ended, out, err = ran(*arguments)
    assert (ended, out, len(err.splitlines())) == (code, "", 1)
    assert told in err
    assert not cache.exists()


def test_the_environment_names_a_repository_unless_a_hub_is_typed(
    ran: Any, repository: Path, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TFX_REPOSITORY", str(repository))
    assert ran("-q", "code")[1] == f"repo+{repository}//bob/code/1\n"
    assert ran("-q", "code", "--hub", hub)[1] == f"{hub}/bob/code/1\n"


def test_the_index_is_kept_in_the_cache(ran: Any, repository: Path, cache: Path) -> None:
    ran("--repository", str(repository))
    [index] = (cache / "hub_tfx" / "catalogues").glob("*.sqlite")
    assert (cache.stat().st_mode & 0o777, index.parents[1].stat().st_mode & 0o777) == (0o700, 0o700)
    before = index.stat().st_ino
    ran("--repository", f"{repository}/")
    assert [p.stat().st_ino for p in index.parent.glob("*.sqlite")] == [before]


def test_where_the_cache_cannot_be_written_the_index_is_for_once(
    ran: Any, repository: Path, cache: Path
) -> None:
    cache.mkdir()
    (cache / "hub_tfx").write_text("in the way")
    code, out, err = ran("-q", "code", "--repository", str(repository))
    assert (code, out, err) == (0, f"repo+{repository}//bob/code/1\n", "")


def test_what_is_damaged_is_told_and_the_rest_is_found(ran: Any, tmp_path: Path) -> None:
    for number in range(5):
        published(tmp_path, tmp_path / "r", bytes([number]), f"acme/m{number}")
    for number in range(1, 5):
        marker = tmp_path / "r" / "acme" / f"m{number}" / "1" / "version.json"
        marker.unlink()
        marker.write_text("{")
    code, out, err = ran("-q", "--repository", "r")
    assert (code, out) == (0, f"repo+{tmp_path}/r//acme/m0/1\n")
    assert len(err.splitlines()) == 4
    assert "acme/m1/1/version.json is damaged" in err
    assert "and 1 more problems: see `hub-tfx repo verify`" in err


LISTED = json.dumps(
    {
        "total": 1,
        "page": 1,
        "pages": 1,
        "facets": {},
        "modules": [
            {
                "handle": "acme/words",
                "version": 1,
                "when": "2026-01-01T00:00:00+00:00",
                "digest": "0" * 64,
                "size_bytes": 115,
                "versions": 1,
                "yanked": False,
            }
        ],
    }
).encode()
ANSWERS: dict[str, tuple[tuple[int, bytes, dict[str, str]], int, str]] = {
    "a page": ((200, b"<html>", {}), 1, "the answer is not JSON"),
    "another document": ((200, b"{}", {}), 1, "is not that of a hub: it lacks the list 'modules'"),
    "a list": ((200, b"[]", {}), 1, "the answer is not JSON"),
    "deep": ((200, b'{"a":' + b"[" * 100_000, {}), 1, "the answer is not JSON"),
    "a handle that is none": (
        (200, LISTED.replace(b"acme/words", b"acme/$(reboot)"), {}),
        1,
        "'acme/$(reboot)' is not the name of a module",
    ),
    "a large number": ((200, LISTED.replace(b"115", b"9" * 400), {}), 1, "is out of bounds"),
    "a negative page": ((200, LISTED.replace(b'"pages": 1', b'"pages": -1'), {}), 0, ""),
    "an error": ((404, b"nothing", {}), 1, "the server answered 404"),
    "busy": ((503, b'{"error": "busy"}', {}), 1, "busy; try again later"),
    "out of HTTP": ((302, b"", {"Location": "ftp://x/"}), 5, "which is not HTTP"),
    "a loop": ((302, b"", {"Location": "/hub/.json"}), 1, "redirects in a loop"),
    "no token": ((401, b'{"error": "Send a token."}', {}), 1, "Send a token; name the variable"),
    "nearest": ((400, b'{"error": "No.", "nearest": ["a", 1]}', {}), 2, "No; nearest: a, 1"),
    "nowhere": ((302, b"", {}), 1, "without saying where to"),
    "cut short": ((200, b"{", {"Content-Length": "5"}), 1, "closed too early"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_that_is_not_a_hubs_is_one_error(
    what: str, ran: Any, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, code, told = ANSWERS[what]
    monkeypatch.setitem(Handler.odd, "/hub/.json", answer)
    ended, out, err = ran("--hub", hub)
    assert (ended, bool(out)) == (code, not code)
    assert told in err
    assert "unexpected" not in err


def test_an_answer_without_an_end_is_refused(
    ran: Any, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_tfx.repository.catalogue.remote._MAX_BYTES", 1000)
    monkeypatch.setitem(Handler.odd, "/hub/.json", (200, b" " * 2000, {}))
    assert "the answer has over 1000 bytes" in ran("--hub", hub)[2]


def test_redirects_are_followed(ran: Any, hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Handler.odd, "/old/.json", (301, b"", {"Location": "/hub/.json"}))
    _, out, _ = ran("-q", "--hub", hub.replace("/hub", "/old"))
    assert len(out.splitlines()) == 2


def test_a_token_is_sent_to_the_hub(ran: Any, hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    answer, sent = Handler.do_GET, list[str | None]()

    def noting(self: Handler) -> None:
        sent.append(self.headers["Authorization"])
        answer(self)

    monkeypatch.setattr(Handler, "do_GET", noting)
    assert ran("-q", "--hub", hub, "--token-env", "MY_TOKEN")[0] == 0
    assert sent == ["Bearer s3cret"]


def test_credentials_of_a_hub_are_not_printed(ran: Any, hub: str) -> None:
    secret = hub.replace("http://", "http://ann:secret@")
    for option in ("-q", "--json"):
        code, out, err = ran("--hub", secret, option)
        assert code == 0
        assert hub in out
        assert "secret" not in out + err
    with pytest.raises(HandleError) as refused:
        Hub("ftp://ann:secret@h/")
    assert "secret" not in str(refused.value)


def test_the_orders_are_those_of_the_catalogue() -> None:
    command = cli.get_command(None, "search")  # type: ignore[arg-type]
    [sort] = [p for p in command.params if p.name == "sort"]  # type: ignore[union-attr]
    assert tuple(sort.type.choices) == SORTS  # type: ignore[attr-defined]
