"""`hub-tfx compile`: pipelines for Vertex AI Pipelines and Kubeflow Pipelines, with no cluster."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from hub_tfx._quiet import quiet_libraries
from hub_tfx.cli.names import RenamedGroup
from hub_tfx.cli.options import add_options
from hub_tfx.cli.output import print_path, tell
from hub_tfx.errors import UsageError
from hub_tfx_kubeflow.dataflow import with_workers
from hub_tfx_kubeflow.formats import (
    TARGETS,
    check_output,
    check_target,
    is_of_kubeflow,
    write_pipeline,
)
from hub_tfx_kubeflow.metadata import of_cluster
from hub_tfx_kubeflow.platform import missing_password, with_image
from hub_tfx_pipelines.config_options import PipelineCommand, required_in_file
from hub_tfx_pipelines.options import (
    embed_pipeline_config,
    embed_pipeline_options,
    fine_tune_pipeline_config,
    fine_tune_pipeline_options,
    retrain_pipeline_config,
    retrain_pipeline_options,
)

if TYPE_CHECKING:
    from hub_tfx_pipelines.configs import PipelineConfig


def _target_options(command: Any) -> Any:
    """Adds the options that say what to compile for; see ``_write``."""
    options = (
        click.option(
            "--pipeline-root",
            required=True,
            metavar="DIR",
            help="Keep artifacts in this folder, which every step reaches.",
        ),
        click.option(
            "--image",
            metavar="IMAGE",
            help="Run the steps in this container image, which has hub_tfx installed.  [required "
            "here, or as platform.image in --config]",
        ),
        click.option(
            "--target",
            type=click.Choice([*TARGETS]),
            help="Compile for Kubeflow Pipelines (kfp) or Vertex AI Pipelines (vertex).  [what "
            "the ending of --output says]",
        ),
        click.option(
            "--output",
            metavar="FILE",
            help="Write this file: a .json for Vertex AI Pipelines, a .yaml for Kubeflow "
            "Pipelines.  [required without --target; with it, PIPELINE.json or PIPELINE.yaml]",
        ),
    )
    return required_in_file(add_options(command, *options), "pipeline_root")


@click.group(
    "compile",
    cls=RenamedGroup,
    short_help="Compile a TFX pipeline for Vertex AI or Kubeflow.",
)
def compile_() -> None:
    """Compile a TFX pipeline for Vertex AI Pipelines or Kubeflow Pipelines."""


@compile_.command(cls=PipelineCommand, short_help="Compile the embedding pipeline.")
@embed_pipeline_options
@_target_options
def embed(image: str | None, target: str | None, output: str | None, **options: Any) -> None:
    """Compile the embedding pipeline, and print the path of the file.

    Its steps run elsewhere: relative paths are refused, and so are those that exist here. Options
    after `--` are those of its Beam steps.

    \b
    Example:
      hub-tfx compile embed --data-root gs://bucket/records --module https://example.org/text/1 \\
        --pipeline-root gs://bucket/root --image example.org/hub-tfx:1 --output embed.json
    """
    quiet_libraries()
    output = output_of(target, output, "embed")
    config = with_image(embed_pipeline_config(**options), image)
    from hub_tfx_pipelines.embed_pipeline import create_pipeline

    _write(config, create_pipeline, output)


@compile_.command("fine-tune", cls=PipelineCommand, short_help="Compile the fine-tuning pipeline.")
@fine_tune_pipeline_options
@_target_options
def fine_tune(image: str | None, target: str | None, output: str | None, **options: Any) -> None:
    """Compile the fine-tuning pipeline, and print the path of the file.

    Its steps run elsewhere: relative paths are refused, and so are those that exist here. Options
    after `--` are those of its Beam steps.

    \b
    Example:
      hub-tfx compile fine-tune --data-root gs://bucket/records --label topic \\
        --module https://example.org/text/1 --pipeline-root gs://bucket/root \\
        --image example.org/hub-tfx:1 --output fine-tune.json
    """
    quiet_libraries()
    output = output_of(target, output, "fine-tune")
    config = with_image(fine_tune_pipeline_config(**options), image)
    from hub_tfx_pipelines.finetune_pipeline import create_pipeline

    _write(config, create_pipeline, output)


@compile_.command(cls=PipelineCommand, short_help="Compile the retraining pipeline.")
@retrain_pipeline_options
@_target_options
def retrain(image: str | None, target: str | None, output: str | None, **options: Any) -> None:
    """Compile the retraining pipeline, and print the path of the file.

    Each run reads the version in use from the repository when it gets there. Vertex AI Pipelines
    needs --state-dir. Its steps run elsewhere: relative paths are refused, and so are those that
    exist here. Options after `--` are those of its Beam steps.

    \b
    Example:
      hub-tfx compile retrain --config retrain.yaml --target kfp --image example.org/hub-tfx:1
    """
    quiet_libraries()
    output = output_of(target, output, "retrain")
    config = with_image(retrain_pipeline_config(**options), image)
    config.check_baseline()
    from hub_tfx_pipelines.retrain_pipeline import create_pipeline

    _write(config, create_pipeline, output)


def output_of(target: str | None, output: str | None, pipeline: str) -> str:
    """The file to write, which can be written as far as its ending is concerned.

    Raises:
      UsageError: neither a target nor a file is named, or one is not for the other.
      HubTfxError: the package that compiles the format is not installed.
    """
    if output is None:
        if target is None:
            raise UsageError("give --output or --target: one of them says what to compile for")
        output = f"{pipeline}{TARGETS[target][0]}"
    elif target is not None:
        check_target(target, output)
    check_output(output)
    return output


def _write(config: "PipelineConfig", create_pipeline: Callable[[Any], Any], output: str) -> None:
    """Compiles a pipeline to a file, if its steps can reach all of its paths."""
    from hub_tfx.beam.runner import check_options
    from hub_tfx.beam.staging import check_reach, check_reach_of_containers

    check_reach_of_containers([*config.handles, *config.folders])
    check_reach(config.folders, config.beam_pipeline_args)
    config, said = with_workers(config)
    check_options(config.beam_pipeline_args)
    metadata = of_cluster(config.connection) if is_of_kubeflow(output) else None
    config = replace(config, metadata=None, metadata_path=None)  # That of a run on this machine.
    platform = config.platform
    assert platform.image is not None  # See with_image.
    write_pipeline(create_pipeline(config), platform.image, output, metadata, platform)
    for message in (*said, *missing_password(metadata, platform)):
        tell(message)
    print_path(output)
