"""`hub-tfx publish` and `hub-tfx repo`: what they print and end with."""

import json
from pathlib import Path
from typing import Any

import pytest
from cards import CARD, write_card

from hub_tfx.cli.main import run
from hub_tfx.testing import minimal_module


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two modules and a card, in which commands run."""
    for dim, name in ((4, "one"), (5, "two")):
        minimal_module(tmp_path / name, dim)
    write_card(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HUB_TFX_REPOSITORY", "r")
    return tmp_path


@pytest.fixture
def ran(place: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command; gives exit code, stdout and stderr."""

    def run_command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return run_command


def publish(ran: Any, module: str, *more: str) -> dict[str, Any]:
    code, out, err = ran(
        "publish", module, "--name", "acme/words", "--card", "card.md", "--json", *more
    )
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def test_publish_prints_what_was_published(ran: Any, place: Path) -> None:
    first = publish(ran, "one")
    assert first == {
        "handle": f"repo+{place}/r//acme/words/1",
        "name": "acme/words",
        "version": 1,
        "digest": first["digest"],
        "created": True,
    }
    assert publish(ran, "one") == {**first, "created": False}
    assert publish(ran, "two", "--alias", "stable", "--alias", "prod")["version"] == 2


def test_what_was_there_already_is_said(ran: Any) -> None:
    publish(ran, "one")
    code, out, err = ran("publish", "one", "--name", "acme/words", "--card", "card.md")
    assert code == 0
    assert "created\tno\n" in out
    assert "acme/words/1 has these bytes already" in err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["two", "--name", "acme/words", "--version", "1"], 1, "next free number is 2"),
        (["two", "--name", "../words"], 2, "'../words' is not the name of a module"),
        (["two", "--name", "acme/words", "--alias", "latest"], 2, "latest cannot be set"),
        (["two", "--name", "acme/words", "--card", "two"], 2, "two: cannot be read"),
        (["card.md", "--name", "acme/words"], 1, "card.md is not a module"),
        (["two", "--name", "acme/words", "--repository", "https://x/r"], 2, "https://"),
        (["two", "--name", "acme/words", "--repository", "nowhere://x/r"], 2, "nowhere://"),
        (["two", "--name", "acme/words", "--repository", ""], 2, "repository has no name"),
        (["two", "--name", "acme/words", "--repository", "card.md"], 1, "cannot be"),
    ],
)
def test_what_cannot_be_published_is_one_error(
    ran: Any, place: Path, arguments: list[str], code: int, told: str
) -> None:
    publish(ran, "one")
    before = sorted((place / "r").rglob("*"))
    ended, _, err = ran("publish", *arguments[:1], "--card", "card.md", *arguments[1:])
    assert (ended, told in err) == (code, True), err
    assert err.startswith("hub-tfx: error: ")
    assert "unexpected" not in err
    assert sorted((place / "r").rglob("*")) == before


def test_lists_in_a_pipe_are_tab_separated(ran: Any) -> None:
    first, second = publish(ran, "one"), publish(ran, "two", "--alias", "stable")
    assert ran("repo", "ls")[1] == "name\tversions\tlatest\nacme/words\t2\t2\n"
    rows = [line.split("\t") for line in ran("repo", "ls", "acme/words")[1].splitlines()]
    assert rows[0] == ["version", "digest", "size_bytes", "when", "who", "aliases", "yanked"]
    assert [row[:2] for row in rows[1:]] == [["1", first["digest"]], ["2", second["digest"]]]
    assert [row[5] for row in rows[1:]] == ["", "stable"]


def test_show_follows_an_alias_and_prints_what_happened(ran: Any) -> None:
    publish(ran, "one", "--alias", "stable")
    publish(ran, "two")
    assert ran("repo", "alias", "acme/words", "stable", "2", "--why", "better recall")[0] == 0
    shown = json.loads(ran("repo", "show", "acme/words@stable", "--json")[1])
    assert (shown["version"], shown["aliases"], shown["card"]) == (2, ["stable"], CARD)
    assert shown["facts"]["digest"] == shown["digest"]
    assert [(h["what"], h["why"]) for h in shown["history"]] == [
        ("stable: now this version", "better recall")
    ]
    assert {f["path"] for f in shown["files"]} >= {"module/saved_model.pb", "module.tar.gz"}
    text = ran("repo", "show", "acme/words/1")[1]
    assert "stable: no longer this version" in text
    assert text.endswith(f"\n{CARD}")


def test_yank_names_the_aliases_that_still_stand_for_it(ran: Any, place: Path) -> None:
    publish(ran, "one", "--alias", "stable")
    publish(ran, "two")
    code, _, err = ran("repo", "yank", "acme/words/1", "--why", "wrong rows")
    assert code == 0
    assert "stable still stands for acme/words/1: move it by `hub-tfx repo alias" in err
    _, out, err = ran("resolve", "-q", "repo+r//acme/words@stable")
    assert out == f"{place}/r/acme/words/1/module\n"
    assert "acme/words/1 is yanked: wrong rows" in err
    assert ran("repo", "yank", "acme/words/1", "--why", "right", "--undo")[2] == ""
    assert ran("resolve", "-q", "repo+r//acme/words@stable")[2] == ""


@pytest.mark.parametrize("command", [["yank", "acme/words"], ["card", "acme/words", "card.md"]])
def test_what_is_about_a_version_needs_a_number(ran: Any, command: list[str]) -> None:
    publish(ran, "one")
    code, _, err = ran("repo", *command, "--why", "x")
    assert code == 2
    assert "names no version: give its number, as in acme/words/3" in err


def test_a_card_is_corrected_and_the_module_stays(ran: Any, place: Path) -> None:
    published = publish(ran, "one")
    (place / "better.md").write_text(f"{CARD}\nMore.\n")
    code, out, _ = ran("repo", "card", "acme/words/1", "better.md", "--why", "more", "--json")
    assert (code, json.loads(out)["revision"]) == (0, 1)
    shown = json.loads(ran("repo", "show", "acme/words/1", "--json")[1])
    assert (shown["card"], shown["digest"]) == (f"{CARD}\nMore.\n", published["digest"])
    (place / "better.md").write_text(CARD.replace("summary", "sumary"))
    code, _, err = ran("repo", "card", "acme/words/1", "better.md", "--why", "worse")
    assert code == 2
    assert "better.md:2: sumary" in err


def test_verify_ends_with_5_where_something_is_damaged(ran: Any, place: Path) -> None:
    publish(ran, "one")
    code, out, err = ran("repo", "verify")
    assert (code, out) == (0, "")
    assert "1 versions, " in err
    (place / "r/acme/words/1/module.json").unlink()
    code, out, _ = ran("repo", "verify", "acme/words")
    assert (code, out) == (5, "file\tdamage\nacme/words/1/module.json\tit is missing\n")


def test_gc_plans_first(ran: Any, place: Path) -> None:
    publish(ran, "one")
    left = place / "r/-/work/dead/files"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"12345")
    code, out, err = ran("repo", "gc")
    assert (code, out) == (0, "file\tsize_bytes\n-/work/dead\t5\n")
    assert "1 files, 5 bytes: delete them with --yes" in err
    assert left.exists()
    assert "1 files, 5 bytes deleted" in ran("repo", "gc", "--yes")[2]
    assert not left.exists()
    assert json.loads(ran("repo", "gc", "--json")[1])["files"] == []


@pytest.mark.parametrize("command", [["ls"], ["show", "acme/words"], ["verify"], ["gc", "--yes"]])
def test_what_is_not_a_repository_is_left_alone(ran: Any, place: Path, command: list[str]) -> None:
    (place / "other").mkdir()
    code, _, err = ran("repo", *command, "--repository", "other")
    assert code == 1
    assert "is not a repository: check the path" in err
    assert list((place / "other").iterdir()) == []
