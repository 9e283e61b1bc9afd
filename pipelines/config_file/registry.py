"""The pipelines that a file can be about."""

from collections.abc import Mapping
from typing import Any

from hub_tfx_pipelines.configs import EmbedPipelineConfig, FineTunePipelineConfig, PipelineConfig

PIPELINE = "pipeline"
"""The key of a file that says which pipeline it is about."""
PIPELINES: Mapping[str, type[PipelineConfig]] = {
    "embed": EmbedPipelineConfig,
    "fine-tune": FineTunePipelineConfig,
}
"""Name of the pipeline, as in `hub-tfx run NAME` -> its config."""


def config_class(name: str) -> Any:
    """The dataclass of a pipeline of ``PIPELINES``."""
    return PIPELINES[name]
