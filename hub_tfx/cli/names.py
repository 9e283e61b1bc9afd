"""Renamed commands and options: the old name works, and only the new one is shown."""

import copy
from collections.abc import Sequence
from functools import partial

import click

from hub_tfx.cli.guard import guarded
from hub_tfx.cli.main import run_command
from hub_tfx.cli.output import tell

_OLD_COMMANDS = {"finetune": "fine-tune"}


class RenamedGroup(click.Group):
    """A group whose commands are found under their old names too."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, _OLD_COMMANDS.get(cmd_name, cmd_name))


class RenamedOption(click.Option):
    """An option that is shown with its first name only: `click.option("--new", "--old", cls=…)`."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        shown = copy.copy(self)
        shown.opts = self.opts[:1]
        return super(RenamedOption, shown).get_help_record(ctx)


def run_renamed(command: click.Command, arguments: Sequence[str], old: str, new: str) -> int:
    """Runs a renamed command as ``hub-tfx`` runs them, says its new name on stderr, and returns the
    exit code."""
    names = [_OLD_COMMANDS.get(name, name) for name in arguments[:1] if not name.startswith("-")]
    tell(f"`{old}` is an old name: type `{' '.join([new, *names])}`")
    return guarded(
        partial(run_command, command, list(arguments), new),
        lambda told: tell(f"error: {told}"),
    )
