"""The pipelines that a file can be about."""

import importlib
from collections.abc import Mapping
from typing import Any

PIPELINE = "pipeline"
"""The key of a file that says which pipeline it is about."""
PIPELINES: Mapping[str, str] = {
    "embed": "EmbedPipelineConfig",
    "fine-tune": "FineTunePipelineConfig",
    "retrain": "RetrainPipelineConfig",
}
"""Name of the pipeline, as in `hub-tfx run NAME` -> its dataclass in ``configs``."""


def config_class(name: str) -> Any:
    """The dataclass of a pipeline, which is imported now: `hub-tfx --help` needs the names only."""
    return getattr(importlib.import_module("hub_tfx_pipelines.configs"), PIPELINES[name])
