"""The options `--config` and `--set`, and how options are put over a file.

What a command line says is put into one document: the file, then `--set`, then options, and the
environment variables that stand for them where `--set` gave nothing. The config of a pipeline is
made of that, with a file or without one, so that options and files cannot mean different things.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from hub_tfx.cli.options import BeamCommand, add_options, beam_options
from hub_tfx.errors import ConfigError
from hub_tfx_pipelines.config_file.build import build_or_problems
from hub_tfx_pipelines.config_file.document import (
    Document,
    Path,
    Problem,
    raise_problems,
    read_document,
)
from hub_tfx_pipelines.config_file.registry import config_class

_BEAM = "beam_pipeline_args"
_REQUIRED = "  [required here or in --config]"
_KEPT_OUT = ("--set",)
_OPTION_OF: Mapping[Path, Path] = {
    ("pipeline_root",): ("output_root",),
    ("publication",): ("repository",),
}
"""Path of a key -> the parameter that gives it, where its name is another one."""


class PipelineCommand(BeamCommand):
    """A command whose options are environment variables, too: `--keep` is HUB_TFX_KEEP."""

    def __init__(self, *args: Any, **settings: Any):
        """Arguments of a click.Command."""
        super().__init__(*args, **settings)
        for option in self.params:
            if isinstance(option, click.Option) and option.opts[0] not in _KEPT_OUT:
                option.envvar = "HUB_TFX_" + option.opts[0].strip("-").replace("-", "_").upper()


def config_options(command: Any) -> Any:
    """Adds `--config` and `--set`; see ``read_given``."""
    return add_options(
        command,
        click.option(
            "--config",
            "config_file",
            type=click.Path(),
            metavar="FILE",
            help="Take what no option gives from this YAML file: see `hub-tfx config`.",
        ),
        set_option("KEY.KEY=VALUE…"),
    )


def set_option(metavar: str) -> Any:
    """`--set`; the metavar says whether it takes several values."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar=metavar,
        help="Give a key of the config file this value, which is YAML. Options win over it.",
    )


def required_in_file(command: Any, *names: str) -> Any:
    """Lets required parameters of a command, which are added already, be in a file instead."""
    for option in command.__click_params__:
        if option.name in names:
            option.required = False
            option.help = f"{option.help}{_REQUIRED}"
    return command


def read_given(pipeline: str, options: dict[str, Any]) -> Document:
    """The document of `--config` and `--set`, which are taken out of the options.

    Raises:
      ConfigFileError: the file cannot be read, or is about another pipeline.
    """
    return read_document(
        options.pop("config_file", None), options.pop("settings", None) or (), pipeline
    )


def put_given(
    document: Document, values: Mapping[str, Any], above: Path = (), names: Mapping[str, str] = {}
) -> None:
    """Puts what options gave over a document.

    Args:
      document: the document.
      values: key -> value; None, False and nothing at all are not given.
      above: keys under which they go.
      names: key -> parameter of the command, where its name is another one.
    """
    for key, value in values.items():
        if value is None or value is False or value in ((), {}):
            continue
        path, parameter = (*above, key), names.get(key, key)
        if not (_is_of_environment(parameter) and document.is_set(path)):
            document.put(path, value, origin_of(parameter))


def origin_of(parameter: str) -> str:
    """What a parameter of the command was given by: its option, or an environment variable."""
    context = click.get_current_context()
    option = next((p for p in context.command.params if p.name == parameter), None)
    if option is None:
        return f"--{parameter}"
    return str(option.envvar) if _is_of_environment(parameter) else option.opts[0]


def _is_of_environment(parameter: str) -> bool:
    source = click.get_current_context().get_parameter_source(parameter)
    return source is ParameterSource.ENVIRONMENT


def config_of(pipeline: str, document: Document) -> Any:
    """The config of a pipeline, with Beam's options after `--` over it.

    Raises:
      click.MissingParameter: a required option is missing, and there is no file.
      HubTfxError: something is wrong; of a file, everything is told.
    """
    made = build_given(pipeline, document)
    _check_beam(document, made.beam_pipeline_args)
    return made


def build_given(pipeline: str, document: Document) -> Any:
    """The same, where Beam itself is not asked about its options."""
    if given := beam_options():
        document.put((_BEAM,), given, "--")
    config, problems = build_or_problems(document, config_class(pipeline))
    if document.file is None:
        _tell_as_option(problems)
    raise_problems(problems)
    return config


def _check_beam(document: Document, arguments: Sequence[str]) -> None:
    """Raises ConfigError where Beam cannot parse the options; of a file, where they are."""
    if arguments:
        from hub_tfx.beam.runner import parse_beam_arguments

        try:
            parse_beam_arguments(list(arguments))
        except ConfigError as error:
            if beam_options():
                raise
            raise_problems([Problem(document.origin_of((_BEAM,)), _BEAM, str(error))])


def _tell_as_option(problems: Sequence[Problem]) -> None:
    """Raises the first error as it is where there are options only."""
    context = click.get_current_context()
    for option in context.command.params:
        if any(option.name in _parameters(problem.missing) for problem in problems):
            raise click.MissingParameter(ctx=context, param=option)
    for problem in problems:
        if problem.cause is not None:
            raise problem.cause


def _parameters(path: Path) -> tuple[str, ...]:
    """The parameters that may give what is at a path."""
    return (*path[-1:], *_OPTION_OF.get(path, ()))
