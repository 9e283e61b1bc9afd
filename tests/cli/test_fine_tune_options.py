"""From options to a FineTuneConfig."""

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tfx.cli.fine_tune_options import fine_tune_config, fine_tune_options
from hub_tfx.cli.options import ManyValuesCommand
from hub_tfx.errors import UsageError
from hub_tfx.finetune.config import FineTuneConfig


@click.command(cls=ManyValuesCommand)
@fine_tune_options
def command(**options: object) -> None:
    click.echo(fine_tune_config(**options).to_json())


def config_of(*arguments: str) -> FineTuneConfig:
    result = CliRunner().invoke(command, ["--label", "topic", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return FineTuneConfig.from_json(result.output)


def test_without_options_all_is_by_default() -> None:
    assert config_of() == FineTuneConfig("topic")


@pytest.mark.parametrize(
    ("arguments", "config"),
    [
        (["--classes", "pet", "no pet"], FineTuneConfig("topic", classes=("pet", "no pet"))),
        (
            ["--class-weights", "pet=2.5", "a=b=0"],
            FineTuneConfig("topic", class_weights={"pet": 2.5, "a=b": 0.0}),
        ),
        (["--weight-decay", "0.01"], FineTuneConfig("topic", weight_decay=0.01)),
        (["--eval-steps", "7"], FineTuneConfig("topic", eval_steps=7)),
        (["--hidden", "8", "4", "--seed", "1"], FineTuneConfig("topic", hidden=(8, 4), seed=1)),
    ],
)
def test_options_are_the_attributes_of_the_config(
    arguments: list[str], config: FineTuneConfig
) -> None:
    assert config_of(*arguments) == config


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.floats(0, allow_infinity=False),
        max_size=4,
    )
)
@settings(max_examples=50)
def test_any_name_may_be_weighed(weights: dict[str, float]) -> None:
    given = [f"--class-weights={name}={weight!r}" for name, weight in weights.items()]
    assert config_of(*given).class_weights == weights


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["pet"], "--class-weights takes NAME=WEIGHT, not 'pet'"),
        (["pet=much"], "--class-weights takes NAME=WEIGHT, not 'pet=much'"),
        (["pet=1", "pet=2"], "--class-weights names 'pet' twice"),
        (["pet=-1"], "class_weights takes a mapping from texts to numbers from 0"),
        (["pet=nan"], "class_weights takes a mapping from texts to numbers from 0"),
    ],
)
def test_a_weight_that_makes_no_sense_is_a_usage_error(
    arguments: list[str], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        config_of("--class-weights", *arguments)
