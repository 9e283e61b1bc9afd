"""The names of TFX that are not in ``tfx.v1``, imported here only: an upgrade touches one file."""

from tfx.components.evaluator import constants as evaluator_constants
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.components.example_gen.csv_example_gen.executor import (
    _ParsedCsvToTfExample as ParsedCsvToTfExample,
)
from tfx.components.example_gen.utils import (
    generate_output_split_names,
    make_default_input_config,
    make_default_output_config,
)
from tfx.components.trainer.executor import GenericExecutor
from tfx.components.util.examples_utils import (
    get_file_format,
    get_payload_format,
    get_split_file_patterns,
    set_payload_format,
)
from tfx.components.util.udf_utils import get_fn
from tfx.dsl.compiler.constants import PIPELINE_RUN_ID_PARAMETER_NAME
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_driver import BaseDriver
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec, ExecutorClassSpec
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.example_gen_pb2 import FileFormat, PayloadFormat
from tfx.proto.orchestration.driver_output_pb2 import DriverOutput
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils.io_utils import SchemaReader

__all__ = [
    "PIPELINE_RUN_ID_PARAMETER_NAME",
    "Artifact",
    "BaseBeamComponent",
    "BaseBeamExecutor",
    "BaseChannel",
    "BaseComponent",
    "BaseDriver",
    "BaseExampleGenExecutor",
    "BaseExecutor",
    "BeamExecutorSpec",
    "Channel",
    "ChannelParameter",
    "ComponentSpec",
    "DriverOutput",
    "ExecutionInfo",
    "ExecutionParameter",
    "ExecutorClassSpec",
    "FileFormat",
    "GenericExecutor",
    "ParsedCsvToTfExample",
    "PayloadFormat",
    "ResolverStrategy",
    "RuntimeParameter",
    "SchemaReader",
    "artifact_utils",
    "evaluator_constants",
    "generate_output_split_names",
    "get_file_format",
    "get_fn",
    "get_payload_format",
    "get_split_file_patterns",
    "make_default_input_config",
    "make_default_output_config",
    "set_payload_format",
]
