"""The pipelines for Kubeflow Pipelines: compiled in .venv-kfp, run in its order with no cluster."""

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from built import ROOT
from command_lines import COMMON, IMAGE, PIPELINES, assert_golden
from containers import (
    argument,
    compile_in_kfp,
    dependencies,
    run_workflow,
    steps_of,
    this_environment,
)
from manifests import check_workflow
from metadata_server import metadata_server
from tfx_helpers import plain_vectors, read_examples, write_tfrecord

from hub_tfx.finetune.checks import check_compatible
from hub_tfx.lineage.store import open_sqlite, properties_of
from hub_tfx.module.inspect import inspect
from hub_tfx.module.manifest import Manifest
from hub_tfx.testing import WORDS, text_module
from hub_tfx_pipelines import metadata

BEAM_STEPS = {
    "embed": {"ImportExampleGen", "EmbeddingGenerator"},
    "finetune": {"ImportExampleGen", "StatisticsGen", "Transform"},
    "retrain": {
        *("WindowExampleGen", "StatisticsGen", "Transform"),
        *("ModuleEvaluator", "EmbeddingGenerator"),
    },
}
BEAM_OPTIONS = ["--", "--direct_num_workers=2"]
METADATA = "mysql://tfx@db.example.org/runs?password_env=DB_PASSWORD"
ARGUMENTS = {
    "embed": [*PIPELINES["embed"], *BEAM_OPTIONS],
    "finetune": [*PIPELINES["finetune"], "--warm-start", *BEAM_OPTIONS],
    "retrain": [*PIPELINES["retrain"], "--set", f"metadata={METADATA}", *BEAM_OPTIONS],
}
EXAMPLES = ROOT / "pipelines" / "examples"
ARGUMENTS_OF_EXAMPLES = {
    name: [
        *("--config", str(EXAMPLES / f"kubeflow_{file}.yaml")),
        *("--set", f"publication.card={EXAMPLES / 'card.md'}"),
    ]
    for name, file in {"fine-tune": "fine_tuning", "retrain example": "retraining"}.items()
}
both_pipelines = pytest.mark.parametrize("name", PIPELINES)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The YAML by pipeline."""
    arguments = {**ARGUMENTS, **ARGUMENTS_OF_EXAMPLES}
    return compile_in_kfp(arguments, tmp_path_factory.mktemp("compiled"))


@both_pipelines
def test_the_workflow_is_the_golden_one(compiled, name, update_golden):
    assert_golden(compiled[name], f"{name}_pipeline.yaml", update_golden)


@pytest.mark.parametrize("name", [*PIPELINES, *ARGUMENTS_OF_EXAMPLES])
def test_the_workflow_is_one_to_argo(compiled, name):
    check_workflow(yaml.safe_load(compiled[name]))


def test_an_example_with_a_platform_is_the_golden_one(compiled, update_golden):
    """Without the arguments of the containers, which are like those of the other golden files."""
    workflow = yaml.safe_load(compiled["fine-tune"])
    for step in steps_of(workflow).values():
        step["container"]["args"] = ["…"]
    text = yaml.safe_dump(workflow, sort_keys=False, allow_unicode=True)
    assert_golden(text, "platform_pipeline.yaml", update_golden)


@pytest.mark.long
def test_a_pipeline_makes_the_same_bytes_again(compiled, tmp_path):
    seed = str(int(os.environ.get("PYTHONHASHSEED", "0")) + 1)
    again = compile_in_kfp({"embed": ARGUMENTS["embed"]}, tmp_path, PYTHONHASHSEED=seed)
    assert again["embed"] == compiled["embed"]


@both_pipelines
def test_every_step_runs_in_the_image_with_classes_that_can_be_imported(compiled, name):
    for step in steps_of(yaml.safe_load(compiled[name])).values():
        assert step["container"]["image"] == IMAGE
        ir = json.loads(argument(step["container"], "--tfx_ir"))
        for path in class_paths(ir["deploymentConfig"]):
            module, _, attribute = path.rpartition(".")
            assert callable(getattr(importlib.import_module(module), attribute))


def class_paths(document):
    if isinstance(document, dict):
        found = [value for key, value in document.items() if key == "classPath"]
        return found + [path for value in document.values() for path in class_paths(value)]
    return []


@both_pipelines
def test_the_options_of_beam_reach_its_steps(compiled, name):
    for step, template in steps_of(yaml.safe_load(compiled[name])).items():
        ir = argument(template["container"], "--tfx_ir")
        assert ("--direct_num_workers=2" in ir) == (step in BEAM_STEPS[name])


def test_dataflow_is_told_the_image_of_the_steps_by_each_step_that_runs_there(compiled):
    beam_steps = BEAM_STEPS["finetune"] | {"ModuleEvaluator"}
    for step, template in steps_of(yaml.safe_load(compiled["fine-tune"])).items():
        ir = argument(template["container"], "--tfx_ir")
        assert (f"--sdk_container_image={IMAGE}" in ir) == (step in beam_steps)
        assert ("--runner=DataflowRunner" in ir) == (step in beam_steps)


@both_pipelines
def test_the_root_is_a_parameter_of_the_run(compiled, name):
    workflow = yaml.safe_load(compiled[name])
    (parameter,) = workflow["spec"]["arguments"]["parameters"]
    assert parameter == {"name": "pipeline-root", "value": "gs://bucket/artifacts"}


@both_pipelines
def test_nothing_of_this_machine_or_hour_is_in_it(compiled, name):
    for own in (str(ROOT), sys.prefix, tempfile.gettempdir(), "compilation_time"):
        assert own not in compiled[name]


@both_pipelines
def test_only_what_reads_the_outside_is_never_taken_from_the_cache(compiled, name):
    uncached = {
        step
        for step, template in steps_of(yaml.safe_load(compiled[name])).items()
        if not is_cached(template["container"])
    }
    readers = {"BaselineResolver", "WindowExampleGen"}
    assert uncached == (readers if name == "retrain" else set())


def is_cached(container):
    (node,) = json.loads(argument(container, "--tfx_ir"))["nodes"]
    return node["pipelineNode"]["executionOptions"]["cachingOptions"]["enableCache"]


def test_ml_metadata_is_where_the_config_says_and_its_password_in_the_environment(compiled):
    for name in PIPELINES:
        for step in steps_of(yaml.safe_load(compiled[name])).values():
            told = json.loads(argument(step["container"], "--kubeflow_metadata_config"))
            assert ("grpc_config" in told) == (name != "retrain")
    password = {"environment_variable": "DB_PASSWORD"}
    assert (told["mysql_db_name"], told["mysql_db_password"]) == ({"value": "runs"}, password)


def test_the_order_is_that_of_the_pipeline(compiled):
    assert dependencies(yaml.safe_load(compiled["finetune"])) == {
        "ImportExampleGen": set(),
        "ModuleResolver": set(),
        "StatisticsGen": {"ImportExampleGen"},
        "SchemaGen": {"StatisticsGen"},
        "ExampleValidator": {"StatisticsGen", "SchemaGen"},
        "Transform": {"ImportExampleGen", "SchemaGen"},
        "LatestModule": {"ModuleResolver"},
        "ModuleTrainer": {"ImportExampleGen", "SchemaGen", "Transform", "LatestModule"},
    }


# --- Playing Argo ---------------------------------------------------------------------------------


def run_once(compiled, folder):
    """Runs the containers' commands in this environment, which has no kfp.

    Returns:
      ML Metadata, and its executions by the last part of their type.
    """
    workflow, name = yaml.safe_load(compiled), yaml.safe_load(compiled)["metadata"]["generateName"]
    environment = this_environment() | {
        "METADATA_GRPC_SERVICE_HOST": "localhost",
        "TFHUB_CACHE_DIR": str(folder / "cache"),
    }
    with metadata_server(folder / "metadata.sqlite") as port:
        environment["METADATA_GRPC_SERVICE_PORT"] = str(port)
        run_workflow(workflow, f"{name}x7k2p", folder, environment)
    store = open_sqlite(str(folder / "metadata.sqlite"))
    executions = metadata.latest_run(store, name.removesuffix("-"))
    metadata.check_complete(executions, len(steps_of(workflow)))
    return store, {execution.type.rpartition(".")[2]: execution for execution in executions}


def with_own_paths(folder, module):
    """The arguments of a command, for input and output that this machine has only afterwards."""
    digest = Manifest.of_directory(module).digest
    paths = {
        "--data-root": folder / "records",
        "--module": folder / "volume",
        "--pipeline-root": folder / "a",
    }
    arguments = [*COMMON, "--digest", digest]
    for option, path in paths.items():
        arguments[arguments.index(option) + 1] = str(path)
    return arguments


@pytest.mark.slow
def test_the_containers_commands_embed_a_corpus(tmp_path):
    module = text_module(tmp_path / "module")
    texts = ["the cat", "dog sat", "hello"] * 4
    rows = [{"id": n, "text": text} for n, text in enumerate(texts)]
    arguments = [*with_own_paths(tmp_path, module), "--keep", "id", "--incremental"]
    compiled = compile_in_kfp({"embed": arguments}, tmp_path)["embed"]
    assert "LatestEmbeddings" in steps_of(yaml.safe_load(compiled))
    write_tfrecord(tmp_path / "records" / "a.gz", rows)
    module = module.rename(tmp_path / "volume")
    store, done = run_once(compiled, tmp_path)
    embeddings = metadata.outputs(store, done["EmbeddingGenerator"])["embeddings"]
    assert properties_of(embeddings)["rows"] == 12
    found = read_examples(embeddings.uri, "train") + read_examples(embeddings.uri, "eval")
    vectors = [row["embedding"] for row in sorted(found, key=lambda row: row["id"])]
    np.testing.assert_allclose(vectors, plain_vectors(module, texts), atol=1e-6)


@pytest.mark.slow
def test_the_containers_commands_fine_tune_a_module(tmp_path):
    module = text_module(tmp_path / "module")
    texts = [f"{one} {other}" for one in WORDS for other in WORDS] * 2
    rows = [{"text": text, "topic": "pet" if "cat" in text else "rest"} for text in texts]
    arguments = [*with_own_paths(tmp_path, module), "--label", "topic", "--steps", "5"]
    arguments += ["--warm-start"]
    compiled = compile_in_kfp({"fine-tune": arguments}, tmp_path)["fine-tune"]
    write_tfrecord(tmp_path / "records" / "a.gz", rows)
    module = module.rename(tmp_path / "volume")
    store, done = run_once(compiled, tmp_path)
    tuned = metadata.outputs(store, done["ModuleTrainer"])["module"]
    properties = properties_of(tuned)
    assert properties["parent_digest"] == Manifest.of_directory(module).digest
    assert properties["digest"] == Manifest.of_directory(Path(tuned.uri, "module")).digest
    check_compatible(Path(tuned.uri, "module"), inspect(module))
