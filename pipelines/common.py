"""What all pipelines begin and end with."""

from collections.abc import Sequence
from typing import Any, Protocol

import tfx.v1 as tfx

from hub_tfx.beam.runner import beam_arguments


class PipelineConfig(Protocol):
    """The fields that the configs of all pipelines have; see EmbedPipelineConfig."""

    @property
    def pipeline_name(self) -> str: ...
    @property
    def pipeline_root(self) -> str: ...
    @property
    def data_root(self) -> str: ...
    @property
    def example_gen(self) -> str: ...
    @property
    def input_config(self) -> Any: ...
    @property
    def output_config(self) -> Any: ...
    @property
    def metadata_path(self) -> str | None: ...
    @property
    def enable_cache(self) -> bool: ...
    @property
    def beam_pipeline_args(self) -> tuple[str, ...]: ...


def make_example_gen(config: PipelineConfig) -> Any:
    """ExampleGen for TFRecord files of tf.Example (``import``) or CSV files (``csv``)."""
    generators = {
        "import": tfx.components.ImportExampleGen,
        "csv": tfx.components.CsvExampleGen,
    }
    return generators[config.example_gen](
        input_base=config.data_root,
        input_config=config.input_config,
        output_config=config.output_config,
    )


def make_pipeline(config: PipelineConfig, components: Sequence[Any]) -> tfx.dsl.Pipeline:
    """A pipeline of these components, with ML Metadata in SQLite where the config names a file."""
    metadata = config.metadata_path and (
        tfx.orchestration.metadata.sqlite_metadata_connection_config(config.metadata_path)
    )
    return tfx.dsl.Pipeline(
        pipeline_name=config.pipeline_name,
        pipeline_root=config.pipeline_root,
        components=list(components),
        enable_cache=config.enable_cache,
        metadata_connection_config=metadata,
        beam_pipeline_args=beam_arguments(config.beam_pipeline_args),
    )
