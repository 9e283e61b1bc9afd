"""What all pipelines have in common: the base of their configs, and how they begin and end."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tfx.v1 as tfx

from hub_tfx.beam.runner import beam_arguments
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.errors import ConfigError
from hub_tfx.lineage.connection import Connection


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """What every pipeline works on, and how it runs.

    Attributes:
      pipeline_name: the name under which ML Metadata keeps its runs.
      pipeline_root: folder for the artifacts.
      data_root: folder with the input.
      module: handle of the module that the pipeline starts from; None for none.
      module_digest: the digest that the module must have; None for any.
      preprocessor: handle of a module that takes the features and feeds the other one; None for
        none.
      preprocessor_digest: the digest that the preprocessor must have; None for any.
      example_gen: ``import`` for TFRecord files of tf.Example, ``csv`` for CSV files.
      input_config, output_config: patterns with {SPAN} and {VERSION}, and splits, for ExampleGen.
        By default all files of data_root, split into train and eval 2:1.
      metadata: where ML Metadata is; None where the runner brings its own.
      metadata_path: the same for a SQLite file, by its path.
      enable_cache: whether steps whose inputs are those of an earlier run are skipped.
      beam_pipeline_args: options of every Beam step. Beam runs in the step's own process unless
        they name another runner.
    """

    pipeline_name: str
    pipeline_root: str
    data_root: str
    module: str | None
    module_digest: str | None = None
    preprocessor: str | None = None
    preprocessor_digest: str | None = None
    example_gen: Literal["import", "csv"] = "import"
    input_config: tfx.proto.Input | None = None
    output_config: tfx.proto.Output | None = None
    metadata: Connection | None = None
    metadata_path: str | None = None
    enable_cache: bool = True
    beam_pipeline_args: tuple[str, ...] = ()

    @property
    def connection(self) -> Connection | None:
        """Where ML Metadata is; None where the runner brings its own.

        Raises:
          ConfigError: the config has both a metadata_path and metadata.
        """
        if self.metadata_path is None:
            return self.metadata
        if self.metadata is not None:
            raise ConfigError("the config has metadata and a metadata_path: give one of the two")
        return Connection.sqlite(self.metadata_path)

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders that the steps read and write, on any filesystem that Beam knows."""
        return (self.data_root, self.pipeline_root)

    @property
    def handles(self) -> tuple[str, ...]:
        """The handles that its steps resolve."""
        return tuple(handle for handle in (self.module, self.preprocessor) if handle is not None)


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


def resolve_preprocessor(config: PipelineConfig) -> tuple[list[Any], Any]:
    """The node that resolves the preprocessor, and its output; none, and None, without one."""
    if config.preprocessor is None:
        return [], None
    resolver = ModuleResolver(handle=config.preprocessor, digest=config.preprocessor_digest)
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
