"""The `hub-tfx` command: registers commands, turns errors into one line and an exit code."""

import importlib
import os
import sys

import click

from hub_tfx import __version__
from hub_tfx.errors import HubTfxError

_COMMANDS = {
    "resolve": "hub_tfx.cli.modules:resolve",
    "inspect": "hub_tfx.cli.modules:inspect",
    "embed": "hub_tfx.cli.embed:embed",
    "create": "hub_tfx.cli.create:create",
    "fine-tune": "hub_tfx.cli.fine_tune:fine_tune",
}


class _LazyGroup(click.Group):
    """Imports a command's file when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hub-tfx")
def cli() -> None:
    """Resolve, inspect, create and embed with TensorFlow Hub modules, on TFX and Apache Beam."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Runs the command line and returns the exit code."""
    return run_command(cli, arguments, "hub-tfx")


def run_command(command: click.Command, arguments: list[str], name: str) -> int:
    """Runs any command as ours are run: errors are one line on stderr and an exit code."""
    try:
        result = command.main(arguments, prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except HubTfxError as error:
        if _debug():
            raise
        return _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", 130)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        if _debug():
            raise
        return _fail(f"unexpected {type(error).__name__}: {error} (HUB_TFX_DEBUG=1 shows where)", 1)
    return result if isinstance(result, int) else 0


def _debug() -> bool:
    return os.environ.get("HUB_TFX_DEBUG", "") not in ("", "0")


def _fail(message: str, exit_code: int) -> int:
    click.echo(f"hub-tfx: error: {' '.join(message.split())}", err=True)
    return exit_code
