"""The pipelines for Vertex AI Pipelines: compiled with no cluster, run by playing one."""

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tfx.v1 as tfx
from command_lines import (
    DIGEST,
    IMAGE,
    PIPELINES,
    STATE,
    assert_golden,
    executors,
    parameters,
    without_versions,
)
from containers import Vertex, this_environment
from kfp.pipeline_spec import pipeline_spec_pb2
from manifests import check_pipeline_job
from tfx.orchestration.kubeflow.v2.container.kubeflow_v2_entrypoint_utils import (
    parse_raw_artifact_dict,
    to_runtime_artifact,
)
from tfx_helpers import plain_vectors, read_examples, write_tfrecord

import hub_tfx
from hub_tfx.artifacts import HubModule, read_module, write_module
from hub_tfx.cli.main import run_command
from hub_tfx.components.module_evaluator.component import ModuleEvaluator
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.module.manifest import Manifest
from hub_tfx.testing import minimal_module, text_module
from hub_tfx_kubeflow.cli import compile_
from hub_tfx_kubeflow.formats import write_pipeline
from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig, create_pipeline

_SCHEMA_TITLE = re.compile(r"^[a-z][a-z0-9-_]{2,20}[.][A-Z][a-zA-Z0-9-_]{2,49}$")
_STEPS = {
    "embed": {"ImportExampleGen", "ModuleResolver", "EmbeddingGenerator"},
    "finetune": {
        *("ImportExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform"),
        *("ModuleResolver", "ModuleTrainer"),
    },
    "retrain": {
        *("WindowExampleGen", "StatisticsGen", "ImportSchemaGen", "ExampleValidator", "Transform"),
        *("ModuleResolver", "BaselineResolver", "RetrainGate", "ModuleTrainer"),
        *("ModuleEvaluator", "ModulePublisher", "EmbeddingGenerator"),
    },
}
both_pipelines = pytest.mark.parametrize("name", PIPELINES)


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The jobs by pipeline."""
    folder = tmp_path_factory.mktemp("compiled")
    for name, arguments in PIPELINES.items():
        output = str(folder / f"{name}.json")
        arguments = [*arguments, *(STATE if name == "retrain" else ())]
        assert run_command(compile_, [name, *arguments, "--output", output], "compile") == 0
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in PIPELINES}


@both_pipelines
def test_the_pipeline_is_the_golden_one(compiled, name, update_golden):
    text = json.dumps(without_versions(compiled[name]), indent=2, sort_keys=True) + "\n"
    assert_golden(text, f"{name}_pipeline.json", update_golden)


@both_pipelines
def test_the_json_is_a_pipeline_job_of_kubeflow(compiled, name):
    check_pipeline_job(compiled[name])
    assert compiled[name]["pipelineSpec"]["components"].keys() == _STEPS[name]


@both_pipelines
def test_every_step_runs_in_the_image_with_an_executor_that_can_be_imported(compiled, name):
    for container in executors(compiled[name]).values():
        assert container["image"] == IMAGE
        arguments = container["args"]
        path = arguments[arguments.index("--executor_class_path") + 1]
        module, _, attribute = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), attribute))


@both_pipelines
def test_types_of_artifacts_are_those_that_vertex_accepts_and_python_imports(compiled, name):
    components = compiled[name]["pipelineSpec"]["components"]
    outputs = [
        definition["artifactType"]["instanceSchema"]
        for component in components.values()
        for definition in component["outputDefinitions"]["artifacts"].values()
    ]
    titles = {re.search(r"^title: (.*)$", schema, re.MULTILINE)[1] for schema in outputs}
    assert all(_SCHEMA_TITLE.match(title) for title in titles)
    ours = {title for title in titles if not title.startswith("tfx.")}
    decided = {hub_tfx.ModuleEvaluation.TYPE_NAME, hub_tfx.RetrainDecision.TYPE_NAME}
    assert ours == {HubModule.TYPE_NAME, *(decided if name == "retrain" else ())}
    for schema in outputs:
        assert "properties" not in schema or "title: hub_tfx." not in schema


def test_the_parameters_of_embedding_are_those_of_the_config(compiled):
    assert parameters(compiled["embed"], "ModuleResolver") == {
        "handle": "https://modules.example.org/acme/text/1",
        "digest": DIGEST,
        "hub_tfx_version": hub_tfx.__version__,
    }
    generator = parameters(compiled["embed"], "EmbeddingGenerator")
    assert EmbedConfig.from_json(generator["config"]) == EmbedConfig(
        inputs={"text": "body"}, keep=("id",)
    )


@both_pipelines
def test_only_what_reads_the_outside_is_never_taken_from_the_cache(compiled, name):
    tasks = compiled[name]["pipelineSpec"]["root"]["dag"]["tasks"]
    uncached = {step for step, task in tasks.items() if not task["cachingOptions"]["enableCache"]}
    readers = {"WindowExampleGen", "BaselineResolver", "RetrainGate", "EmbeddingGenerator"}
    assert uncached == (readers if name == "retrain" else set())


def test_a_state_directory_and_a_root_are_parameters_where_they_are_asked_for(compiled, tmp_path):
    assert "state_dir" not in parameters(compiled["embed"], "EmbeddingGenerator")
    output, state = str(tmp_path / "embed.json"), "gs://bucket/state"
    root = ["--embeddings-root", "gs://bucket/embeddings"]
    arguments = ["embed", *PIPELINES["embed"], "--state-dir", state, *root, "--output", output]
    assert run_command(compile_, arguments, "compile") == 0
    job = json.loads(Path(output).read_text())
    assert parameters(job, "EmbeddingGenerator")["state_dir"] == state
    assert parameters(job, "EmbeddingPusher") == {
        "root": "gs://bucket/embeddings",
        "keep": "2",
        "hub_tfx_version": hub_tfx.__version__,
    }


def test_new_names_compile_to_the_same_as_old_ones(compiled, tmp_path):
    arguments = ["--keep" if a == "--kept" else a for a in PIPELINES["finetune"]]
    assert arguments != PIPELINES["finetune"]
    output = tmp_path / "fine-tune.json"
    arguments = ["fine-tune", *arguments, "--output", str(output)]
    assert run_command(compile_, arguments, "compile") == 0
    assert json.loads(output.read_text()) == compiled["finetune"]


def test_an_evaluation_compiles_with_types_that_are_imported_by_their_titles(tmp_path):
    examples = tfx.components.ImportExampleGen("gs://bucket/records")
    module = ModuleResolver("gs://bucket/module")
    evaluator = ModuleEvaluator(
        examples.outputs["examples"],
        module.outputs["module"],
        baseline=module.outputs["module"],
        config=EvaluateConfig(label="topic"),
    )
    pipeline = tfx.dsl.Pipeline(
        pipeline_name="mine",
        pipeline_root="gs://bucket/root",
        components=[examples, module, evaluator],
    )
    write_pipeline(pipeline, IMAGE, str(tmp_path / "out.json"))
    compiled = json.loads((tmp_path / "out.json").read_text())
    outputs = compiled["pipelineSpec"]["components"]["ModuleEvaluator"]["outputDefinitions"]
    given = outputs["artifacts"]["evaluation"]["artifactType"]["instanceSchema"]
    title = re.search(r"title: (\S+)", given)[1]
    assert _SCHEMA_TITLE.match(title)
    assert getattr(hub_tfx, title.removeprefix("hub_tfx.")) is hub_tfx.ModuleEvaluation


def test_the_parameters_of_fine_tuning_are_those_of_the_config(compiled):
    assert parameters(compiled["finetune"], "ModuleResolver")["digest"] == DIGEST
    transform = json.loads(parameters(compiled["finetune"], "Transform")["custom_config"])
    assert transform["texts"] == ["title", "body"]
    assert transform["kept"] == ["photo"]
    trainer = parameters(compiled["finetune"], "ModuleTrainer")
    assert FineTuneConfig.from_json(trainer["config"]) == FineTuneConfig("topic", steps=50)


def test_a_module_artifact_comes_out_of_a_container_as_it_went_in(tmp_path):
    artifact = HubModule()
    artifact.uri = str(tmp_path / "artifact")
    source = minimal_module(tmp_path / "source", dim=7)
    write_module(artifact, source, {"handle": "https://example.org/text/1", "version": 1})
    runtime = to_runtime_artifact(artifact, {})
    runtime.type.instance_schema = f"title: {HubModule.TYPE_NAME}\ntype: object\n"
    artifacts = {"module": pipeline_spec_pb2.ArtifactList(artifacts=[runtime])}
    (read,) = parse_raw_artifact_dict(artifacts)["module"]
    assert type(read) is HubModule
    assert read.uri == artifact.uri
    for name, value in artifact.mlmd_artifact.custom_properties.items():
        if value.HasField("int_value"):
            assert read.get_int_custom_property(name) == value.int_value
        else:
            assert read.get_string_custom_property(name) == value.string_value
    assert read_module(read) == read_module(artifact)


# --- Playing the driver ---------------------------------------------------------------------------


@pytest.mark.slow
def test_the_containers_commands_embed_a_corpus(tmp_path):
    module = text_module(tmp_path / "module")
    texts = ["the cat", "dog sat", "hello"] * 4
    examples = tmp_path / "examples"
    for split, chosen in {"train": texts[:8], "eval": texts[8:]}.items():
        rows = [{"id": n, "text": text} for n, text in enumerate(chosen)]
        write_tfrecord(examples / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz", rows)
    output = tmp_path / "embed.json"
    config = EmbedPipelineConfig(
        pipeline_name="embed",
        pipeline_root=str(tmp_path / "artifacts"),
        data_root=str(tmp_path),
        module=str(module),
        module_digest=Manifest.of_directory(module).digest,
        embed=EmbedConfig(keep=("id",)),
    )
    write_pipeline(create_pipeline(config), IMAGE, str(output))
    compiled = json.loads(output.read_text())
    vertex = Vertex(compiled, tmp_path / "artifacts", this_environment())
    resolved = vertex.drive("ModuleResolver", {})["module"]
    assert resolved["metadata"]["digest"] == Manifest.of_directory(module).digest
    components = compiled["pipelineSpec"]["components"]["EmbeddingGenerator"]
    given = {
        "module": resolved,
        "examples": {
            "name": "examples",
            "uri": str(examples),
            "type": components["inputDefinitions"]["artifacts"]["examples"]["artifactType"],
            "metadata": {
                "split_names": '["train", "eval"]',
                "span": 3.0,
                "payload_format": "FORMAT_TF_EXAMPLE",
            },
        },
    }
    embeddings = vertex.drive("EmbeddingGenerator", given)["embeddings"]
    assert embeddings["metadata"]["rows"] == 12
    assert embeddings["metadata"]["span"] == 3
    assert embeddings["metadata"]["spans"] == "[3]"
    rows = read_examples(embeddings["uri"], "train") + read_examples(embeddings["uri"], "eval")
    vectors = [row["embedding"] for row in rows]
    np.testing.assert_allclose(vectors, plain_vectors(module, texts), atol=1e-6)
