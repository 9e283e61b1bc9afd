"""What all pipelines have in common: how they begin and end."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tfx.v1 as tfx

from hub_tfx.beam.runner import beam_arguments
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx_pipelines.configs import PipelineConfig


def make_example_gen(config: PipelineConfig) -> Any:
    """ExampleGen for TFRecord files of tf.Example (``import``) or CSV files (``csv``)."""
    generators = {
        "import": tfx.components.ImportExampleGen,
        "csv": tfx.components.CsvExampleGen,
    }
    return generators[config.example_gen](
        input_base=config.data_root,
        input_config=config.input_config and config.input_config.to_proto(),
        output_config=config.output_config and config.output_config.to_proto(),
    )


def resolve_preprocessor(config: PipelineConfig) -> tuple[list[Any], Any]:
    """The node that resolves the preprocessor, and its output; none, and None, without one."""
    if config.preprocessor is None:
        return [], None
    resolver = ModuleResolver(
        handle=config.preprocessor, digest=config.preprocessor_digest, policy=config.safety
    )
    return [resolver.with_id("PreprocessorResolver")], resolver.outputs["module"]


def make_pipeline(config: PipelineConfig, components: Sequence[Any]) -> tfx.dsl.Pipeline:
    """A pipeline of these components, with ML Metadata where the config says."""
    connection = config.connection
    if connection is not None and connection.backend == "sqlite":
        Path(connection.database).parent.mkdir(parents=True, exist_ok=True)
    return tfx.dsl.Pipeline(
        pipeline_name=config.pipeline_name,
        pipeline_root=config.pipeline_root,
        components=list(components),
        enable_cache=config.enable_cache,
        metadata_connection_config=None if connection is None else connection.config(),
        beam_pipeline_args=beam_arguments(config.beam_pipeline_args),
    )
