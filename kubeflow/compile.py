"""Compiles a pipeline for Vertex AI Pipelines or Kubeflow Pipelines, with no cluster at hand.

python -m hub_tfx_kubeflow.compile embed --data-root gs://… --module https://… --image IMAGE …
"""

import sys
from typing import Any

import click

from hub_tfx._quiet import quiet_libraries
from hub_tfx.cli.fine_tune_options import base_options, fine_tune_config, fine_tune_options
from hub_tfx.cli.main import run_command
from hub_tfx.cli.options import BeamCommand, beam_options, embed_config, embed_options
from hub_tfx.errors import UsageError
from hub_tfx_kubeflow.formats import check_output, write_pipeline


def _pipeline_options(command: Any) -> Any:
    """The options of both pipelines."""
    options = (
        click.option("--data-root", required=True, help="Folder with TFRecord or CSV files."),
        click.option("--example-gen", type=click.Choice(["import", "csv"]), default="import"),
        click.option("--digest", help="Which the module must have, in hex."),
        click.option("--pipeline-root", required=True, help="Folder for artifacts."),
        click.option("--image", required=True, help="Container image with hub_tfx installed."),
        click.option(
            "--output",
            required=True,
            metavar="FILE",
            help="A .json for Vertex AI Pipelines, a .yaml for Kubeflow Pipelines.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def cli() -> None:
    """Compile a hub_tfx pipeline for Vertex AI Pipelines or Kubeflow Pipelines."""


@cli.command(cls=BeamCommand)
@_pipeline_options
@click.option("--module", required=True, metavar="HANDLE", help="URL of the module.")
@click.option("--preprocessor", metavar="HANDLE", help="Of a module whose outputs feed the module.")
@click.option("--pipeline-name", default="embed", show_default=True)
@click.option(
    "--state-dir",
    metavar="DIR",
    help="Names the embeddings of the last run, from which unchanged rows are copied.",
)
@embed_options
def embed(
    data_root: str,
    example_gen: Any,
    digest: str | None,
    pipeline_root: str,
    image: str,
    output: str,
    module: str,
    preprocessor: str | None,
    pipeline_name: str,
    state_dir: str | None,
    **options: Any,
) -> None:
    """Compile the embedding pipeline; options behind `--` are its Beam options."""
    quiet_libraries()
    check_output(output)
    from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig, create_pipeline

    config = EmbedPipelineConfig(
        pipeline_name=pipeline_name,
        pipeline_root=pipeline_root,
        data_root=data_root,
        module=module,
        module_digest=digest,
        preprocessor=preprocessor,
        embed=embed_config(**options),
        example_gen=example_gen,
        state_dir=state_dir,
        beam_pipeline_args=tuple(beam_options()),
    )
    write_pipeline(create_pipeline(config), image, output)
    click.echo(output)


@cli.command(cls=BeamCommand)
@_pipeline_options
@base_options
@click.option("--warm-start", is_flag=True, help="Start from what the last run made; only in YAML.")
@click.option("--pipeline-name", default="finetune", show_default=True)
@click.option("--text", "texts", multiple=True, default=["text"], metavar="FEATURE…")
@click.option("--kept", multiple=True, metavar="FEATURE…", help="Such as encoded images.")
@click.option("--run-fn", metavar="MODULE.FUNCTION", help="Your own training function.")
@fine_tune_options
def finetune(
    data_root: str,
    example_gen: Any,
    digest: str | None,
    pipeline_root: str,
    image: str,
    output: str,
    module: str | None,
    module_fn: str | None,
    module_format: Any,
    warm_start: bool,
    pipeline_name: str,
    texts: tuple[str, ...],
    kept: tuple[str, ...],
    run_fn: str | None,
    **options: Any,
) -> None:
    """Compile the fine-tuning pipeline; options behind `--` are its Beam options."""
    quiet_libraries()
    check_output(output)
    if digest is not None and module is None:
        raise UsageError("--digest is that of --module: give both")
    from hub_tfx_pipelines.finetune_pipeline import FineTunePipelineConfig, create_pipeline

    config = FineTunePipelineConfig(
        pipeline_name=pipeline_name,
        pipeline_root=pipeline_root,
        data_root=data_root,
        module=module,
        module_digest=digest,
        module_fn=module_fn,
        module_format=module_format,
        warm_start=warm_start,
        fine_tune=fine_tune_config(**options),
        texts=texts,
        kept=kept,
        example_gen=example_gen,
        run_fn=run_fn,
        beam_pipeline_args=tuple(beam_options()),
    )
    write_pipeline(create_pipeline(config), image, output)
    click.echo(output)


if __name__ == "__main__":
    sys.exit(run_command(cli, sys.argv[1:], "compile"))
