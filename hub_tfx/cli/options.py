"""Options that take several values; Beam's own options behind `--`, and Beam's own log."""

import io
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr

import click

from hub_tfx.errors import UsageError

_BEAM_OPTIONS = "hub_tfx.beam_options"


class BeamCommand(click.Command):
    """A command that ends in `[-- BEAM OPTIONS…]`, and whose repeatable options take many values.

    `--input a b` means what `--input a --input b` does, so that a shell may expand a glob.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ours, beam = _split(args)
        ctx.meta[_BEAM_OPTIONS] = beam
        return super().parse_args(ctx, self._repeat_options(ours))

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- BEAM OPTIONS…]"]

    def _repeat_options(self, args: Sequence[str]) -> list[str]:
        repeatable = {
            name
            for parameter in self.params
            if isinstance(parameter, click.Option) and parameter.multiple
            for name in parameter.opts
        }
        repeated: list[str] = []
        option = None
        for arg in args:
            if arg.startswith("-"):
                name = arg.partition("=")[0]
                option = name if name in repeatable else None
            elif option is not None and repeated[-1] != option:
                repeated.append(option)
            repeated.append(arg)
        return repeated


def beam_options() -> list[str]:
    """What stood behind `--` on the command line.

    Raises:
      UsageError: Beam cannot parse a value.
    """
    options: list[str] = click.get_current_context().meta[_BEAM_OPTIONS]
    if options:
        _check_beam_options(options)
    return options


def _check_beam_options(options: Sequence[str]) -> None:
    from hub_tfx.embed.job import pipeline_options

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            pipeline_options(options).get_all_options()
    except SystemExit:  # From argparse, after a hundred lines of usage.
        *_, complaint = said.getvalue().strip().split("error: ")
        raise UsageError(f"Beam options behind --: {complaint}") from None


@contextmanager
def errors_told_once() -> Iterator[None]:
    """Keeps Beam and TFX from logging, with a traceback, the error that the command will tell."""
    if os.environ.get("HUB_TFX_DEBUG", "") not in ("", "0"):
        yield
        return
    loggers = [logging.getLogger(name) for name in ("apache_beam.runners", "absl")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def pairs(option: str, values: Sequence[str]) -> dict[str, str]:
    """Parses values of the form KEY=FEATURE.

    Raises:
      UsageError: a value has no `=`, or a key is given twice.
    """
    parsed: dict[str, str] = {}
    for value in values:
        key, equals, feature = value.rpartition("=")
        if not (key and equals and feature):
            raise UsageError(f"{option} takes KEY=FEATURE, not {value!r}")
        if key in parsed:
            raise UsageError(f"{option} names {key!r} twice")
        parsed[key] = feature
    return parsed


def _split(args: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in args:
        return args, []
    at = args.index("--")
    return args[:at], args[at + 1 :]
