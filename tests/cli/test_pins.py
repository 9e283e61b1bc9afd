"""`--sha256`: only the module with this digest, in every command that takes one."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hub_tfx.cli.main import cli, run
from hub_tfx.module.manifest import Manifest
from hub_tfx.testing import WORDS, text_module
from hub_tfx_kubeflow.cli import compile_
from hub_tfx_pipelines.cli import run as run_pipeline

WRONG = "0" * 64


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_module(tmp_path_factory.mktemp("text") / "1", "saved_model", dim=2)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rows = [f"{word},{n % 2}" for n, word in enumerate(WORDS)]
    Path("train.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return tmp_path


def commands() -> Iterator[tuple[str, click.Command]]:
    """All that there are, by name."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
    for group in (run_pipeline, compile_):
        yield from group.commands.items()


def test_every_command_that_takes_a_module_takes_its_digest() -> None:
    pinned = []
    for name, command in commands():
        options = {option for parameter in command.params for option in parameter.opts}
        if {"handle", "handles", "--module"} & options:
            assert {"--sha256", "--digest"} <= options, name
            pinned.append(name)
        assert ("--preprocessor" in options) == ("--preprocessor-sha256" in options), name
    assert {"resolve", "inspect", "check", "embed", "fine-tune", "evaluate"} <= set(pinned)


def arguments_of(command: str, module: Path) -> list[str]:
    given = {
        "check": ["check", str(module), "--no-run"],
        "embed": ["embed", "--module", str(module), "--input", "train.csv", "--output", "out"],
        "fine-tune": ["fine-tune", "--module", str(module), "--input", "train.csv"],
        "evaluate": ["evaluate", "--module", str(module), "--input", "train.csv"],
    }[command]
    labelled = ["--output", "out", "--label", "label"]
    more = {"fine-tune": [*labelled, "--steps", "1", "--freeze"], "evaluate": labelled}
    return given + more.get(command, [])


@pytest.mark.usefixtures("taken_on_trust")
@pytest.mark.parametrize("command", ["check", "embed", "fine-tune", "evaluate"])
def test_the_module_that_is_pinned_is_taken_and_another_one_refused(
    command: str, module: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, digest = arguments_of(command, module), Manifest.of_directory(module).digest
    assert run([*arguments, "--sha256", WRONG]) == 5
    told = capsys.readouterr()
    assert told.out == ""
    assert f"its digest is {digest}, but {WRONG} is pinned" in told.err
    assert not Path("out").exists()
    done = 4 if command == "evaluate" else 0  # Eight rows are too few to bless anything.
    assert run([*arguments, "--sha256", digest.upper()]) == done


@pytest.mark.parametrize("command", ["embed", "fine-tune", "evaluate"])
def test_a_preprocessor_is_pinned_as_well(
    command: str, module: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = arguments_of(command, module)
    assert run([*arguments, "--preprocessor", str(module), "--preprocessor-sha256", WRONG]) == 5
    assert run([*arguments, "--preprocessor-sha256", WRONG]) == 2
    assert "--preprocessor-sha256 is that of --preprocessor: give both" in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_digest_without_a_module_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    made = ["--module-fn", "mine:build", "--input", "train.csv", "--output", "out"]
    assert run(["fine-tune", *made, "--label", "label", "--sha256", WRONG]) == 2
    assert "--sha256 is that of --module: give both" in capsys.readouterr().err
