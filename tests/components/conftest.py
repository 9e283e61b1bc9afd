"""The artifacts of an EmbeddingGenerator, and one call of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tfx.v1 as tfx

from hub_tfx.artifacts import HubModule, write_module
from hub_tfx.components.embedding_generator.executor import Executor
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.testing import text_module


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hub_module(tmp_path: Path) -> Callable[..., Any]:
    """Makes the artifact that ModuleResolver makes of a module's directory."""

    def make(path: Path, resolver: str = "ModuleResolver") -> Any:
        artifact = HubModule()
        artifact.uri = str(tmp_path / resolver / "module" / "1")
        write_module(artifact, path, {"handle": str(path)})
        return artifact

    return make


@pytest.fixture(scope="module")
def text_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One format is enough where the module is not what is tested."""
    return text_module(tmp_path_factory.mktemp("text") / "1")


@pytest.fixture
def module(hub_module: Callable[..., Any], text_dir: Path) -> Any:
    return hub_module(text_dir)


@dataclass(frozen=True)
class Outputs:
    embeddings: Any
    dead_letters: Any


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    """Where EmbeddingGenerator is to write."""
    made = []
    for name in ("embeddings", "dead_letters"):
        artifact = tfx.types.standard_artifacts.Examples()
        artifact.uri = str(tmp_path / "EmbeddingGenerator" / name / "2")
        Path(artifact.uri).mkdir(parents=True)
        made.append(artifact)
    return Outputs(*made)


@pytest.fixture
def generate(outputs: Outputs) -> Callable[..., Outputs]:
    """Runs EmbeddingGenerator's executor on artifacts, without an orchestrator."""

    def run(
        examples: list[Any],
        module: Any,
        config: EmbedConfig | None = None,
        schema: Any = None,
        preprocessor: Any = None,
    ) -> Outputs:
        inputs = {"examples": examples, "module": [module]}
        if schema is not None:
            inputs["schema"] = [schema]
        if preprocessor is not None:
            inputs["preprocessor"] = [preprocessor]
        Executor().Do(
            inputs,
            {"embeddings": [outputs.embeddings], "dead_letters": [outputs.dead_letters]},
            {"config": (config or EmbedConfig()).to_json()},
        )
        return outputs

    return run
