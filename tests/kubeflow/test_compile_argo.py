"""The pipelines for Kubeflow Pipelines: compiled in .venv-kfp, run in its order with no cluster."""

import importlib
import json
import os
import subprocess
import sys
import tempfile
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_lines import COMMON, IMAGE, PIPELINES, assert_golden
from metadata_server import metadata_server
from tfx_helpers import plain_vectors, read_examples, write_tfrecord

from hub_tfx.finetune.checks import check_compatible
from hub_tfx.lineage.store import open_sqlite, properties_of
from hub_tfx.module.inspect import inspect
from hub_tfx.module.manifest import Manifest
from hub_tfx.testing import WORDS, text_module
from hub_tfx_pipelines import metadata

REPOSITORY = Path(__file__).parents[2]
KFP = REPOSITORY / ".venv-kfp"
BEAM_STEPS = {
    "embed": {"ImportExampleGen", "EmbeddingGenerator"},
    "finetune": {"ImportExampleGen", "StatisticsGen", "Transform"},
    "retrain": {
        *("ImportExampleGen", "StatisticsGen", "Transform"),
        *("ModuleEvaluator", "EmbeddingGenerator"),
    },
}
COMPILE = """
import json, sys
from hub_tfx.cli.main import run_command
from hub_tfx_kubeflow.cli import compile_
for arguments in json.loads(sys.argv[1]):
    if code := run_command(compile_, arguments, "hub-tfx compile"):
        sys.exit(code)
"""
BEAM_OPTIONS = ["--", "--direct_num_workers=2"]
METADATA = "mysql://tfx@db.example.org/runs?password_env=DB_PASSWORD"
ARGUMENTS = {
    "embed": [*PIPELINES["embed"], *BEAM_OPTIONS],
    "finetune": [*PIPELINES["finetune"], "--warm-start", *BEAM_OPTIONS],
    "retrain": [*PIPELINES["retrain"], "--set", f"metadata={METADATA}", *BEAM_OPTIONS],
}
both_pipelines = pytest.mark.parametrize("name", PIPELINES)


def compile_in_kfp(arguments, folder, **environment):
    """The YAML by pipeline that one command a pipeline writes; importing TFX takes the time."""
    if not (KFP / ".complete").exists():
        message = "no .venv-kfp, which compiles the YAML: make kfp"
        if os.environ.get("HUB_TFX_REQUIRE_KFP") == "1":
            pytest.fail(message)
        pytest.skip(message)
    made = {name: folder / f"{name}.yaml" for name in arguments}
    commands = [[name, "--output", str(made[name]), *given] for name, given in arguments.items()]
    done = subprocess.run(
        [KFP / "bin" / "python", "-c", COMPILE, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | environment,
    )
    told = "".join(f"{path}\n" for path in made.values())
    assert (done.returncode, done.stdout) == (0, told), done.stderr
    assert not done.stderr
    return {name: path.read_text() for name, path in made.items()}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The YAML by pipeline."""
    return compile_in_kfp(ARGUMENTS, tmp_path_factory.mktemp("compiled"))


def steps(workflow):
    """Templates of the containers by step."""
    templates = [template for template in workflow["spec"]["templates"] if "container" in template]
    return {argument(template["container"], "--node_id"): template for template in templates}


def argument(container, option):
    return container["args"][container["args"].index(option) + 1]


def step_of_template(workflow):
    return {template["name"]: step for step, template in steps(workflow).items()}


def dependencies(workflow):
    """For each step, those that end before it begins."""
    (dag,) = [t["dag"] for t in workflow["spec"]["templates"] if "dag" in t]
    step = step_of_template(workflow)
    return {
        step[task["template"]]: {step[name] for name in task.get("dependencies", [])}
        for task in dag["tasks"]
    }


@both_pipelines
def test_the_workflow_is_the_golden_one(compiled, name, update_golden):
    assert_golden(compiled[name], f"{name}_pipeline.yaml", update_golden)


def test_a_pipeline_makes_the_same_bytes_again(compiled, tmp_path):
    seed = str(int(os.environ.get("PYTHONHASHSEED", "0")) + 1)
    again = compile_in_kfp({"embed": ARGUMENTS["embed"]}, tmp_path, PYTHONHASHSEED=seed)
    assert again["embed"] == compiled["embed"]


@both_pipelines
def test_every_step_runs_in_the_image_with_classes_that_can_be_imported(compiled, name):
    for step in steps(yaml.safe_load(compiled[name])).values():
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
    for step, template in steps(yaml.safe_load(compiled[name])).items():
        ir = argument(template["container"], "--tfx_ir")
        assert ("--direct_num_workers=2" in ir) == (step in BEAM_STEPS[name])


@both_pipelines
def test_the_root_is_a_parameter_of_the_run(compiled, name):
    workflow = yaml.safe_load(compiled[name])
    (parameter,) = workflow["spec"]["arguments"]["parameters"]
    assert parameter == {"name": "pipeline-root", "value": "gs://bucket/artifacts"}


@both_pipelines
def test_nothing_of_this_machine_or_hour_is_in_it(compiled, name):
    for own in (str(REPOSITORY), sys.prefix, tempfile.gettempdir(), "compilation_time"):
        assert own not in compiled[name]


@both_pipelines
def test_only_what_reads_the_outside_is_never_taken_from_the_cache(compiled, name):
    uncached = {
        step
        for step, template in steps(yaml.safe_load(compiled[name])).items()
        if not is_cached(template["container"])
    }
    assert uncached == ({"BaselineResolver"} if name == "retrain" else set())


def is_cached(container):
    (node,) = json.loads(argument(container, "--tfx_ir"))["nodes"]
    return node["pipelineNode"]["executionOptions"]["cachingOptions"]["enableCache"]


def test_ml_metadata_is_where_the_config_says_and_its_password_in_the_environment(compiled):
    for name in PIPELINES:
        for step in steps(yaml.safe_load(compiled[name])).values():
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


def run_workflow(workflow, folder):
    """Runs the containers' commands as processes, in this environment, which has no kfp.

    Returns:
      ML Metadata, and its executions by the last part of their type.
    """
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "WORKFLOW_ID": f"{workflow['metadata']['generateName']}x7k2p",
        "KFP_POD_NAME": "pod",
        "METADATA_GRPC_SERVICE_HOST": "localhost",
        "TFHUB_CACHE_DIR": str(folder / "cache"),
    }
    (parameter,) = workflow["spec"]["arguments"]["parameters"]
    replaced = {
        f"{{{{inputs.parameters.{parameter['name']}}}}}": parameter["value"],
        "/mlpipeline-ui-metadata.json": str(folder / "ui-metadata.json"),
    }
    with metadata_server(folder / "metadata.sqlite") as port:
        environment["METADATA_GRPC_SERVICE_PORT"] = str(port)
        for step in TopologicalSorter(dependencies(workflow)).static_order():
            container = steps(workflow)[step]["container"]
            command = [*container["command"], *container["args"]]
            for old, new in replaced.items():
                command = [part.replace(old, new) for part in command]
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            assert done.returncode == 0, f"{step}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    store = open_sqlite(str(folder / "metadata.sqlite"))
    name = workflow["metadata"]["generateName"].removesuffix("-")
    executions = metadata.latest_run(store, name)
    metadata.check_complete(executions, len(steps(workflow)))
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
    assert "LatestEmbeddings" in steps(yaml.safe_load(compiled))
    write_tfrecord(tmp_path / "records" / "a.gz", rows)
    module = module.rename(tmp_path / "volume")
    store, done = run_workflow(yaml.safe_load(compiled), tmp_path)
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
    store, done = run_workflow(yaml.safe_load(compiled), tmp_path)
    tuned = metadata.outputs(store, done["ModuleTrainer"])["module"]
    properties = properties_of(tuned)
    assert properties["parent_digest"] == Manifest.of_directory(module).digest
    assert properties["digest"] == Manifest.of_directory(Path(tuned.uri, "module")).digest
    check_compatible(Path(tuned.uri, "module"), inspect(module))
