"""Runs a pipeline on this machine: LocalDagRunner, ML Metadata in SQLite.

python -m hub_tfx_pipelines.run_local embed --data-root corpus --module DIR --output-root run
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hub_tfx._quiet import quiet_libraries
from hub_tfx.cli.fine_tune_options import base_options, fine_tune_config, fine_tune_options
from hub_tfx.cli.main import run_command
from hub_tfx.cli.options import (
    BeamCommand,
    ManyValuesCommand,
    beam_options,
    embed_config,
    embed_options,
    errors_told_once,
)
from hub_tfx.errors import HubTfxError
from hub_tfx.lineage.store import open_sqlite, properties_of


@click.group()
def cli() -> None:
    """Run a hub_tfx pipeline on this machine."""


@cli.command(cls=BeamCommand)
@click.option("--data-root", required=True, metavar="DIR", help="TFRecord or CSV files.")
@click.option("--example-gen", type=click.Choice(["import", "csv"]), default="import")
@click.option("--module", required=True, metavar="HANDLE", help="URL, archive or directory.")
@click.option("--preprocessor", metavar="HANDLE", help="Of a module whose outputs feed the module.")
@click.option("--output-root", required=True, metavar="DIR", help="For artifacts and metadata.")
@click.option("--pipeline-name", default="embed", show_default=True)
@click.option(
    "--incremental", is_flag=True, help="Copy unchanged rows from the last run, if there is one."
)
@embed_options
def embed(
    data_root: str,
    example_gen: Any,
    module: str,
    preprocessor: str | None,
    output_root: str,
    pipeline_name: str,
    incremental: bool,
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
        preprocessor=preprocessor,
        embed=embed_config(**options),
        example_gen=example_gen,
        incremental=incremental,
        metadata_path=str(Path(output_root, "metadata.sqlite")),
        beam_pipeline_args=tuple(beam_options()),
    )
    with errors_told_once():
        result = run_embed(config)
    for name, value in result.items():
        click.echo(f"{name}\t{value}")


@cli.command(cls=ManyValuesCommand)
@click.option("--data-root", required=True, metavar="DIR", help="TFRecord or CSV files.")
@click.option("--example-gen", type=click.Choice(["import", "csv"]), default="import")
@base_options
@click.option("--warm-start", is_flag=True, help="Start from what the last run made, if any.")
@click.option("--output-root", required=True, metavar="DIR", help="For artifacts and metadata.")
@click.option("--pipeline-name", default="finetune", show_default=True)
@click.option("--text", "texts", multiple=True, default=["text"], metavar="FEATURE…")
@click.option("--kept", multiple=True, metavar="FEATURE…", help="Such as encoded images.")
@click.option("--run-fn", metavar="MODULE.FUNCTION", help="Your own training function.")
@fine_tune_options
def finetune(
    data_root: str,
    example_gen: Any,
    module: str | None,
    module_fn: str | None,
    module_format: Any,
    warm_start: bool,
    output_root: str,
    pipeline_name: str,
    texts: tuple[str, ...],
    kept: tuple[str, ...],
    run_fn: str | None,
    **options: Any,
) -> None:
    """Fine-tune a module on the files of a folder, or train a new one, tracked in ML Metadata."""
    quiet_libraries()
    from hub_tfx_pipelines.finetune_pipeline import FineTunePipelineConfig

    config = FineTunePipelineConfig(
        pipeline_name=pipeline_name,
        pipeline_root=str(Path(output_root, "artifacts")),
        data_root=data_root,
        module=module,
        module_fn=module_fn,
        module_format=module_format,
        warm_start=warm_start,
        fine_tune=fine_tune_config(**options),
        texts=texts,
        kept=kept,
        example_gen=example_gen,
        run_fn=run_fn,
        metadata_path=str(Path(output_root, "metadata.sqlite")),
    )
    with errors_told_once():
        result = run_finetune(config)
    for name, value in result.items():
        click.echo(f"{name}\t{value}")


def run_embed(config: Any) -> dict[str, Any]:
    """Runs the embedding pipeline and reads its result back from ML Metadata.

    Args:
      config: an EmbedPipelineConfig with a metadata_path.

    Returns:
      The URI of the ``embeddings`` and their properties.

    Raises:
      HubTfxError: there is no input, the module cannot be resolved, a step failed, or the run is
        not complete.
    """
    from hub_tfx.store.cache import ModuleCache
    from hub_tfx_pipelines.embed_pipeline import create_pipeline

    if config.preprocessor is not None:  # As _run does with the module.
        found = ModuleCache().resolve(config.preprocessor, digest=config.preprocessor_digest)
        config = replace(config, preprocessor_digest=found.digest)
    return _run(config, create_pipeline, "EmbeddingGenerator", "embeddings")


def run_finetune(config: Any) -> dict[str, Any]:
    """Runs the fine-tuning pipeline and reads its result back from ML Metadata.

    Args:
      config: a FineTunePipelineConfig with a metadata_path.

    Returns:
      The URI of the new ``module`` artifact and its properties.

    Raises:
      HubTfxError: as ``run_embed``.
    """
    from hub_tfx_pipelines.finetune_pipeline import create_pipeline

    return _run(config, create_pipeline, "ModuleTrainer", "module")


def _run(
    config: Any, create_pipeline: Callable[[Any], Any], step: str, output: str
) -> dict[str, Any]:
    """Runs a pipeline and reads one output of one step back.

    The module is resolved before anything starts and its digest pinned, so that TFX's execution
    cache notices new bytes behind an old handle.
    """
    import tfx.v1 as tfx

    from hub_tfx.beam.runner import raise_own_errors
    from hub_tfx.data.files import find_files
    from hub_tfx.store.cache import ModuleCache
    from hub_tfx_pipelines import metadata

    quiet_libraries()  # Again: importing TFX has set its loggers up.
    if config.input_config is None:
        find_files([f"{config.data_root}/*"], config.example_gen)  # TFX would say less.
    if config.module is not None:
        resolved = ModuleCache().resolve(config.module, digest=config.module_digest)
        config = replace(config, module_digest=resolved.digest)
    pipeline = create_pipeline(config)
    Path(config.metadata_path).parent.mkdir(parents=True, exist_ok=True)
    try:
        with raise_own_errors():
            tfx.orchestration.LocalDagRunner().run(pipeline)
    except SystemExit as error:  # Not an Exception, so TFX leaves the step RUNNING.
        raise HubTfxError(f"a step ended the process with status {error.code}") from error
    store = open_sqlite(config.metadata_path)
    executions = metadata.latest_run(store, config.pipeline_name)
    metadata.check_complete(executions, len(pipeline.components))
    execution = next(e for e in executions if e.type.endswith(step))
    artifact = metadata.outputs(store, execution)[output]
    return {output: artifact.uri, **properties_of(artifact)}


if __name__ == "__main__":
    sys.exit(run_command(cli, sys.argv[1:], "run_local"))
