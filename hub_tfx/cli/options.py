"""Options that take several values; Beam's own options behind `--`, and Beam's own log."""

import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from hub_tfx.errors import UsageError

_BEAM_OPTIONS = "hub_tfx.beam_options"


class ManyValuesCommand(click.Command):
    """A command whose repeatable options take many values.

    `--input a b` means what `--input a --input b` does, so that a shell may expand a glob.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._repeat_options(args))

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


class BeamCommand(ManyValuesCommand):
    """A command that ends in `[-- BEAM OPTIONS…]`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ours, beam = _split(args)
        ctx.meta[_BEAM_OPTIONS] = beam
        return super().parse_args(ctx, ours)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- BEAM OPTIONS…]"]


def beam_options() -> list[str]:
    """What stood behind `--` on the command line.

    Raises:
      ConfigError: Beam cannot parse a value.
    """
    options: list[str] = click.get_current_context().meta[_BEAM_OPTIONS]
    if options:
        from hub_tfx.beam.runner import parse_beam_arguments

        parse_beam_arguments(options)
    return options


@contextmanager
def current_directory_on_path() -> Iterator[None]:
    """As `python -m` has it: an installed command does not. For the calls of a user's function too,
    not only its import, since it may import more when it is called."""
    directory = os.getcwd()
    sys.path.insert(0, directory)
    try:
        yield
    finally:
        sys.path.remove(directory)


@contextmanager
def errors_told_once() -> Iterator[None]:
    """Keeps Beam and TFX from logging, with a traceback, the error that the command will tell."""
    if os.environ.get("HUB_TFX_DEBUG", "") not in ("", "0"):
        yield
        return
    loggers = [logging.getLogger(name) for name in ("apache_beam.runners", "absl")]
    levels = [logger.level for logger in loggers]
    root = logging.getLogger()
    told_by_threads = threading.excepthook
    try:
        threading.excepthook = lambda _: None  # Of runners, about a worker that is gone.
        root.addFilter(_is_no_job_message)
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        threading.excepthook = told_by_threads
        root.removeFilter(_is_no_job_message)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _is_no_job_message(record: logging.LogRecord) -> bool:
    """Beam's portable runner hands on what a job says; it logs without a logger of its own."""
    return record.module != "portable_runner"


def _parse_tags(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    return None if value is None else tuple(tag for tag in value.split(",") if tag)


tags_option = click.option(
    "--tags",
    metavar="TAG,…",
    callback=_parse_tags,
    help="Which graph of a module that has several; the one tagged `serve` if not given.",
)


def embed_options(command: Any) -> Any:
    """The options that make an EmbedConfig; see ``embed_config``."""
    options = (
        click.option("--signature", help="Which signature; `__call__` or `default` if not given."),
        tags_option,
        click.option(
            "--no-batch",
            is_flag=True,
            default=None,
            help="The signature has no batch dimension: call it once a row. Found out where that "
            "alone fits.",
        ),
        click.option(
            "--input-map",
            multiple=True,
            metavar="KEY=FEATURE…",
            help="Which feature feeds which input.",
        ),
        click.option(
            "--output-map",
            multiple=True,
            metavar="KEY=FEATURE…",
            help="Which outputs to write, and under which names.",
        ),
        click.option(
            "--keep", multiple=True, metavar="FEATURE…", help="Features to copy to the output."
        ),
        click.option(
            "--batch-size", type=click.IntRange(1), help="Rows a call of the module.  [2048]"
        ),
        click.option(
            "--batch-bytes",
            type=click.IntRange(1),
            help="Bytes a call is fed, were all its rows as large as the largest.  [64 MiB]",
        ),
        click.option(
            "--call-timeout",
            "call_timeout_s",
            type=click.FloatRange(0, min_open=True),
            metavar="SECONDS",
            help="After which a call of the module is cancelled, and tried with fewer rows.  [600]",
        ),
        click.option(
            "--text-encoding",
            type=click.Choice(["utf-8", "bytes"]),
            help="What string inputs take; rows that are not valid UTF-8 are rejected.  [utf-8]",
        ),
        click.option(
            "--image-paths",
            "image_source",
            flag_value="path",
            help="Features for images hold the paths of image files.",
        ),
        click.option(
            "--image-size",
            nargs=2,
            type=click.IntRange(1),
            metavar="HEIGHT WIDTH",
            help="To which images are resized, where the module takes any size.",
        ),
        click.option(
            "--normalize",
            is_flag=True,
            default=None,
            help="Divide vectors by their L2 norm; zero stays zero.",
        ),
        click.option(
            "--output-dtype",
            type=click.Choice(["float32", "float16", "int8"]),
            help="Of vectors; int8 has a scale for each row.  [float32]",
        ),
        click.option(
            "--import",
            "imports",
            multiple=True,
            metavar="PACKAGE…",
            help="Packages to import before the module is loaded, such as those with its ops.",
        ),
        click.option(
            "--deduplicate",
            is_flag=True,
            default=None,
            help="Embed equal rows once, in each worker, and copy the result.",
        ),
        click.option(
            "--max-dead-letter-ratio",
            type=click.FloatRange(0, 1),
            help="Fail if a larger share of the rows is rejected.  [1.0: only if all are]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def embed_config(input_map: Sequence[str], output_map: Sequence[str], **options: Any) -> Any:
    """The EmbedConfig of what ``embed_options`` parsed."""
    from hub_tfx.embed.config import EmbedConfig

    return EmbedConfig(
        inputs=pairs("--input-map", input_map),
        outputs=pairs("--output-map", output_map),
        **{name: value for name, value in options.items() if value is not None},
    )


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
