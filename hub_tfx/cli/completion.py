"""`hub-tfx completion`: the lines that have a shell complete commands, handles and names."""

import click

from hub_tfx.cli.complete import SHELLS, script
from hub_tfx.cli.output import print_as_it_is


@click.command(short_help="Print what has a shell complete commands and handles.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the lines that have a shell complete commands, options, handles and names.

    Handles are those of the cache and, after repo+DIRECTORY//, those of that repository.

    \b
    Examples:
      hub-tfx completion bash > ~/.local/share/bash-completion/completions/hub-tfx
      hub-tfx completion zsh > ~/.zfunc/_hub-tfx          # with ~/.zfunc in fpath
      hub-tfx completion fish > ~/.config/fish/completions/hub-tfx.fish
    """
    print_as_it_is(script(ctx.find_root().command, shell).rstrip("\n"))
