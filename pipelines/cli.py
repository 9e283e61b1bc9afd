"""`hub-tfx run`: a pipeline on this machine, with LocalDagRunner and ML Metadata."""

from collections.abc import Mapping
from typing import Any

import click

from hub_tfx._quiet import quiet_libraries
from hub_tfx.cli.evaluate import BLESSED, NOT_BLESSED
from hub_tfx.cli.names import RenamedGroup
from hub_tfx.cli.options import current_directory_on_path, errors_told_once
from hub_tfx.cli.output import print_fields
from hub_tfx_pipelines.config_options import PipelineCommand
from hub_tfx_pipelines.options import (
    embed_pipeline_config,
    embed_pipeline_options,
    fine_tune_pipeline_config,
    fine_tune_pipeline_options,
    retrain_pipeline_config,
    retrain_pipeline_options,
)
from hub_tfx_pipelines.place_options import check_place, place_options


@click.group(cls=RenamedGroup)
def run() -> None:
    """Run a TFX pipeline on this machine, tracked in ML Metadata."""


@run.command(cls=PipelineCommand)
@embed_pipeline_options
@place_options
def embed(**options: Any) -> None:
    """Embed the files of a folder, tracked in ML Metadata.

    Prints where the embeddings are, and what ML Metadata says about them. Options after `--` go to
    Beam; without any the job runs in this process.

    \b
    Example:
      hub-tfx run embed --data-root records --module ./my_module --keep id --output-root run
    """
    quiet_libraries()
    config = embed_pipeline_config(**options)
    check_place(config)
    from hub_tfx_pipelines.run_local import run_embed

    with errors_told_once():
        result = run_embed(config)
    print_fields(result)


@run.command("fine-tune", cls=PipelineCommand, short_help="Fine-tune a module, or train a new one.")
@fine_tune_pipeline_options
@place_options
def fine_tune(**options: Any) -> int:
    """Fine-tune a module on the files of a folder, or train a new one, tracked in ML Metadata.

    Prints where the new module is, and what ML Metadata says about it. With --evaluate or --publish
    the new module is judged: ends with 4 if it is not blessed. Options after `--` go to Beam;
    without any its steps run in this process.

    \b
    Example:
      hub-tfx run fine-tune --data-root records --module ./my_module --label topic \\
        --output-root run --publish ./modules --name acme/words --card card.md --alias stable
    """
    quiet_libraries()
    config = fine_tune_pipeline_config(**options)
    check_place(config)
    from hub_tfx_pipelines.run_local import run_finetune

    with errors_told_once(), current_directory_on_path():
        result = run_finetune(config)
    return _ended(result)


@run.command(cls=PipelineCommand, short_help="Train again if there is something to learn from.")
@retrain_pipeline_options
@place_options
def retrain(**options: Any) -> int:
    """Train a module again, if there is something to learn from, and publish what is better.

    For schedules. Starts from the version in use, or from --module while there is none, and embeds
    the rows with the version that is in use afterwards. Prints what was decided and what became of
    it; `hub-tfx history` shows all runs. Ends with 4 if a new module was not blessed, and with 0 if
    there was nothing to learn from. Options after `--` go to Beam.

    \b
    Example:
      hub-tfx run retrain --config retrain.yaml --output-root run
    """
    quiet_libraries()
    config = retrain_pipeline_config(**options)
    check_place(config)
    from hub_tfx_pipelines.run_local import run_retrain

    with errors_told_once(), current_directory_on_path():
        result = run_retrain(config)
    return _ended(result)


def _ended(result: Mapping[str, Any]) -> int:
    """Prints what a run has made; the exit code that its verdict, if there is one, stands for."""
    print_fields(result)
    return 0 if result.get("verdict", BLESSED) == BLESSED else NOT_BLESSED
