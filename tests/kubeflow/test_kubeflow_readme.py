"""kubeflow/README.md: its commands are ones that `hub-tfx` takes, and its links lead somewhere."""

import re
import shlex
from pathlib import Path

import click
import pytest

from hub_tfx.cli.main import cli

README = Path(__file__).parents[2] / "kubeflow" / "README.md"
TEXT = README.read_text()
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.S)).replace("\\\n", " ")
COMMANDS = [
    match[1].partition(" && ")[0] for match in re.finditer(r"^\S*hub-tfx (.+)$", SHELL, re.M)
]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_one_that_there_is(line: str) -> None:
    command: click.Command = cli
    context, arguments = click.Context(cli, info_name="hub-tfx"), shlex.split(line)
    while isinstance(command, click.Group):
        name = arguments.pop(0)
        found = command.get_command(context, name)
        assert found is not None, name
        command = found
        context = click.Context(command, parent=context, info_name=name)
    command.make_context(name, arguments, parent=context.parent)


def test_there_are_commands_and_links_lead_somewhere() -> None:
    assert len(COMMANDS) > 8
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT):
        assert link.startswith("https://") or (README.parent / link).exists(), link
