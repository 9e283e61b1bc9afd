"""`hub-tfx config`: files that hold the config of a pipeline are checked, shown and described."""

from typing import Any

import click

from hub_tfx._yaml import flow
from hub_tfx.cli.names import RenamedGroup
from hub_tfx.cli.options import add_options
from hub_tfx.cli.output import json_option, print_json, print_problems, print_table, print_text
from hub_tfx.errors import ConfigFileError
from hub_tfx_pipelines.config_file.build import build
from hub_tfx_pipelines.config_file.document import Document, pipeline_of, read_document
from hub_tfx_pipelines.config_file.plain import rows_of, to_yaml
from hub_tfx_pipelines.config_file.registry import PIPELINES, config_class
from hub_tfx_pipelines.config_options import PipelineCommand, build_given, set_option
from hub_tfx_pipelines.options import (
    embed_document,
    embed_pipeline_options,
    fine_tune_document,
    fine_tune_pipeline_options,
    retrain_document,
    retrain_pipeline_options,
)
from hub_tfx_pipelines.place_options import place_options


@click.group(short_help="Check, show and describe config files of pipelines.")
def config() -> None:
    """Check, show and describe config files, which `hub-tfx run` and `hub-tfx compile` take.

    docs/config.md tells what is in them.
    """


@config.command(short_help="Say what is wrong with config files, line by line.")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@set_option("KEY.KEY=VALUE")
@json_option
def check(files: tuple[str, ...], settings: tuple[str, ...], as_json: bool) -> int:
    """Say everything that is wrong with config files, as FILE:LINE: KEY: what.

    What the command line of a run is going to give can be given with --set. Ends with 2 if a file
    has an error, or cannot be read.

    \b
    Example:
      hub-tfx config check fine-tune.yaml --set data_root=records
    """
    found = (problem for file in files for problem in _problems(file, settings))
    problems = [*dict.fromkeys(found)]  # What is wrong with --set is told once.
    print_problems(files, problems, as_json=as_json)
    return ConfigFileError.exit_code if problems else 0


@config.command(short_help="Print the JSON Schema of a config file.")
@click.argument("pipeline", type=click.Choice([*PIPELINES]))
def schema(pipeline: str) -> None:
    """Print the JSON Schema of the config file of a pipeline, for editors and other tools.

    \b
    Example:
      hub-tfx config schema fine-tune > fine-tune.schema.json
    """
    from hub_tfx_pipelines.config_file.schema import schema_of

    print_json(schema_of(pipeline))


@config.group(cls=RenamedGroup, short_help="Print each value, and where it comes from.")
def show() -> None:
    """Print each value that a run would have, and where it comes from.

    An option wins over --set, that over an environment variable, that over the file, and that over
    the default.
    """


def _show_options(command: Any) -> Any:
    options = (
        place_options,
        click.option(
            "--yaml", "as_yaml", is_flag=True, help="Print a config file that says the same."
        ),
        json_option,
    )
    return add_options(command, *options)


@show.command(cls=PipelineCommand, short_help="Print the config of the embedding pipeline.")
@embed_pipeline_options
@_show_options
def embed(as_yaml: bool, as_json: bool, **options: Any) -> None:
    """Print each value that `hub-tfx run embed` would have, and where it comes from.

    \b
    Example:
      hub-tfx config show embed --config embed.yaml --batch-size 64
    """
    document = embed_document(**options)
    _show("embed", document, as_yaml, as_json)


@show.command(
    "fine-tune", cls=PipelineCommand, short_help="Print the config of the fine-tuning pipeline."
)
@fine_tune_pipeline_options
@_show_options
def fine_tune(as_yaml: bool, as_json: bool, **options: Any) -> None:
    """Print each value that `hub-tfx run fine-tune` would have, and where it comes from.

    \b
    Example:
      hub-tfx config show fine-tune --config fine-tune.yaml --steps 500
    """
    document = fine_tune_document(**options)
    _show("fine-tune", document, as_yaml, as_json)


@show.command(cls=PipelineCommand, short_help="Print the config of the retraining pipeline.")
@retrain_pipeline_options
@_show_options
def retrain(as_yaml: bool, as_json: bool, **options: Any) -> None:
    """Print each value that `hub-tfx run retrain` would have, and where it comes from.

    \b
    Example:
      hub-tfx config show retrain --config retrain.yaml --min-new-rows 500
    """
    document = retrain_document(**options)
    _show("retrain", document, as_yaml, as_json)


def _show(pipeline: str, document: Document, as_yaml: bool, as_json: bool) -> None:
    made = build_given(pipeline, document)
    if as_yaml:
        print_text(to_yaml(pipeline, made).removesuffix("\n"))
        return
    rows = rows_of(document, made)
    if as_json:
        values = [{"key": key, "value": value, "from": origin} for key, value, origin in rows]
        print_json({"pipeline": pipeline, "values": values})
        return
    print_table(
        ("key", "value", "from"), [(key, flow(value), origin) for key, value, origin in rows]
    )


def _problems(file: str, settings: tuple[str, ...]) -> tuple[str, ...]:
    try:
        document = read_document(file, settings, None)
        build(document, config_class(pipeline_of(document)))
    except ConfigFileError as error:
        return error.problems
    return ()
