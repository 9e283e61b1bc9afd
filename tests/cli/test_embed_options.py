"""From options to an EmbedConfig."""

import logging

import click
import pytest
from click.testing import CliRunner

from hub_tfx._quiet import quiet_libraries
from hub_tfx.cli.options import (
    ManyValuesCommand,
    embed_config,
    embed_options,
    errors_told_once,
)
from hub_tfx.embed.config import EmbedConfig


@click.command(cls=ManyValuesCommand)
@embed_options
def command(**options):
    click.echo(embed_config(**options).to_json())


def config_of(*arguments):
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return EmbedConfig.from_json(result.output)


def test_without_options_all_is_by_default():
    assert config_of() == EmbedConfig()


@pytest.mark.parametrize(
    ("arguments", "config"),
    [
        (["--image-paths"], EmbedConfig(image_source="path")),
        (["--image-size", "224", "160"], EmbedConfig(image_size=(224, 160))),
        (["--normalize"], EmbedConfig(normalize=True)),
        (["--output-dtype", "int8"], EmbedConfig(output_dtype="int8")),
        (
            ["--import", "tensorflow_text", "struct2tensor", "--normalize"],
            EmbedConfig(imports=("tensorflow_text", "struct2tensor"), normalize=True),
        ),
        (
            ["--output-map", "InceptionV3/global_pool=pool", "a=b=Inception/x"],
            EmbedConfig(outputs={"InceptionV3/global_pool": "pool", "a=b": "Inception/x"}),
        ),
    ],
)
def test_options_are_the_attributes_of_the_config(arguments, config):
    assert config_of(*arguments) == config


def test_tfx_says_nothing_of_an_error_that_the_command_tells():
    """Though libraries are quieted again while it runs, once TFX has been imported."""
    import absl.logging  # noqa: F401

    absl_logger = logging.getLogger("absl")
    with errors_told_once():
        quiet_libraries()
        assert not absl_logger.isEnabledFor(logging.ERROR)
    assert absl_logger.isEnabledFor(logging.ERROR)
