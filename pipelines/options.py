"""The options that make the config of a pipeline, for every command that takes one.

Nothing here imports TFX: `hub-tfx --help` imports this file.
"""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from hub_tfx.cli.fine_tune_options import base_options, fine_tune_options, fine_tune_values
from hub_tfx.cli.names import RenamedOption
from hub_tfx.cli.options import (
    add_options,
    check_preprocessor_digest,
    embed_options,
    embed_values,
    preprocessor_option,
    preprocessor_sha256_option,
    safety_options,
    sha256_option,
)
from hub_tfx.embed.generations import DEFAULT_KEEP
from hub_tfx.errors import UsageError
from hub_tfx_pipelines.config_file.document import Document
from hub_tfx_pipelines.config_file.registry import config_class
from hub_tfx_pipelines.config_options import (
    config_of,
    config_options,
    put_given,
    read_given,
    required_in_file,
)
from hub_tfx_pipelines.ending_options import OF_ENDING, ending_options, put_ending
from hub_tfx_pipelines.place_options import put_places

if TYPE_CHECKING:
    from hub_tfx_pipelines.configs import (
        EmbedPipelineConfig,
        FineTunePipelineConfig,
        RetrainPipelineConfig,
    )


_digest_option = sha256_option("module_digest")
_preprocessor_options = (preprocessor_option, preprocessor_sha256_option)


_TRAINING = (
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
)
"""What is trained on, and by what."""
_WINDOW = (
    click.option(
        "--window-last",
        type=click.IntRange(min=1),
        metavar="N",
        help="Learn from the newest N spans of the input.  [1]",
    ),
    click.option(
        "--since-published",
        is_flag=True,
        help="Learn from the spans that the version in use has not learned: new, late or "
        "rewritten ones. The newest span if there are none.",
    ),
)
"""Which spans are learned from."""

_OF_GENERATIONS = {"root": "embeddings_root", "keep": "keep_generations"}
"""Key of an EmbeddingsRoot -> parameter of the command."""


_GENERATIONS = (
    click.option(
        "--embeddings-root",
        metavar="DIR",
        help="Make the embeddings the latest generation in DIR, from which others read: a "
        "directory, s3://… or gs://….",
    ),
    click.option(
        "--keep-generations",
        type=click.IntRange(min=1),
        metavar="N",
        help=f"Keep the newest N generations there.  [{DEFAULT_KEEP}]",
    ),
)


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
        *_GENERATIONS,
        embed_options,
    )
    return required_in_file(
        add_options(command, *_input_options("embed"), *options), "data_root", "module"
    )


def embed_pipeline_config(
    pipeline_root: str | None = None, **options: Any
) -> "EmbedPipelineConfig":
    """The EmbedPipelineConfig of what ``embed_pipeline_options`` parsed, over its file.

    Raises:
      UsageError: options contradict each other, or a value makes no sense.
    """
    document = embed_document(pipeline_root=pipeline_root, **options)
    config: EmbedPipelineConfig = config_of("embed", document)
    return config


def embed_document(**options: Any) -> Document:
    """What ``embed_pipeline_config`` makes its config of."""
    document = read_given("embed", options)
    _put_pipeline(document, options, "embed")
    _put_generations(document, options)
    names = {"inputs": "input_map", "outputs": "output_map"}
    put_given(document, embed_values(**options), ("embed",), names)
    return document


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
        *_TRAINING,
        click.option(
            "--eval-config",
            metavar="FILE",
            help="Let TFX's Evaluator judge the serving model as well, by the tfma.EvalConfig in "
            "this file of JSON.",
        ),
        fine_tune_options,
        ending_options,
    )
    return required_in_file(
        add_options(command, *_input_options("finetune"), *options), "data_root", "label"
    )


def fine_tune_pipeline_config(
    pipeline_root: str | None = None, **options: Any
) -> "FineTunePipelineConfig":
    """The FineTunePipelineConfig of what ``fine_tune_pipeline_options`` parsed, over its file.

    Raises:
      UsageError: options contradict each other, or a value makes no sense.
    """
    document = fine_tune_document(pipeline_root=pipeline_root, **options)
    config: FineTunePipelineConfig = config_of("fine-tune", document)
    return config


def fine_tune_document(**options: Any) -> Document:
    """What ``fine_tune_pipeline_config`` makes its config of."""
    return _trained_document("fine-tune", options)


def retrain_pipeline_options(command: Any) -> Any:
    """Adds the options of the retraining pipeline; see ``retrain_pipeline_config``."""
    options = (
        click.option(
            "--module",
            required=True,
            metavar="HANDLE",
            help="The base module, which is in use until a version is published. A new one is a "
            "reason to train.",
        ),
        _digest_option,
        *_preprocessor_options,
        *_TRAINING,
        click.option(
            "--min-new-rows",
            type=click.IntRange(min=1),
            metavar="N",
            help="Train only if the new and rewritten spans have this many rows.",
        ),
        click.option(
            "--schema",
            "schema_file",
            metavar="FILE",
            help="Find anomalies by this Schema of TFX, and learn nothing while there are any.  "
            "[inferred from the rows]",
        ),
        click.option(
            "--state-dir",
            metavar="DIR",
            help="Keep in DIR what was learned last and where the last embeddings are: for "
            "platforms that cannot find the results of the last run themselves.",
        ),
        *_WINDOW,
        *_GENERATIONS,
        fine_tune_options,
        ending_options,
    )
    return required_in_file(
        add_options(command, *_input_options("retrain"), *options), "data_root", "module", "label"
    )


def retrain_pipeline_config(
    pipeline_root: str | None = None, **options: Any
) -> "RetrainPipelineConfig":
    """The RetrainPipelineConfig of what ``retrain_pipeline_options`` parsed, over its file.

    Raises:
      UsageError: options contradict each other, or a value makes no sense.
    """
    document = retrain_document(pipeline_root=pipeline_root, **options)
    config: RetrainPipelineConfig = config_of("retrain", document)
    return config


def retrain_document(**options: Any) -> Document:
    """What ``retrain_pipeline_config`` makes its config of."""
    of_gate = {"min_new_rows": options.pop("min_new_rows")}
    since = "published" if options.pop("since_published") else None
    window = {"last": options.pop("window_last"), "since": since}
    of_embeddings = {name: options.pop(name) for name in _OF_GENERATIONS.values()}
    document = _trained_document("retrain", options)
    put_given(document, of_gate, ("retrain",))
    put_given(document, window, ("window",), {"last": "window_last", "since": "since_published"})
    _put_generations(document, of_embeddings)
    return document


def _trained_document(pipeline: str, options: dict[str, Any]) -> Document:
    document = read_given(pipeline, options)
    _put_pipeline(document, options, pipeline)
    ending = {name: options.pop(name) for name in OF_ENDING}
    put_given(document, fine_tune_values(**options), ("fine_tune",), {"inputs": "input_map"})
    put_ending(document, ending)
    return document


def _put_generations(document: Document, options: dict[str, Any]) -> None:
    """Puts what the options of generations gave, which are taken out, over a document.

    Raises:
      UsageError: there is a number of generations, and no root.
    """
    given = {key: options.pop(name) for key, name in _OF_GENERATIONS.items()}
    if given["keep"] and not given["root"] and document.get(("embeddings", "root")) is None:
        raise UsageError("--keep-generations is for --embeddings-root: give both")
    put_given(document, given, ("embeddings",), _OF_GENERATIONS)


def _put_pipeline(document: Document, options: dict[str, Any], pipeline: str) -> None:
    """Puts options that are attributes of the config itself over a document.

    Raises:
      UsageError: a digest is given, and no module that has it.
    """
    if "output_root" in options:
        put_places(document, options)
    names = [key.name for key in fields(config_class(pipeline)) if key.name in options]
    given = {name: options.pop(name) for name in names}
    put_given(document, given)
    if given["module_digest"] and document.get(("module",)) is None:
        raise UsageError("--sha256 is that of --module: give both")
    if document.get(("preprocessor",)) is None:
        check_preprocessor_digest(None, given["preprocessor_digest"])


def _input_options(pipeline_name: str) -> tuple[Any, ...]:
    """The options that every pipeline has: its file, its input and its runs."""
    return (
        config_options,
        click.option(
            "--data-root", required=True, metavar="DIR", help="Read the input files in this folder."
        ),
        click.option(
            "--lock-file",
            metavar="FILE",
            help="Take modules at the digests that this lock file names, and no others: see "
            "`hub-tfx resolve --lock`.",
        ),
        click.option(
            "--example-gen",
            type=click.Choice(["import", "csv"]),
            help="Read TFRecord files of tf.Example (import) or CSV files (csv).  [import]",
        ),
        click.option(
            "--pipeline-name",
            metavar="NAME",
            help="Keep the runs of the pipeline in ML Metadata under this name.  "
            f"[{pipeline_name}]",
        ),
        safety_options,
    )
