"""Compiles a pipeline to JSON for Vertex AI Pipelines, with no cluster at hand.

python -m hub_tfx_kubeflow.compile embed --data-root gs://… --module https://… --image IMAGE …
"""

import sys
from pathlib import Path
from typing import Any

import click

from hub_tfx._quiet import quiet_libraries
from hub_tfx.cli.main import run_command
from hub_tfx.cli.options import BeamCommand, beam_options, embed_config, embed_options


@click.group()
def cli() -> None:
    """Compile a hub_tfx pipeline for Kubeflow."""


@cli.command(cls=BeamCommand)
@click.option("--data-root", required=True, help="Folder with the TFRecord files.")
@click.option("--module", required=True, metavar="HANDLE", help="URL of the module.")
@click.option("--digest", help="Which the module must have, in hex.")
@click.option("--pipeline-root", required=True, help="Folder for artifacts.")
@click.option("--pipeline-name", default="embed", show_default=True)
@click.option("--image", required=True, help="Container image with hub_tfx installed.")
@click.option("--output", required=True, metavar="FILE", help="The JSON to write.")
@embed_options
def embed(
    data_root: str,
    module: str,
    digest: str | None,
    pipeline_root: str,
    pipeline_name: str,
    image: str,
    output: str,
    **options: Any,
) -> None:
    """Compile the embedding pipeline; options behind `--` are its Beam options."""
    quiet_libraries()
    from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig

    config = EmbedPipelineConfig(
        pipeline_name=pipeline_name,
        pipeline_root=pipeline_root,
        data_root=data_root,
        module=module,
        module_digest=digest,
        embed=embed_config(**options),
        beam_pipeline_args=tuple(beam_options()),
    )
    compile_embed(config, image, output)
    click.echo(output)


def compile_embed(config: object, image: str, output: str) -> None:
    """Writes the embedding pipeline as a PipelineJob of Vertex AI Pipelines.

    Args:
      config: an EmbedPipelineConfig without a metadata_path: the platform brings its own.
      image: container image that the steps run in.
      output: the JSON file.
    """
    import tfx.v1 as tfx

    from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig, create_pipeline

    assert isinstance(config, EmbedPipelineConfig)
    experimental = tfx.orchestration.experimental
    runner = experimental.KubeflowV2DagRunner(
        config=experimental.KubeflowV2DagRunnerConfig(default_image=image),
        output_dir=str(Path(output).parent),
        output_filename=Path(output).name,
    )
    runner.run(create_pipeline(config), write_out=True)


if __name__ == "__main__":
    sys.exit(run_command(cli, sys.argv[1:], "compile"))
