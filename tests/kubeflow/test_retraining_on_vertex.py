"""The containers' commands of the retraining pipeline for Vertex AI Pipelines, twice in a row."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_lines import IMAGE
from compiled_retraining import ROWS, Retraining
from containers import Artifact, Vertex, this_environment

from hub_tfx.cli.main import run_command
from hub_tfx.module.manifest import Manifest
from hub_tfx_kubeflow.cli import compile_

pytestmark = pytest.mark.slow


def test_a_run_publishes_and_the_next_one_has_nothing_to_learn_from(tmp_path: Path) -> None:
    retraining = Retraining(tmp_path / "shared", tmp_path / "root")
    config = retraining.write_config(state_dir=str(tmp_path / "state"))
    output = tmp_path / "retrain.json"
    arguments = ["retrain", "--config", str(config), "--image", IMAGE, "--output", str(output)]
    assert run_command(compile_, arguments, "compile") == 0
    retraining.bring_input()
    environment = this_environment() | retraining.variables
    environment["PYTHONPATH"] += f":{this_environment().get('PYTHONPATH', '')}"
    vertex = Vertex(json.loads(output.read_text()), tmp_path / "artifacts", environment)

    first = vertex.run("first")
    assert of(first["RetrainGate"]["decision"], "learn") == 1
    assert of(first["BaselineResolver"]["module"], "digest") == retraining.digest
    assert of(first["ModuleEvaluator"]["evaluation"], "verdict") == "blessed"
    published = first["ModulePublisher"]["published"]
    good = Manifest.of_directory(tmp_path / "shared" / "made" / "good").digest
    assert (of(published, "version"), of(published, "digest")) == (1, good)
    embeddings = first["EmbeddingGenerator"]["embeddings"]
    assert (of(embeddings, "rows"), of(embeddings, "reused")) == (ROWS, 0)
    assert of(embeddings, "module_digest") == good

    again = vertex.run("again")
    assert of(again["RetrainGate"]["decision"], "learn") == 0
    assert "nothing is new" in of(again["RetrainGate"]["decision"], "reason")
    assert of(again["BaselineResolver"]["module"], "digest") == good
    for step in ("ModuleTrainer", "ModuleEvaluator", "ModulePublisher"):
        for artifact in again[step].values():
            assert made_of(artifact) == {}, step
            assert not Path(artifact["uri"]).exists()
    embeddings = again["EmbeddingGenerator"]["embeddings"]
    assert (of(embeddings, "rows"), of(embeddings, "reused")) == (ROWS, ROWS)
    assert of(embeddings, "module_digest") == good


def of(artifact: Artifact, name: str) -> Any:
    return artifact["metadata"][name]


def made_of(artifact: Artifact) -> dict[str, Any]:
    """Its properties but the one that TFX gives every artifact, which is not made either."""
    given = artifact.get("metadata", {})
    return {name: value for name, value in given.items() if name != "tfx_version"}
