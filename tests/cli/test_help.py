"""`--help` of every command: sections, and sentences that stand alone."""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click
import pytest
import tomli

from hub_tfx.cli import main
from hub_tfx.cli.main import cli, run

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
OURS = {
    name: metadata.EntryPoint(name, value, "hub_tfx.commands")
    for name, value in ENTRY_POINTS["hub_tfx.commands"].items()
}


@pytest.fixture(autouse=True)
def entry_points(monkeypatch: pytest.MonkeyPatch) -> dict[str, metadata.EntryPoint]:
    """Those of pyproject.toml, and whatever a test adds."""
    points = dict(OURS)
    monkeypatch.setattr(main, "_entry_points", lambda: points)
    return points


def sections(capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """What `hub-tfx --help` lists: title -> commands."""
    assert run(["--help"]) == 0
    found: dict[str, list[str]] = {}
    for line in capsys.readouterr().out.splitlines():
        if title := re.fullmatch(r"(\w.*):", line):
            found[title[1]] = []
        elif command := re.match(r"  ([a-z][\w-]*)  ", line):
            found[[*found][-1]].append(command[1])
    return found


def test_commands_are_grouped_by_what_a_person_wants_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert {title: names for title, names in sections(capsys).items() if names} == {
        "Modules": ["search", "resolve", "inspect", "check", "create", "cache", "drop-in"],
        "Embeddings and training": ["embed", "generations", "fine-tune", "evaluate"],
        "Publishing": ["publish", "serve", "repo", "card", "diff"],
        "Pipelines": ["run", "compile", "schedule", "config"],
        "Lineage": ["lineage", "history"],
        "Shell": ["completion"],
    }


def test_commands_of_other_packages_come_last(
    entry_points: dict[str, metadata.EntryPoint], capsys: pytest.CaptureFixture[str]
) -> None:
    entry_points["mine"] = metadata.EntryPoint("mine", "hub_tfx.cli.check:check", "x")
    assert [*sections(capsys).items()][-1] == ("Other commands", ["mine"])


def test_a_section_without_a_command_is_left_out(
    entry_points: dict[str, metadata.EntryPoint], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where pipelines/ and kubeflow/ are not installed."""
    entry_points.clear()
    assert "Pipelines" not in sections(capsys)


def every_command() -> Iterator[tuple[str, click.Command]]:
    commands = {name: cli.get_command(click.Context(cli), name) for name in main._COMMANDS}
    commands |= {name: point.load() for name, point in OURS.items()}
    for name, command in commands.items():
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", c) for inner, c in command.commands.items())


COMMANDS = dict(every_command())
SENTENCE = re.compile(r"[A-Z`][^\n]*[.](  \[[^\[\]]+\])?")
"""A sentence or more, and the value that holds where the option is not given."""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_line_of_help_is_a_sentence(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert SENTENCE.fullmatch(" ".join(command.help.split("\n\n")[0].split()))
    for option in (p for p in command.params if isinstance(p, click.Option)):
        assert option.help, option.name
        assert SENTENCE.fullmatch(option.help), option.help
        words = option.help.split()
        assert len(words) > 3, option.help
        assert words[0] not in {"Of", "Such", "To", "Which"}, option.help


@pytest.mark.parametrize(
    "name", ["", "run", "compile", "schedule", "config", "config show", "create", "card"]
)
def test_no_line_of_a_list_of_commands_is_cut(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*name.split(), "--help"]) == 0
    assert "..." not in capsys.readouterr().out.replace("[ARGS]...", "")


def test_the_old_name_of_an_option_is_accepted_and_not_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command, *needed in (["run"], ["compile", "--image", "i", "--output", "o.json"]):
        assert run([command, "finetune", "--help"]) == 0
        out = capsys.readouterr().out
        assert "--keep FEATURE…" in out
        assert "--kept" not in out
        assert run([command, "finetune", *needed, "--kept", "image"]) == 2
        assert "Missing option '--data-root'" in capsys.readouterr().err
