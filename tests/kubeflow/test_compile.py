"""The embedding pipeline for Vertex AI Pipelines: compiled with no cluster, run by playing one."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.kubeflow.v2.container.kubeflow_v2_entrypoint_utils import (
    parse_raw_artifact_dict,
    to_runtime_artifact,
)
from tfx_helpers import plain_vectors, read_examples, write_tfrecord

import hub_tfx
from hub_tfx.artifacts import HubModule, read_module, write_module
from hub_tfx.cli.main import run_command
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.module.manifest import Manifest
from hub_tfx.testing import minimal_module, text_module
from hub_tfx_kubeflow.compile import cli, compile_embed
from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig

GOLDEN = Path(__file__).parent / "golden" / "embed_pipeline.json"
IMAGE = "registry.example.org/hub-tfx:1"
_SCHEMA_TITLE = re.compile(r"^[a-z][a-z0-9-_]{2,20}[.][A-Z][a-zA-Z0-9-_]{2,49}$")
_VERSIONS = {"tfx_version", "tfx_py_version", "sdkVersion"}


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def compiled(tmp_path):
    config = EmbedPipelineConfig(
        pipeline_name="embed",
        pipeline_root="gs://bucket/artifacts",
        data_root="gs://bucket/corpus",
        module="https://modules.example.org/acme/text/1",
        module_digest="0123456789abcdef" * 4,
        embed=EmbedConfig(inputs={"text": "body"}, keep=("id",)),
    )
    output = tmp_path / "embed.json"
    compile_embed(config, IMAGE, str(output))
    return json.loads(output.read_text())


def normalised(document):
    """Without the versions of what compiled it."""
    if isinstance(document, dict):
        return {
            key: "VERSION"
            if key in _VERSIONS
            else {"runtimeValue": "VERSION"}
            if key == "hub_tfx_version" and "runtimeValue" in value
            else normalised(value)
            for key, value in document.items()
        }
    return [normalised(item) for item in document] if isinstance(document, list) else document


def executors(compiled):
    """Container specs by step."""
    specs = compiled["pipelineSpec"]["deploymentSpec"]["executors"]
    return {name.removesuffix("_executor"): spec["container"] for name, spec in specs.items()}


def parameters(compiled, step):
    task = compiled["pipelineSpec"]["root"]["dag"]["tasks"][step]
    constants = {
        name: value["runtimeValue"]["constantValue"]
        for name, value in task["inputs"]["parameters"].items()
    }
    return {name: next(iter(constant.values())) for name, constant in constants.items()}


def test_the_pipeline_is_the_golden_one(compiled, update_golden):
    text = json.dumps(normalised(compiled), indent=2, sort_keys=True) + "\n"
    if update_golden:
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "if that is meant: pytest --update-golden"


def test_versions_are_not_in_the_golden_file():
    assert hub_tfx.__version__ not in GOLDEN.read_text()
    assert GOLDEN.read_text().count("VERSION") == 5


def test_the_json_is_a_pipeline_job_of_kubeflow(compiled):
    json_format.ParseDict(compiled, pipeline_spec_pb2.PipelineJob())
    spec = json_format.ParseDict(compiled["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())
    assert set(spec.components) == {"ImportExampleGen", "ModuleResolver", "EmbeddingGenerator"}


def test_every_step_runs_in_the_image_with_an_executor_that_can_be_imported(compiled):
    for container in executors(compiled).values():
        assert container["image"] == IMAGE
        arguments = container["args"]
        path = arguments[arguments.index("--executor_class_path") + 1]
        module, _, name = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
        assert "--runner=FnApiRunner" in arguments


def test_types_of_artifacts_are_those_that_vertex_accepts_and_python_imports(compiled):
    module = compiled["pipelineSpec"]["components"]["ModuleResolver"]["outputDefinitions"]
    schema = module["artifacts"]["module"]["artifactType"]["instanceSchema"]
    (title,) = re.findall(r"^title: (.*)$", schema, re.MULTILINE)
    assert title == HubModule.TYPE_NAME
    assert _SCHEMA_TITLE.match(title)
    assert "properties" not in schema


def test_the_parameters_are_those_of_the_config(compiled):
    resolver = parameters(compiled, "ModuleResolver")
    assert resolver == {
        "handle": "https://modules.example.org/acme/text/1",
        "digest": "0123456789abcdef" * 4,
        "hub_tfx_version": hub_tfx.__version__,
    }
    generator = parameters(compiled, "EmbeddingGenerator")
    assert EmbedConfig.from_json(generator["config"]) == EmbedConfig(
        inputs={"text": "body"}, keep=("id",)
    )


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


def driven(compiled, step, artifacts, outputs, folder):
    """Runs a step's container command as a process, as Vertex does, and gives its artifacts.

    Args:
      artifacts: input name -> RuntimeArtifact as a dict.
      outputs: output name -> type.
    """
    schemas = {
        name: definition["artifactType"]
        for name, definition in compiled["pipelineSpec"]["components"][step]["outputDefinitions"][
            "artifacts"
        ].items()
    }
    made = {
        name: {"name": f"{step}/{name}", "uri": str(folder / name), "type": schemas[name]}
        for name in outputs
    }
    task = compiled["pipelineSpec"]["root"]["dag"]["tasks"][step]
    result = folder / "executor_output.json"
    invocation = {
        "inputs": {
            "parameters": {
                name: value["runtimeValue"]["constantValue"]
                for name, value in task["inputs"]["parameters"].items()
            },
            "artifacts": {name: {"artifacts": [one]} for name, one in artifacts.items()},
        },
        "outputs": {
            "artifacts": {name: {"artifacts": [one]} for name, one in made.items()},
            "outputFile": str(result),
        },
    }
    container = executors(compiled)[step]
    assert container["command"][0] == "python"
    command = [sys.executable, *container["command"][1:]]
    command += [json.dumps(invocation) if a == "{{$}}" else a for a in container["args"]]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr[-3000:]
    written = json.loads(result.read_text())["artifacts"]
    return {name: made[name] | written[name]["artifacts"][0] for name in outputs}


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
    compile_embed(config, IMAGE, str(output))
    compiled = json.loads(output.read_text())
    resolved = driven(compiled, "ModuleResolver", {}, ["module"], tmp_path / "1")["module"]
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
    out = driven(
        compiled, "EmbeddingGenerator", given, ["embeddings", "dead_letters"], tmp_path / "2"
    )
    embeddings = out["embeddings"]
    assert embeddings["metadata"]["rows"] == 12
    assert embeddings["metadata"]["span"] == 3
    assert embeddings["metadata"]["spans"] == "[3]"
    rows = read_examples(embeddings["uri"], "train") + read_examples(embeddings["uri"], "eval")
    vectors = [row["embedding"] for row in rows]
    np.testing.assert_allclose(vectors, plain_vectors(module, texts), atol=1e-6)


# --- The command line -----------------------------------------------------------------------------


def run(capsys, *arguments):
    exit_code = run_command(cli, ["embed", *map(str, arguments)], "compile")
    output = capsys.readouterr()
    return exit_code, output.out, output.err


ARGUMENTS = ["--data-root", "gs://b/corpus", "--module", "https://example.org/text/1"]
ARGUMENTS += ["--pipeline-root", "gs://b/root", "--image", IMAGE]


def test_the_command_writes_the_json_and_prints_where(tmp_path, capsys):
    output = tmp_path / "new" / "embed.json"
    arguments = [*ARGUMENTS, "--output", output, "--", "--runner=DataflowRunner"]
    assert run(capsys, *arguments) == (0, f"{output}\n", "")
    compiled = json.loads(output.read_text())
    assert compiled["runtimeConfig"] == {"gcsOutputDirectory": "gs://b/root"}
    assert "--runner=DataflowRunner" in executors(compiled)["EmbeddingGenerator"]["args"]
    assert "digest" not in parameters(compiled, "ModuleResolver")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (["--module", "https://me:secret@example.org/1"], "may be a credential"),
        (["--digest", "abc"], "'abc' is no digest"),
        (["stray"], "Got unexpected extra argument (stray)"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error_and_nothing_is_written(
    tmp_path, capsys, change, complaint
):
    output = tmp_path / "embed.json"
    code, out, err = run(capsys, *ARGUMENTS, "--output", output, *change)
    assert (code, out) == (2, "")
    assert err.startswith("hub-tfx: error: ")
    assert complaint in err
    assert "secret" not in err
    assert not output.exists()
