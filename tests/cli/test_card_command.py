"""`hub-tfx card`, as a person calls it."""

import json
from pathlib import Path

import pytest

from hub_tfx.cli.main import run
from hub_tfx.repository.card import read_card
from hub_tfx.testing import minimal_module

CARD = """\
---
summary: Word vectors.
task: text-embedding
license: MIT
owners: [Ann]
language: en
---
"""


def called(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    exit_code = run(["card", *map(str, arguments)])
    output = capsys.readouterr()
    return exit_code, output.out, output.err


def test_a_right_card_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = tmp_path / "README.md"
    card.write_text(CARD)
    assert called(capsys, "check", card) == (0, "", f"hub-tfx: {card}: no error\n")
    exit_code, out, _ = called(capsys, "check", card, "--json")
    assert (exit_code, json.loads(out)) == (0, {"passed": True, "problems": []})


def test_every_error_of_every_card_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, missing = tmp_path / "wrong.md", tmp_path / "missing.md"
    wrong.write_text(CARD.replace("MIT", "Apache 2.0").replace("[Ann]", '["a\\e[2J"]'))
    exit_code, out, err = called(capsys, "check", wrong, missing)
    lines = out.splitlines()
    assert (exit_code, err) == (2, "")
    assert lines[0].startswith(f"{wrong}:4: license: 'Apache 2.0' is not an SPDX license; ")
    assert lines[1].startswith(f"{wrong}:5: owners: holds characters that cannot be seen")
    assert lines[2] == f"{missing}: cannot be read: No such file or directory"
    assert "\x1b" not in out
    exit_code, out, _ = called(capsys, "check", wrong, missing, "--json")
    assert (exit_code, json.loads(out)["passed"]) == (2, False)
    assert len(json.loads(out)["problems"]) == 3


def test_an_initial_card_fails_until_it_is_filled_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "README.md"
    exit_code, out, err = called(capsys, "init", "-o", card)
    assert (exit_code, out) == (0, "")
    assert err == (f"hub-tfx: fill in the keys without a value, then: hub-tfx card check {card}\n")
    exit_code, out, _ = called(capsys, "check", card)
    assert exit_code == 2
    told = [line.removeprefix(f"{card}:").split(": ")[:2] for line in out.splitlines()]
    lines = card.read_text().splitlines()
    assert [lines[int(line) - 1] for line, _ in told] == [f"{key}:" for _, key in told]
    filled = {"summary:": "summary: x", "task:": "task: image-others", "license:": "license: MIT"}
    filled["owners:"] = "owners: [Ann]"
    card.write_text("\n".join(filled.get(line, line) for line in lines))
    assert called(capsys, "check", card)[0] == 0
    assert read_card(card).body.startswith("## Training data")


def test_an_initial_card_of_a_module_names_the_tasks_that_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = minimal_module(tmp_path / "module")
    exit_code, out, err = called(capsys, "init", module, "--cache-dir", tmp_path / "cache")
    assert (exit_code, err) == (0, "")
    assert "# Fitting its signatures: text-embedding, text-classification.\n" in out
    assert "\nlanguage:\n" in out
    assert not (tmp_path / "cache").exists()


def test_an_imported_card_is_written_and_what_was_dropped_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "1.md"
    source.write_text(
        "# Module acme/x/1\nWord vectors.\n\n<!-- task: text-embedding -->\n"
        "<!-- language: en -->\n<!-- license: mit -->\n<!-- format: hub -->\n\n## Use\n"
    )
    exit_code, out, err = called(capsys, "import", source, "-o", tmp_path / "README.md")
    assert (exit_code, out) == (0, "")
    assert err.splitlines() == [
        f"hub-tfx: {source}:1: the version in the title is dropped: it is derived",
        f"hub-tfx: {source}:7: format: is dropped: it is derived from the module",
    ]
    card = read_card(tmp_path / "README.md")
    assert (card.owners, card.license, card.body) == (("acme",), "MIT", "## Use")
    assert called(capsys, "import", source)[1] == (tmp_path / "README.md").read_text()


def test_no_file_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = tmp_path / "README.md"
    card.write_text("mine")
    exit_code, _, err = called(capsys, "init", "-o", card)
    assert exit_code == 1
    assert err == f"hub-tfx: error: {card} is there already: name another file, or remove it\n"
    assert card.read_text() == "mine"
    exit_code, _, err = called(capsys, "init", "-o", tmp_path / "no" / "README.md")
    assert exit_code == 1
    assert "cannot be written: No such file or directory" in err


def test_errors_of_a_card_are_a_line_each_for_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "1.md"
    source.write_text("# Publisher acme/x\n")
    exit_code, out, err = called(capsys, "import", source)
    assert (exit_code, out) == (2, "")
    assert err.startswith(f"hub-tfx: error: {source}:1: it is about a Publisher")
