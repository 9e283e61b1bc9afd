"""Runs a pipeline on this machine: LocalDagRunner, ML Metadata in SQLite.

python -m hub_tfx_pipelines.run_local embed --data-root corpus --module DIR --output-root run
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hub_tfx._quiet import quiet_libraries
from hub_tfx.cli.main import run_command
from hub_tfx.cli.options import (
    BeamCommand,
    beam_options,
    embed_config,
    embed_options,
    errors_told_once,
)
from hub_tfx.errors import HubTfxError


@click.group()
def cli() -> None:
    """Run a hub_tfx pipeline on this machine."""


@cli.command(cls=BeamCommand)
@click.option("--data-root", required=True, metavar="DIR", help="TFRecord or CSV files.")
@click.option("--example-gen", type=click.Choice(["import", "csv"]), default="import")
@click.option("--module", required=True, metavar="HANDLE", help="URL, archive or directory.")
@click.option("--output-root", required=True, metavar="DIR", help="For artifacts and metadata.")
@click.option("--pipeline-name", default="embed", show_default=True)
@embed_options
def embed(
    data_root: str,
    example_gen: Any,
    module: str,
    output_root: str,
    pipeline_name: str,
    **options: Any,
) -> None:
    """Embed the files of a folder, tracked in ML Metadata."""
    quiet_libraries()
    from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig

    config = EmbedPipelineConfig(
        pipeline_name=pipeline_name,
        pipeline_root=str(Path(output_root, "artifacts")),
        data_root=data_root,
        module=module,
        embed=embed_config(**options),
        example_gen=example_gen,
        metadata_path=str(Path(output_root, "metadata.sqlite")),
        beam_pipeline_args=tuple(beam_options()),
    )
    with errors_told_once():
        result = run_embed(config)
    for name, value in result.items():
        click.echo(f"{name}\t{value}")


def run_embed(config: Any) -> dict[str, Any]:
    """Runs the embedding pipeline and reads its result back from ML Metadata.

    The module is resolved before anything starts and its digest pinned, so that TFX's execution
    cache notices new bytes behind an old handle.

    Args:
      config: an EmbedPipelineConfig with a metadata_path.

    Returns:
      The URI of the embeddings and their properties.

    Raises:
      HubTfxError: there is no input, the module cannot be resolved, a step failed, or the run is
        not complete.
    """
    import tfx.v1 as tfx

    from hub_tfx.embed.job import raise_own_errors
    from hub_tfx.embed.source import find_files
    from hub_tfx.store.cache import ModuleCache
    from hub_tfx_pipelines import metadata
    from hub_tfx_pipelines.embed_pipeline import create_pipeline

    if config.input_config is None:
        find_files([f"{config.data_root}/*"], config.example_gen)  # TFX would say less.
    resolved = ModuleCache().resolve(config.module, digest=config.module_digest)
    pipeline = create_pipeline(replace(config, module_digest=resolved.digest))
    Path(config.metadata_path).parent.mkdir(parents=True, exist_ok=True)
    try:
        with raise_own_errors():
            tfx.orchestration.LocalDagRunner().run(pipeline)
    except SystemExit as error:  # Not an Exception, so TFX leaves the step RUNNING.
        raise HubTfxError(f"a step ended the process with status {error.code}") from error
    store = metadata.open_sqlite(config.metadata_path)
    executions = metadata.latest_run(store, config.pipeline_name)
    metadata.check_complete(executions, len(pipeline.components))
    generator = next(e for e in executions if e.type.endswith("EmbeddingGenerator"))
    embeddings = metadata.outputs(store, generator)["embeddings"]
    return {"embeddings": embeddings.uri, **metadata.properties(embeddings)}


if __name__ == "__main__":
    sys.exit(run_command(cli, sys.argv[1:], "run_local"))
