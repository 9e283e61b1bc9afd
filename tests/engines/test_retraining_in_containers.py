"""The retraining pipeline for Kubeflow Pipelines: its containers' commands against MariaDB.

The processes can import nothing but the wheel, and the stand-in for the training. They leave in ML
Metadata what LocalDagRunner leaves, in the first run and in one with nothing new.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from compiled_retraining import STAND_IN, Retraining
from containers import compile_in_kfp, run_workflow
from databases import PASSWORD, PASSWORD_ENV, Server

from hub_tfx.lineage.connection import Connection
from hub_tfx.lineage.store import open_store, properties_of
from hub_tfx_pipelines import metadata
from hub_tfx_pipelines.config_file.build import build
from hub_tfx_pipelines.config_file.document import read_document
from hub_tfx_pipelines.configs import RetrainPipelineConfig
from hub_tfx_pipelines.run_local import run_retrain

pytestmark = pytest.mark.engines

Outputs = dict[str, dict[str, dict[str, Any]]]
"""Step -> output -> type and properties of its artifact."""
_IDS = ("current_model_id", "baseline_model_id")


@pytest.fixture
def places(tmp_path: Path) -> tuple[Retraining, Retraining]:
    """One pipeline for containers and one for LocalDagRunner, which read the same input."""
    return tuple(Retraining(tmp_path / "shared", tmp_path / name) for name in ("pods", "here"))


def test_containers_do_what_local_dag_runner_does_twice_in_a_row(
    places: tuple[Retraining, Retraining],
    worker_environment: dict[str, str],
    mariadb_server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pods, here = places
    url = mariadb_server.new_database("retraining")
    config = pods.write_config(metadata=url)
    arguments = ["--config", str(config), "--image", "hub-tfx:1"]
    compiled = compile_in_kfp({"retrain": arguments}, pods.root)
    pods.bring_input()
    monkeypatch.setenv(PASSWORD_ENV, PASSWORD)
    open_store(Connection.parse(url))  # The tables: steps that run at once would all make them.

    in_pods = {}
    environment = worker_environment | pods.variables | {PASSWORD_ENV: PASSWORD}
    for run_id in ("retrain-first", "retrain-again"):
        told = run_workflow(yaml.safe_load(compiled["retrain"]), run_id, pods.root, environment)
        assert PASSWORD not in told
        in_pods[run_id] = outputs_of(Connection.parse(url), pods)

    with_local_dag_runner = run_here(here, monkeypatch)
    for (run_id, made), expected in zip(in_pods.items(), with_local_dag_runner, strict=True):
        assert made == expected, run_id
    first, again = in_pods.values()
    assert first["ModulePublisher"]["published"]["version"] == 1
    assert again["RetrainGate"]["decision"]["learn"] == 0
    assert again["ModulePublisher"] == {}
    assert again["EmbeddingGenerator"]["embeddings"]["reused"] == 150


def run_here(retraining: Retraining, monkeypatch: pytest.MonkeyPatch) -> list[Outputs]:
    """Two runs on this machine, in ML Metadata of their own."""
    path = retraining.write_config(metadata=str(retraining.root / "metadata.sqlite"))
    monkeypatch.syspath_prepend(STAND_IN)
    monkeypatch.chdir(retraining.root)  # A checkout would be named as that of the code.
    for name in ("TEST_LEARNS", "TFHUB_CACHE_DIR"):
        monkeypatch.setenv(name, retraining.variables[name])
    made = []
    for _ in range(2):
        config = build(read_document(str(path), pipeline="retrain"), RetrainPipelineConfig)
        run_retrain(config)
        made.append(outputs_of(config.connection, retraining))
    return made


def outputs_of(connection: Connection, retraining: Retraining) -> Outputs:
    """What the newest run has left in ML Metadata, without paths, ids and times of runs."""
    store = open_store(connection)
    run = metadata.latest_run(store, "retrain")
    types = {kind.id: kind.name for kind in store.get_artifact_types()}
    return {
        execution.type.rpartition(".")[2]: {
            key: {
                "type": types[artifact.type_id],
                "name": artifact.name.split(":")[-3:],
                **told(properties_of(artifact), retraining),
            }
            for key, artifact in metadata.outputs(store, execution).items()
        }
        for execution in run
    }


def told(properties: Mapping[str, Any], retraining: Retraining) -> dict[str, Any]:
    kept = {name: value for name, value in properties.items() if name not in _IDS}
    return {
        name: re.sub(r"/\d+(?=$|/)", "/N", value.replace(str(retraining.root), ""))
        if isinstance(value, str)
        else value
        for name, value in kept.items()
    }
