"""The options that make the config of a pipeline, for every command that takes one.

Nothing here imports TFX before a config is made: `hub-tfx --help` imports this file.
"""

from typing import TYPE_CHECKING, Any

import click

from hub_tfx.cli.fine_tune_options import base_options, fine_tune_config, fine_tune_options
from hub_tfx.cli.names import RenamedOption
from hub_tfx.cli.options import (
    add_options,
    beam_options,
    check_preprocessor_digest,
    embed_config,
    embed_options,
    preprocessor_option,
    preprocessor_sha256_option,
    sha256_option,
)
from hub_tfx.errors import UsageError
from hub_tfx_pipelines.ending_options import ending_configs, ending_of, ending_options

if TYPE_CHECKING:
    from hub_tfx.lineage.connection import Connection
    from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig
    from hub_tfx_pipelines.finetune_pipeline import FineTunePipelineConfig


_OF_MODULES = ("module", "module_digest", "preprocessor", "preprocessor_digest")
_OF_INPUT = ("data_root", "example_gen", "pipeline_name", *_OF_MODULES)
_OF_EMBEDDING = ("incremental", "state_dir")
_OF_FINE_TUNING = ("module_fn", "module_format", "warm_start", "texts", "kept", "run_fn")
_digest_option = sha256_option("module_digest")
_preprocessor_options = (preprocessor_option, preprocessor_sha256_option)


def embed_pipeline_options(command: Any) -> Any:
    """Adds the options of the embedding pipeline; see ``embed_pipeline_config``."""
    options = (
        click.option(
            "--module",
            required=True,
            metavar="HANDLE",
            help="Embed with this module: a URL, an archive or a directory.",
        ),
        _digest_option,
        *_preprocessor_options,
        click.option(
            "--incremental",
            is_flag=True,
            help="Copy unchanged rows from the last run of the pipeline, if there is one.",
        ),
        click.option(
            "--state-dir",
            metavar="DIR",
            help="Copy unchanged rows from the embeddings that DIR names, and name the new ones "
            "there: for platforms that cannot find those of the last run themselves.",
        ),
        embed_options,
    )
    return add_options(command, *_input_options("embed"), *options)


def embed_pipeline_config(
    pipeline_root: str, metadata: "Connection | None" = None, **options: Any
) -> "EmbedPipelineConfig":
    """The EmbedPipelineConfig of what ``embed_pipeline_options`` parsed.

    Raises:
      UsageError: options contradict each other, or a value makes no sense.
    """
    of_pipeline = {name: options.pop(name) for name in (*_OF_INPUT, *_OF_EMBEDDING)}
    check_preprocessor_digest(of_pipeline["preprocessor"], of_pipeline["preprocessor_digest"])
    embed, beam = embed_config(**options), tuple(beam_options())  # Before TFX, which takes long.
    from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig

    return EmbedPipelineConfig(
        pipeline_root=pipeline_root,
        metadata=metadata,
        embed=embed,
        beam_pipeline_args=beam,
        **of_pipeline,
    )


def fine_tune_pipeline_options(command: Any) -> Any:
    """Adds the options of the fine-tuning pipeline; see ``fine_tune_pipeline_config``."""
    options = (
        base_options,
        _digest_option,
        *_preprocessor_options,
        click.option(
            "--warm-start",
            is_flag=True,
            help="Start from the module that the last run of the pipeline made, if there is one.",
        ),
        click.option(
            "--text",
            "texts",
            multiple=True,
            metavar="FEATURE…",
            help="Take these features as text, and clean their white space up.  [`text`; with "
            "--keep only if there is such a feature]",
        ),
        click.option(
            "--keep",
            "--kept",
            "kept",
            cls=RenamedOption,
            multiple=True,
            metavar="FEATURE…",
            help="Take these features as they are, such as encoded images.",
        ),
        click.option(
            "--run-fn",
            metavar="PACKAGE.MODULE:FUNCTION",
            help="Train with this function of yours instead of ours.",
        ),
        fine_tune_options,
        ending_options,
    )
    return add_options(command, *_input_options("finetune"), *options)


def fine_tune_pipeline_config(
    pipeline_root: str, metadata: "Connection | None" = None, **options: Any
) -> "FineTunePipelineConfig":
    """The FineTunePipelineConfig of what ``fine_tune_pipeline_options`` parsed.

    Raises:
      UsageError: options contradict each other, or a value makes no sense.
    """
    of_pipeline = {name: options.pop(name) for name in (*_OF_INPUT, *_OF_FINE_TUNING)}
    if of_pipeline["module_digest"] and not of_pipeline["module"]:
        raise UsageError("--sha256 is that of --module: give both")
    check_preprocessor_digest(of_pipeline["preprocessor"], of_pipeline["preprocessor_digest"])
    of_pipeline["texts"] = of_pipeline["texts"] or None
    is_of_classes = options["task"] in (None, "classification")
    ending = ending_of(options, options["label"] if is_of_classes else None)
    fine_tune, beam = fine_tune_config(**options), tuple(beam_options())
    from hub_tfx_pipelines.finetune_pipeline import FineTunePipelineConfig

    return FineTunePipelineConfig(
        pipeline_root=pipeline_root,
        metadata=metadata,
        fine_tune=fine_tune,
        **ending_configs(ending),
        beam_pipeline_args=beam,
        **of_pipeline,
    )


def _input_options(pipeline_name: str) -> tuple[Any, ...]:
    """Adds the options that every pipeline has: its input and its runs."""
    return (
        click.option(
            "--data-root", required=True, metavar="DIR", help="Read the input files in this folder."
        ),
        click.option(
            "--example-gen",
            type=click.Choice(["import", "csv"]),
            default="import",
            show_default=True,
            help="Read TFRecord files of tf.Example (import) or CSV files (csv).",
        ),
        click.option(
            "--pipeline-name",
            default=pipeline_name,
            show_default=True,
            metavar="NAME",
            help="Keep the runs of the pipeline in ML Metadata under this name.",
        ),
    )
