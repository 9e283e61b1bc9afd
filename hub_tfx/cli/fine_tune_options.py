"""The options that make a FineTuneConfig, for every command that trains."""

from collections.abc import Sequence
from typing import Any

import click

from hub_tfx.cli.options import (
    add_options,
    feeding_options,
    input_map_option,
    pairs,
    signature_option,
    threads_option,
)
from hub_tfx.errors import UsageError


def base_options(command: Any) -> Any:
    """Adds the options that say what to start from, and the format.

    The parameters are ``module``, ``module_fn`` and ``module_format``.
    """
    options = (
        click.option(
            "--module",
            metavar="HANDLE",
            help="Start from this module: a URL, an archive or a directory.",
        ),
        click.option(
            "--module-fn",
            metavar="PACKAGE.MODULE:FUNCTION",
            help="Start from a new module, which this function builds, instead of --module.",
        ),
        click.option(
            "--format",
            "module_format",
            type=click.Choice(["tf1_hub", "saved_model"]),
            help="Give the module of --module-fn this format; a tuned module keeps that of its "
            "parent.  [tf1_hub]",
        ),
    )
    return add_options(command, *options)


def fine_tune_options(command: Any) -> Any:
    """Adds the options that make a FineTuneConfig; see ``fine_tune_config``."""
    return add_options(command, *_TASK, *_HEAD, *_TRAINING, *_EVALUATION)


_TASK = (
    click.option(
        "--label", required=True, metavar="FEATURE", help="Learn to predict this feature."
    ),
    click.option(
        "--task",
        type=click.Choice(["classification", "multilabel", "regression", "similarity"]),
        help="Learn one class a row, several classes, a number, or whether a pair belongs "
        "together.  [classification]",
    ),
    click.option(
        "--classes",
        multiple=True,
        metavar="NAME…",
        help="Learn these classes, with ids in this order.  [those in the training data]",
    ),
    click.option(
        "--class-weights",
        multiple=True,
        metavar="NAME=WEIGHT…",
        help="Weigh rows of the class NAME by WEIGHT in the loss.  [1]",
    ),
    click.option(
        "--pair",
        metavar="FEATURE",
        help="With --task similarity, take the second of each pair from this feature.",
    ),
    signature_option,
    input_map_option,
    feeding_options,
)
_HEAD = (
    click.option(
        "--hidden",
        multiple=True,
        type=click.IntRange(1),
        metavar="UNITS…",
        help="Put hidden layers of these sizes between the module and the output.  [none]",
    ),
    click.option(
        "--dropout",
        type=click.FloatRange(0, 1, max_open=True),
        metavar="SHARE",
        help="In training, drop a SHARE of the units before each layer of the head.  [0]",
    ),
    click.option(
        "--weight-decay",
        type=click.FloatRange(0),
        metavar="FACTOR",
        help="Add the sum of the squares of the head's weights, times FACTOR, to the loss.  [0]",
    ),
)
_TRAINING = (
    click.option("--steps", type=click.IntRange(1), metavar="N", help="Train for N steps.  [1000]"),
    click.option(
        "--batch-size", type=click.IntRange(1), metavar="N", help="Train on N rows a step.  [64]"
    ),
    click.option(
        "--learning-rate",
        type=click.FloatRange(0),
        metavar="RATE",
        help="Train the head at this learning rate.  [0.001]",
    ),
    click.option(
        "--module-learning-rate",
        type=click.FloatRange(0),
        metavar="RATE",
        help="Train the module at this learning rate.  [that of the head]",
    ),
    click.option("--freeze", is_flag=True, help="Leave the module's weights as they are."),
    click.option(
        "--unfreeze-after",
        type=click.IntRange(0),
        metavar="N",
        help="With --freeze, let the module learn after N steps.",
    ),
    click.option(
        "--warmup-steps",
        type=click.IntRange(0),
        metavar="N",
        help="Raise learning rates from 0 over the first N steps.  [0]",
    ),
    click.option(
        "--decay",
        type=click.Choice(["none", "linear", "cosine"]),
        help="After the warm-up, lower learning rates along this curve to 0 at the last step.  "
        "[none]",
    ),
    threads_option,
    click.option(
        "--seed",
        type=int,
        metavar="N",
        help="Seed all that is random with N: two runs on a CPU with one seed are equal.  [0]",
    ),
)
_EVALUATION = (
    click.option(
        "--eval-every", type=click.IntRange(1), metavar="N", help="Evaluate every N steps.  [200]"
    ),
    click.option(
        "--eval-steps",
        type=click.IntRange(1),
        metavar="N",
        help="Evaluate on at most N batches.  [all]",
    ),
    click.option(
        "--patience",
        type=click.IntRange(1),
        metavar="N",
        help="Stop after N evaluations in a row without a better loss; those of a module that is "
        "yet to be unfrozen do not count.  [never]",
    ),
)


def fine_tune_config(**options: Any) -> Any:
    """The FineTuneConfig of what ``fine_tune_options`` parsed.

    Raises:
      UsageError: a value makes no sense, or does not fit another one.
    """
    from hub_tfx.finetune.config import FineTuneConfig

    return FineTuneConfig(**fine_tune_values(**options))


def fine_tune_values(
    input_map: Sequence[str], class_weights: Sequence[str], **options: Any
) -> dict[str, Any]:
    """What ``fine_tune_options`` parsed, by the keys of a FineTuneConfig."""
    return {
        "inputs": pairs("--input-map", input_map),
        "class_weights": _weights(class_weights),
        **{name: value for name, value in options.items() if value is not None},
    }


def _weights(values: Sequence[str]) -> dict[str, float]:
    form = "NAME=WEIGHT"
    weights = {}
    for name, weight in pairs("--class-weights", values, form).items():
        try:
            weights[name] = float(weight)
        except ValueError:
            raise UsageError(f"--class-weights takes {form}, not '{name}={weight}'") from None
    return weights
