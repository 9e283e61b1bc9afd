"""The options of `hub-tfx evaluate` that make its configs."""

from collections.abc import Sequence
from typing import Any

import click

from hub_tfx.cli.options import (
    add_options,
    call_options,
    feeding_options,
    input_map_option,
    no_batch_option,
    normalize_option,
    pairs,
    signature_option,
    tags_option,
)
from hub_tfx.errors import UsageError

OF_GATE = {
    "pairs_feature": "pairs",
    "slices": "slices",
    "primary": "primary",
    "margin": "margin",
    "thresholds": "thresholds",
    "sample_rows": "sample_rows",
    "neighbours": "neighbours",
    "probe": "probe",
}
_OF_CONFIG = {"label": "label", **OF_GATE, "seed": "seed"}
"""Parameter of the command -> key of the EvaluateConfig."""


def evaluate_options(command: Any) -> Any:
    """Adds the options that make an EvaluateConfig, and those of how rows are fed."""
    return add_options(command, *_LABEL, *_MEASURING, *_SEED, *_FEEDING)


def gate_options(command: Any) -> Any:
    """Adds the options that say what is measured, for a command with a label and a seed."""
    return add_options(command, *_MEASURING)


def evaluate_config(options: dict[str, Any]) -> Any:
    """The EvaluateConfig of what ``evaluate_options`` parsed, which is taken out of the options.

    Raises:
      UsageError: there is nothing by which it could be decided.
    """
    from hub_tfx.evaluate.config import EvaluateConfig

    given = {key: options.pop(name) for name, key in _OF_CONFIG.items()}
    if given["label"] is None and given["pairs"] is None:
        raise UsageError(
            "give --label or --pairs, a feature by which the vectors are judged: without both "
            "nothing can be decided"
        )
    return EvaluateConfig(**{key: value for key, value in given.items() if value is not None})


def feeding_configs(
    has_baseline: bool,
    input_map: Sequence[str],
    output_key: str | None,
    baseline_signature: str | None,
    baseline_input_map: Sequence[str],
    baseline_output_key: str | None,
    **options: Any,
) -> tuple[Any, Any]:
    """The EmbedConfigs of the module and of the baseline.

    Raises:
      UsageError: there are options for a baseline that is not.
    """
    from hub_tfx.embed.config import EmbedConfig

    of_baseline = {
        "--baseline-signature": baseline_signature,
        "--baseline-input-map": baseline_input_map,
        "--baseline-output-key": baseline_output_key,
    }
    for option, given in of_baseline.items():
        if given and not has_baseline:
            raise UsageError(f"{option} is for --baseline: give both")
    inputs = pairs("--input-map", input_map)
    other_inputs = pairs("--baseline-input-map", baseline_input_map)
    common = {name: value for name, value in options.items() if value is not None}
    mine = EmbedConfig(**common, inputs=inputs, outputs=_outputs(output_key))
    other = {
        **common,
        **({"signature": baseline_signature} if baseline_signature else {}),
        "inputs": other_inputs or inputs,
        "outputs": _outputs(baseline_output_key or output_key),
    }
    return mine, EmbedConfig(**other)


def _outputs(key: str | None) -> dict[str, str]:
    return {} if key is None else {key: "embedding"}


_LABEL = (
    click.option(
        "--label", metavar="FEATURE", help="Ask how well the vectors tell the class in FEATURE."
    ),
)
_MEASURING = (
    click.option(
        "--pairs",
        "pairs_feature",
        metavar="FEATURE",
        help="Ask whether rows with an equal value in FEATURE find each other.",
    ),
    click.option(
        "--slice",
        "slices",
        multiple=True,
        metavar="FEATURE…",
        help="Show the measures for each value of these features as well.",
    ),
    click.option(
        "--primary",
        metavar="MEASURE",
        help="Let this measure decide.  [probe_accuracy with --label, otherwise recall@10]",
    ),
    click.option(
        "--margin",
        type=float,
        metavar="X",
        help="Bless a module that is worse than the baseline by at most X of the primary "
        "measure.  [0: it must be better]",
    ),
    click.option(
        "--threshold",
        "thresholds",
        multiple=True,
        metavar="EXPR…",
        help="Bless only what meets these: 'probe_accuracy>=0.8', 'knn_accuracy@lang=de>=0.7' or "
        "'cost_rows_per_s>=0.5*baseline'.",
    ),
    click.option(
        "--sample-rows",
        type=click.IntRange(1),
        metavar="N",
        help="Measure at most N rows, a random sample of more.  [20000]",
    ),
    click.option(
        "--neighbours",
        type=click.IntRange(1),
        metavar="K",
        help="Look at the K nearest rows, such as for recall@K.  [10]",
    ),
    click.option(
        "--probe",
        type=click.Choice(["logistic", "ridge"]),
        help="Learn labels by logistic regression, or by the faster ridge.  [logistic]",
    ),
)
_SEED = (
    click.option(
        "--seed",
        type=click.IntRange(0),
        metavar="N",
        help="Draw samples, folds and intervals with this seed.  [0]",
    ),
)
_FEEDING = (
    signature_option,
    tags_option,
    no_batch_option,
    input_map_option,
    click.option(
        "--output-key",
        metavar="KEY",
        help="Compare this output of the module.  [its only one, otherwise `default`]",
    ),
    click.option(
        "--baseline-signature",
        metavar="NAME",
        help="Call this signature of the baseline.  [that of --signature]",
    ),
    click.option(
        "--baseline-input-map",
        multiple=True,
        metavar="KEY=FEATURE…",
        help="Feed the input KEY of the baseline from FEATURE.  [that of --input-map]",
    ),
    click.option(
        "--baseline-output-key",
        metavar="KEY",
        help="Compare this output of the baseline.  [that of --output-key]",
    ),
    call_options("64"),
    feeding_options,
    normalize_option,
)
