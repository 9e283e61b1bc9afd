"""The `hub-tfx` command: registers commands, turns errors into one line and an exit code."""

import importlib
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib import metadata
from typing import NoReturn

import click

from hub_tfx import __version__
from hub_tfx._files import odd_name
from hub_tfx.cli.downloads import ShownDownload
from hub_tfx.cli.guard import OneInterrupt, guarded
from hub_tfx.cli.output import print_as_it_is, tell
from hub_tfx.cli.start import leave, with_tcmalloc
from hub_tfx.errors import HubTfxError, UsageError
from hub_tfx.store.fetch.progress import showing

_COMMANDS: Mapping[str, str] = {
    "search": "hub_tfx.cli.search:search",
    "resolve": "hub_tfx.cli.modules:resolve",
    "inspect": "hub_tfx.cli.modules:inspect",
    "check": "hub_tfx.cli.check:check",
    "cache": "hub_tfx.cli.cache:cache",
    "drop-in": "hub_tfx.cli.drop_in:drop_in",
    "embed": "hub_tfx.cli.embed:embed",
    "generations": "hub_tfx.cli.generations:generations",
    "create": "hub_tfx.cli.create:create",
    "fine-tune": "hub_tfx.cli.fine_tune:fine_tune",
    "evaluate": "hub_tfx.cli.evaluate:evaluate",
    "publish": "hub_tfx.cli.publish:publish",
    "serve": "hub_tfx.cli.serve:serve",
    "repo": "hub_tfx.cli.repo:repo",
    "card": "hub_tfx.cli.card:card",
    "diff": "hub_tfx.cli.diff:diff",
    "lineage": "hub_tfx.cli.lineage:lineage",
    "history": "hub_tfx.cli.history:history",
    "completion": "hub_tfx.cli.completion:completion",
}
_SECTIONS: Mapping[str, Sequence[str]] = {
    "Modules": ("search", "resolve", "inspect", "check", "create", "cache", "drop-in"),
    "Embeddings and training": ("embed", "generations", "fine-tune", "evaluate"),
    "Publishing": ("publish", "serve", "repo", "card", "diff"),
    "Pipelines": ("run", "compile", "schedule", "config"),
    "Lineage": ("lineage", "history"),
    "Shell": ("completion",),
}
"""What a person wants to do -> the commands for it. The commands of other packages come last."""
_OTHERS = "Other commands"
_ENTRY_POINTS = "hub_tfx.commands"
_COMPLETING = "_HUB_TFX_COMPLETE"
"""Variable by which a shell asks for completions, as click names it."""
_SIGNALLED = 128
_received: list[int] = []


class _LazyGroup(click.Group):
    """Imports a command's file when it is asked for.

    Packages above this one add commands by entry points, so that nothing here imports them.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *sorted(_entry_points().keys() - _COMMANDS.keys())]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands by section, each with the first sentence of its help."""
        names = self.list_commands(ctx)
        named = {name for section in _SECTIONS.values() for name in section}
        others = [name for name in names if name not in named]
        width = formatter.width - 6 - max(map(len, names))
        for title, section in {**_SECTIONS, _OTHERS: others}.items():
            commands = [(n, self.get_command(ctx, n)) for n in section if n in names]
            rows = [
                (n, command.get_short_help_str(width))
                for n, command in commands
                if command and not command.hidden
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        command = self._command(name)
        if command is not None and _COMPLETING in os.environ:
            from hub_tfx.cli.complete import offered

            return offered(command)
        return command

    def _command(self, name: str) -> click.Command | None:
        if name in _COMMANDS:
            module, _, attribute = _COMMANDS[name].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        entry_point = _entry_points().get(name)
        return None if entry_point is None else _load(entry_point)


@cache
def _entry_points() -> dict[str, metadata.EntryPoint]:
    return {
        entry_point.name: entry_point for entry_point in metadata.entry_points(group=_ENTRY_POINTS)
    }


def _load(entry_point: metadata.EntryPoint) -> click.Command:
    """The command, or one that says that it cannot be imported: --help still lists the others."""
    try:
        command: click.Command = entry_point.load()
        return command
    except (ImportError, AttributeError) as error:
        message = f"{entry_point.name} ({entry_point.value}) cannot be loaded: {error}"

    def fail() -> None:
        raise HubTfxError(f"{message}; install its package again")

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(
        entry_point.name, settings, fail, short_help="Cannot be loaded.", add_help_option=False
    )


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hub-tfx")
def cli() -> None:
    """Embed with TensorFlow Hub modules, fine-tune and create them, on TFX and Apache Beam."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line, in a child process where that is possible, and exits."""
    if instruction := os.environ.get(_COMPLETING):
        _complete(instruction)
    given = sys.argv[1:] if arguments is None else arguments
    if arguments is None:
        with_tcmalloc(given)
    exit_code = guarded(partial(_run_interruptibly, given), lambda told: tell(f"error: {told}"))
    leave(exit_code)


def _complete(instruction: str) -> NoReturn:
    """Answers a shell, and ends."""
    from hub_tfx.cli.complete import answer, end_in_time

    end_in_time()
    print_as_it_is(answer(cli, instruction))
    leave(0)


def _run_interruptibly(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # It may be ignored.
        signal.signal(signal.SIGINT, OneInterrupt())
    return run(arguments)


def _interrupt(received: int, _: object) -> None:
    """Ends a command on SIGTERM as Ctrl-C does, which removes what is half done."""
    signal.signal(received, signal.SIG_IGN)
    _received.append(received)
    raise KeyboardInterrupt


def run(arguments: list[str]) -> int:
    """Runs the command line and returns the exit code."""
    return run_command(cli, arguments, "hub-tfx")


def run_command(command: click.Command, arguments: list[str], name: str) -> int:
    """Runs any command as ours run: errors are one line on stderr and an exit code."""
    try:
        with _warnings_in_a_line(), showing(ShownDownload()):
            _check_utf8(arguments)
            result = command.main(arguments, prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        return _fail([error.format_message()], error.exit_code)
    except HubTfxError as error:
        if _debug():
            raise
        return _fail(error.lines, error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        told = _received.pop() if _received else signal.SIGINT
        return _fail(["interrupted"], _SIGNALLED + told)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        if _debug():
            raise
        message = f"unexpected {type(error).__name__}: {error} (HUB_TFX_DEBUG=1 shows where)"
        return _fail([message], 1)
    return result if isinstance(result, int) else 0


def _check_utf8(arguments: Sequence[str]) -> None:
    """Raises UsageError for a name that no output, report or manifest could hold."""
    for argument in arguments:
        if (shown := odd_name(argument)) is not None:
            raise UsageError(f"{shown} is not valid UTF-8: rename the file or folder")


@contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Logs our warnings as plain lines on stderr; the libraries' handlers would frame them."""
    logger, handler = logging.getLogger("hub_tfx"), _Line(logging.WARNING)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


class _Line(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell(record.getMessage())


def _debug() -> bool:
    return os.environ.get("HUB_TFX_DEBUG", "") not in ("", "0")


def _fail(messages: Sequence[str], exit_code: int) -> int:
    for message in messages:
        tell(f"error: {message}")
    return exit_code
