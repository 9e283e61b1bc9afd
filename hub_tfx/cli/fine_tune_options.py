"""The options that make a FineTuneConfig, for every command that trains."""

from collections.abc import Sequence
from typing import Any

import click

from hub_tfx.cli.options import pairs


def base_options(command: Any) -> Any:
    """Adds those that say what to start from, and the format; the parameters are ``module``,
    ``module_fn`` and ``module_format``."""
    options = (
        click.option("--module", metavar="HANDLE", help="URL, archive or directory of the base."),
        click.option(
            "--module-fn",
            metavar="PACKAGE.MODULE:FUNCTION",
            help="No base: what builds a new module, with initial weights.",
        ),
        click.option(
            "--format",
            "module_format",
            type=click.Choice(["tf1_hub", "saved_model"]),
            help="Of the new module.  [that of --module; for --module-fn tf1_hub]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def fine_tune_options(command: Any) -> Any:
    """Adds them to a command; see ``fine_tune_config``."""
    options = (
        click.option("--label", required=True, metavar="FEATURE", help="The feature to learn."),
        click.option(
            "--task",
            type=click.Choice(["classification", "multilabel", "regression", "similarity"]),
            help="What is learned.  [classification]",
        ),
        click.option("--pair", metavar="FEATURE", help="For similarity: the second of each pair."),
        click.option("--signature", help="Which signature; `__call__` or `default` if not given."),
        click.option(
            "--input-map",
            multiple=True,
            metavar="KEY=FEATURE…",
            help="Which feature feeds which input.",
        ),
        click.option("--steps", type=click.IntRange(1), help="Of training.  [1000]"),
        click.option("--batch-size", type=click.IntRange(1), help="Rows a step.  [64]"),
        click.option("--learning-rate", type=click.FloatRange(0), help="Of the head.  [0.001]"),
        click.option(
            "--module-learning-rate",
            type=click.FloatRange(0),
            help="Of the module.  [that of the head]",
        ),
        click.option("--freeze", is_flag=True, help="Keep the module's weights."),
        click.option(
            "--unfreeze-after",
            type=click.IntRange(0),
            help="With --freeze: until this step.",
        ),
        click.option("--hidden", multiple=True, type=click.IntRange(1), metavar="UNITS…"),
        click.option("--dropout", type=click.FloatRange(0, 1, max_open=True)),
        click.option("--warmup-steps", type=click.IntRange(0)),
        click.option("--decay", type=click.Choice(["none", "linear", "cosine"])),
        click.option(
            "--eval-every",
            type=click.IntRange(1),
            help="Steps between evaluations.  [200]",
        ),
        click.option(
            "--patience",
            type=click.IntRange(1),
            help="Evaluations without a better loss.",
        ),
        click.option("--seed", type=int),
    )
    for option in reversed(options):
        command = option(command)
    return command


def fine_tune_config(input_map: Sequence[str], **options: Any) -> Any:
    """The FineTuneConfig of what ``fine_tune_options`` parsed."""
    from hub_tfx.finetune.config import FineTuneConfig

    return FineTuneConfig(
        inputs=pairs("--input-map", input_map),
        **{name: value for name, value in options.items() if value is not None},
    )
