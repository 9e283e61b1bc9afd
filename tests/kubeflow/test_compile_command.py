"""`hub-tfx compile`, as a person or a script calls it."""

import json

import pytest
from built import ROOT
from cards import CARD, write_card
from command_lines import COMMON, DIGEST, GOLDEN, PIPELINES, PUBLISH, STATE, executors, parameters
from manifests import check_pipeline_job

from hub_tfx.cli.main import run_command
from hub_tfx_kubeflow.cli import compile_

both_pipelines = pytest.mark.parametrize("name", PIPELINES)


def run(capsys, name, *arguments):
    exit_code = run_command(compile_, [name, *map(str, arguments)], "compile")
    output = capsys.readouterr()
    return exit_code, output.out, output.err


DATAFLOW = ["--runner=DataflowRunner", "--project=acme", "--region=europe-west1"]
DATAFLOW += ["--temp_location=gs://bucket/temp", "--sdk_container_image=example.org/acme:1"]
REQUIRED = {
    "embed": COMMON,
    "finetune": [*COMMON, "--label", "topic"],
    "retrain": [*COMMON, "--label", "topic", *PUBLISH, *STATE],
}


@both_pipelines
def test_the_command_writes_the_json_and_prints_where(tmp_path, capsys, name):
    output = tmp_path / "new" / f"{name}.json"
    arguments = [*REQUIRED[name], "--output", output, "--", *DATAFLOW]
    assert run(capsys, name, *arguments) == (0, f"{output}\n", "")
    job = json.loads(output.read_text())
    assert job["runtimeConfig"] == {"gcsOutputDirectory": "gs://bucket/artifacts"}
    for container in executors(job).values():
        assert "--runner=DataflowRunner" in container["args"]
    assert "digest" not in parameters(job, "ModuleResolver")


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("embed", ["--module", "https://me:secret@example.org/1"], "may be a credential"),
        ("embed", ["--digest", "abc"], "'abc' is not a digest"),
        ("embed", ["stray"], "Got unexpected extra argument (stray)"),
        ("finetune", ["--pair", "other"], "pair"),
        ("finetune", ["--input-map", "body"], "--input-map takes KEY=FEATURE, not 'body'"),
        ("finetune", ["--module-fn", "package.module:build"], "give either module"),
        ("finetune", ["--warm-start"], "compile a .yaml for Kubeflow Pipelines"),
        (
            "retrain",
            ["--baseline", "https://example.org/1"],
            "leave gate.baseline out (--baseline)",
        ),
        ("embed", ["--incremental"], "LatestEmbeddings: Vertex AI Pipelines cannot look for the"),
        ("embed", ["--incremental"], "or name them in a state directory (--state-dir)"),
        ("finetune", ["--class-weights", "a"], "--class-weights takes NAME=WEIGHT, not 'a'"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error_and_nothing_is_written(
    tmp_path, capsys, name, change, complaint
):
    output = tmp_path / "pipeline.json"
    code, out, err = run(capsys, name, *REQUIRED[name], "--output", output, *change)
    assert (code, out) == (2, "")
    assert err.startswith("hub-tfx: error: ")
    assert complaint in err
    assert "secret" not in err
    assert not output.exists()


def test_a_digest_needs_the_module_that_has_it(tmp_path, capsys):
    arguments = [*REQUIRED["finetune"], "--digest", DIGEST, "--output", tmp_path / "pipeline.json"]
    del arguments[arguments.index("--module") :][:2]
    arguments = ["--module-fn", "package.module:build", *arguments]
    assert run(capsys, "finetune", *arguments)[0] == 2


REACH = "the containers of a compiled pipeline cannot reach"


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *(("embed", f"--{n}") for n in ("data-root", "module", "preprocessor", "pipeline-root")),
        ("embed", "--state-dir"),
        *(("finetune", f"--{n}") for n in ("data-root", "module", "pipeline-root")),
        *(("retrain", f"--{n}") for n in ("state-dir", "schema", "publish")),
    ],
)
def test_a_path_that_only_this_machine_has_is_refused(tmp_path, capsys, name, option):
    output = tmp_path / "pipeline.json"
    for path in ("folder/a", "./a", f"{tmp_path}", f"file://{tmp_path}"):
        code, out, err = run(capsys, name, *REQUIRED[name], "--output", output, option, path)
        assert (code, out) == (2, "")
        assert f"{REACH} {path}: name a bucket, a URL, or an absolute path that only they" in err
    assert not output.exists()


def test_a_repository_that_only_this_machine_has_is_refused(tmp_path, capsys):
    output, card = tmp_path / "pipeline.json", write_card(tmp_path)
    publish = ["--name", "a/b", "--card", card, "--output", output]
    here, there = f"repo+{tmp_path}//a/b@stable", "repo+/mnt/nowhere-on-this-machine//a/b@stable"
    for places in (
        ["--publish", tmp_path, "--baseline", there],
        ["--publish", "gs://bucket/modules", "--baseline", here],
        ["--publish", "gs://bucket/modules", "--baseline", there, "--module", here],
    ):
        code, _, err = run(capsys, "finetune", *REQUIRED["finetune"], *publish, *places)
        assert (code, f"{REACH} " in err) == (2, True)
        assert str(tmp_path) in err
    places = ["--publish", "gs://bucket/modules", "--baseline", there]
    assert run(capsys, "finetune", *REQUIRED["finetune"], *publish, *places)[0] == 0
    job = json.loads(output.read_text())
    assert parameters(job, "BaselineResolver")["handle"] == there
    assert parameters(job, "ModulePublisher")["repository"] == "gs://bucket/modules"
    assert parameters(job, "ModulePublisher")["card"] == CARD


def test_vertex_retrains_with_a_state_directory_only(tmp_path, capsys):
    output = tmp_path / "pipeline.json"
    arguments = [*COMMON, "--label", "topic", *PUBLISH, "--output", output]
    code, out, err = run(capsys, "retrain", *arguments)
    assert (code, out) == (2, "")
    assert "LatestDecision: Vertex AI Pipelines cannot look for the results of the last run" in err
    assert "name them in a state directory (--state-dir)" in err
    assert not output.exists()


def test_the_example_of_retraining_is_for_both_targets(tmp_path, capsys):
    """In test_compile_argo.py it is compiled for Kubeflow Pipelines."""
    arguments = ["--config", ROOT / "pipelines" / "examples" / "kubeflow_retraining.yaml"]
    arguments += ["--set", f"publication.card={GOLDEN / 'card.md'}"]
    for setting in ("secrets={}", "defaults.timeout=null"):  # As its comment says.
        arguments += ["--set", f"platform.{setting}"]
    output = tmp_path / "retrain.json"
    assert run(capsys, "retrain", *arguments, "--output", output)[:2] == (0, f"{output}\n")
    job = json.loads(output.read_text())
    check_pipeline_job(job)
    assert parameters(job, "RetrainGate")["state_dir"] == "gs://example-bucket/state"
    for step in ("ModuleResolver", "BaselineResolver"):
        handle = parameters(job, step)["handle"]
        assert handle in (
            "https://tfhub.dev/google/nnlm-en-dim128/2",
            "repo+gs://example-bucket/modules//acme/headlines@stable",
        )


def test_a_publication_is_compared_with_what_is_in_use_when_it_runs(tmp_path, capsys):
    """The version is read from the repository then; a first one has no baseline."""
    output = tmp_path / "pipeline.json"
    arguments = [*REQUIRED["finetune"], *PUBLISH, "--output", output]
    assert run(capsys, "finetune", *arguments)[0] == 0
    job = json.loads(output.read_text())
    found = parameters(job, "BaselineResolver")
    assert found["handle"] == "repo+gs://bucket/modules//acme/words@stable"
    assert (found["optional"], "fallback" in found) == ("1", False)


def test_an_absolute_path_that_is_not_here_may_be_that_of_a_volume(tmp_path, capsys):
    output, volume = tmp_path / "pipeline.json", "/mnt/nowhere-on-this-machine"
    places = ["--data-root", f"{volume}/records", "--module", f"{volume}/module"]
    places += ["--pipeline-root", f"{volume}/root", "--preprocessor", f"file://{volume}/tokens"]
    assert run(capsys, "embed", *REQUIRED["embed"], *places, "--output", output)[0] == 0
    job = json.loads(output.read_text())
    assert parameters(job, "ModuleResolver")["handle"] == f"{volume}/module"


def test_dataflow_has_no_volume(tmp_path, capsys):
    output = tmp_path / "pipeline.json"
    places = ["--data-root", "/mnt/nowhere-on-this-machine", "--output", output]
    arguments = [*REQUIRED["embed"], *places, "--", "--runner=DataflowRunner"]
    code, _, err = run(capsys, "embed", *arguments)
    assert code == 2
    assert "Dataflow cannot reach /mnt/nowhere-on-this-machine: input and output have to be" in err


def test_a_function_is_spelled_alike_and_tfx_gets_it_with_dots(tmp_path, capsys):
    made = []
    for number, name in enumerate(["package.module:train", "package.module.train"]):
        output = tmp_path / f"{number}.json"
        arguments = [*REQUIRED["finetune"], "--run-fn", name, "--output", output]
        assert run(capsys, "fine-tune", *arguments)[0] == 0
        made.append(output.read_bytes())
    assert made[0] == made[1]
    trainer = parameters(json.loads(made[0]), "ModuleTrainer")
    assert trainer["run_fn"] == "package.module.train"


@both_pipelines
@pytest.mark.parametrize("file", ["pipeline", "pipeline.txt", "pipeline.json.gz"])
def test_a_file_whose_ending_says_nothing_is_a_usage_error(tmp_path, capsys, name, file):
    output = tmp_path / file
    code, out, err = run(capsys, name, *REQUIRED[name], "--output", output)
    assert (code, out) == (2, "")
    assert "name a .json for Vertex AI Pipelines or a .yaml for Kubeflow Pipelines" in err
    assert not output.exists()


@both_pipelines
@pytest.mark.parametrize("ending", ["yaml", "yml"])
def test_yaml_without_kfp_is_an_error_that_says_what_to_do(tmp_path, capsys, name, ending):
    output = tmp_path / f"pipeline.{ending}"
    code, out, err = run(capsys, name, *REQUIRED[name], "--output", output)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "hub-tfx[kfp]" in err
    assert "`make kfp`" in err
    assert not output.exists()


def test_where_nothing_can_be_written_the_error_names_the_file(tmp_path, capsys):
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "pipeline.json"
    code, out, err = run(capsys, "embed", *REQUIRED["embed"], "--output", output)
    assert (code, out) == (1, "")
    assert f"{output} cannot be written: " in err
