"""The embedding pipeline under LocalDagRunner: what ML Metadata knows afterwards, and failures."""

import csv
import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tfx.v1 as tfx
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx_helpers import parents_of, plain_vectors, read_examples, write_tfrecord

from hub_tfx.cli.main import run_command
from hub_tfx.components.embedding_generator.executor import Executor
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.errors import (
    ConfigError,
    DigestMismatchError,
    HubTfxError,
    InputError,
    RejectedRowsError,
)
from hub_tfx.lineage.graph import ancestors_of
from hub_tfx.lineage.store import open_sqlite, properties_of
from hub_tfx.module.manifest import Manifest
from hub_tfx.testing import serve, text_module
from hub_tfx_pipelines import metadata
from hub_tfx_pipelines.cli import run as run_group
from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig
from hub_tfx_pipelines.run_local import _pinned, run_embed

TEXTS = ["the cat", "dog sat on the mat", "hello wörld"] * 10
STEPS = 3


@pytest.fixture(scope="module", autouse=True)
def cache_dir(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFHUB_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def module_dir(tmp_path_factory):
    return text_module(tmp_path_factory.mktemp("text") / "1")


@pytest.fixture(scope="module")
def url(module_dir):
    with serve({"/acme/text/1": module_dir}) as base:
        yield f"{base}/acme/text/1"


@pytest.fixture(scope="module")
def config(folder, url):
    rows = [{"id": n, "text": text} for n, text in enumerate(TEXTS)]
    write_tfrecord(folder / "data" / "texts.tfrecord.gz", rows)
    return EmbedPipelineConfig(
        pipeline_name="embed",
        pipeline_root=str(folder / "artifacts"),
        data_root=str(folder / "data"),
        module=url,
        embed=EmbedConfig(keep=("id", "text")),
        metadata_path=str(folder / "metadata.sqlite"),
    )


@pytest.fixture(scope="module")
def result(config):
    """The one full run that most tests look at."""
    return run_embed(config)


def steps_of(config):
    """The steps of the newest run by name."""
    store = open_sqlite(config.metadata_path)
    executions = metadata.latest_run(store, config.pipeline_name)
    return store, {execution.type.rsplit(".", 1)[-1]: execution for execution in executions}


def rows_by_id(uri):
    rows = read_examples(uri, "train") + read_examples(uri, "eval")
    return {row["id"][0]: row for row in rows}


def test_every_row_has_the_vector_of_plain_tf_hub(result, module_dir):
    rows = rows_by_id(result["embeddings"])
    assert sorted(rows) == list(range(len(TEXTS)))
    vectors = [rows[n]["embedding"] for n in range(len(TEXTS))]
    np.testing.assert_allclose(vectors, plain_vectors(module_dir, TEXTS), atol=1e-6)
    assert [rows[n]["text"][0].decode() for n in range(len(TEXTS))] == TEXTS


def test_the_properties_of_the_embeddings_are_read_back_from_ml_metadata(result, url, module_dir):
    assert result["rows"] == len(TEXTS)
    assert result["dead_letters"] == 0
    assert result["embedding_dim"] == 4
    assert result["handle"] == url
    assert result["module_digest"] == Manifest.of_directory(module_dir).digest
    assert result["split_names"] == '["train", "eval"]'


def test_the_properties_of_the_module_are_in_ml_metadata(result, config, url):
    store, steps = steps_of(config)
    module = metadata.outputs(store, steps["ModuleResolver"])["module"]
    properties = properties_of(module)
    assert module.type == "hub_tfx.HubModule"
    assert properties["handle"] == url
    assert properties["version"] == 1
    assert properties["digest"] == result["module_digest"]
    assert properties["format"] == "tf1_hub"


def test_the_pinned_digest_is_a_parameter_of_the_resolver(result, config):
    _, steps = steps_of(config)
    parameters = steps["ModuleResolver"].custom_properties
    assert parameters["digest"].string_value == result["module_digest"]


def test_an_alias_that_moves_during_a_run_is_the_number_that_it_had():
    number = "repo+/r//acme/words/3"
    assert _pinned("repo+/r//acme/words@stable", number) == number
    assert _pinned("/models/words", "/models/words") == "/models/words"


def test_the_embeddings_were_made_from_the_examples_and_the_module(result, config):
    store, steps = steps_of(config)
    embeddings = metadata.outputs(store, steps["EmbeddingGenerator"])["embeddings"]
    lineage = ancestors_of(store, [embeddings])
    node = lineage.artifacts[embeddings.id]
    assert (node.name, node.uri) == ("embeddings", result["embeddings"])
    assert lineage.producer(node.id).name == "EmbeddingGenerator"
    parents = parents_of(lineage, node.id)
    made_by = {
        key: (parent.name, parent.type_name, lineage.producer(parent.id).name)
        for key, parent in parents.items()
    }
    assert made_by == {
        "examples": ("examples", "Examples", "ImportExampleGen"),
        "module": ("module", "hub_tfx.HubModule", "ModuleResolver"),
    }
    assert lineage.artifacts.keys() == {node.id, *(parent.id for parent in parents.values())}


def test_a_second_run_is_taken_from_the_cache(result, config):
    again = run_embed(config)
    assert again == result
    store, steps = steps_of(config)
    states = {execution.last_known_state for execution in steps.values()}
    assert states == {mlmd.Execution.CACHED}
    embeddings = metadata.outputs(store, steps["EmbeddingGenerator"])["embeddings"]
    lineage = ancestors_of(store, [embeddings])
    assert parents_of(lineage, embeddings.id).keys() == {"examples", "module"}


def test_another_config_embeds_again(result, config):
    other = run_embed(replace(config, embed=EmbedConfig(outputs={"default": "vector"})))
    assert other["embeddings"] != result["embeddings"]
    assert set(read_examples(other["embeddings"], "train")[0]) == {"vector"}
    _, steps = steps_of(config)
    assert steps["ModuleResolver"].last_known_state == mlmd.Execution.CACHED


def test_a_changed_module_under_the_same_path_is_noticed_with_csv_input(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    with (data / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *enumerate(TEXTS)])
    module = tmp_path / "module"
    text_module(module)
    config = EmbedPipelineConfig(
        pipeline_name="csv",
        pipeline_root=str(tmp_path / "artifacts"),
        data_root=str(data),
        module=str(module),
        embed=EmbedConfig(keep=("id",)),
        example_gen="csv",
        metadata_path=str(tmp_path / "metadata.sqlite"),
    )
    first = run_embed(config)
    shutil.rmtree(module)
    text_module(module, dim=6)
    second = run_embed(config)
    assert (first["embedding_dim"], second["embedding_dim"]) == (4, 6)
    assert second["module_digest"] == Manifest.of_directory(module).digest
    rows = rows_by_id(second["embeddings"])
    vectors = [rows[n]["embedding"] for n in range(len(TEXTS))]
    np.testing.assert_allclose(vectors, plain_vectors(module, TEXTS), atol=1e-6)
    _, steps = steps_of(config)
    assert steps["CsvExampleGen"].last_known_state == mlmd.Execution.CACHED
    assert steps["ModuleResolver"].last_known_state == mlmd.Execution.COMPLETE


def test_a_damaged_module_in_the_cache_of_tfx_is_an_error_that_names_the_fix(
    result, config, tmp_path
):
    store, steps = steps_of(config)
    module = metadata.outputs(store, steps["ModuleResolver"])["module"]
    file = Path(module.uri, "module", "saved_model.pb")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    try:
        with pytest.raises(DigestMismatchError, match=r"was damaged.*enable_cache=False"):
            run_embed(replace(config, embed=EmbedConfig(batch_size=9)))
    finally:
        file.write_bytes(whole)


def test_a_failed_step_raises_its_own_error_and_publishes_nothing(result, config):
    with pytest.raises(ConfigError, match="no feature 'nothing' to keep; the input has id, text"):
        run_embed(replace(config, embed=EmbedConfig(keep=("nothing",))))
    store, steps = steps_of(config)
    assert steps["EmbeddingGenerator"].last_known_state == mlmd.Execution.FAILED
    assert metadata.outputs(store, steps["EmbeddingGenerator"]) == {}
    with pytest.raises(HubTfxError, match=r"EmbeddingGenerator is FAILED"):
        metadata.check_complete(list(steps.values()), STEPS)


def test_rejected_rows_tell_their_reason_though_tfx_removes_the_dead_letters(config, tmp_path):
    write_tfrecord(tmp_path / "data" / "a.tfrecord.gz", [{"text": b"\xff"}] * 9)
    bad = replace(config, data_root=str(tmp_path / "data"), embed=EmbedConfig())
    with pytest.raises(
        RejectedRowsError, match=r"the first is .*:1: feature 'text' is not valid U"
    ):
        run_embed(bad)


def test_a_step_that_exits_with_status_0_is_not_taken_for_success(result, config, monkeypatch):
    other = replace(config, embed=EmbedConfig(batch_size=7))
    with monkeypatch.context() as patch:
        patch.setattr(Executor, "Do", lambda *_: sys.exit(0))
        with pytest.raises(HubTfxError, match="a step ended the process with status 0"):
            run_embed(other)
    _, steps = steps_of(config)
    assert steps["EmbeddingGenerator"].last_known_state == mlmd.Execution.RUNNING
    with pytest.raises(HubTfxError, match=r"the run is not complete: .*EmbeddingGenerator is RUNN"):
        metadata.check_complete(list(steps.values()), STEPS)
    assert run_embed(other)["rows"] == len(TEXTS)


_LEAVING = """
import os
parents = open(f"/proc/{os.getppid()}/maps").read()
print("the parent is light:", "tensorflow" not in parents and "arrow" not in parents, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize(
    "command",
    [
        "from hub_tfx.cli.main import main; main(['run', *sys.argv[1:]])",
        pytest.param(
            "import runpy; runpy.run_module('hub_tfx_pipelines.run_local', run_name='__main__')",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["hub-tfx run", "the old name"],
)
def test_a_step_that_leaves_with_status_0_fails_the_command(tmp_path, module_dir, command):
    """As the code of a package may, which a module needs."""
    write_tfrecord(tmp_path / "data" / "a.tfrecord.gz", [{"text": "cat"}] * 9)
    (tmp_path / "leaving.py").write_text(_LEAVING)
    arguments = ["embed", "--data-root", tmp_path / "data", "--module", module_dir]
    arguments += ["--output-root", tmp_path / "out", "--import", "leaving"]
    left = subprocess.run(
        [sys.executable, "-c", f"import sys; {command}", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert (left.returncode, left.stdout) == (1, "the parent is light: True\n")
    assert "error: the process left with status 0 before it was done" in left.stderr
    store = open_sqlite(str(tmp_path / "out" / "metadata.sqlite"))
    with pytest.raises(HubTfxError, match="EmbeddingGenerator is RUNNING"):
        metadata.check_complete(metadata.latest_run(store, "embed"), STEPS)


def test_what_ml_metadata_says_decides_and_not_that_the_runner_returned(
    result, config, monkeypatch
):
    def run_and_forget(self, pipeline):
        really_run(self, pipeline)
        store, steps = steps_of(config)
        steps["EmbeddingGenerator"].last_known_state = mlmd.Execution.RUNNING
        store.put_executions([steps["EmbeddingGenerator"]])

    really_run = tfx.orchestration.LocalDagRunner.run
    monkeypatch.setattr(tfx.orchestration.LocalDagRunner, "run", run_and_forget)
    with pytest.raises(HubTfxError, match=r"the run is not complete: .*EmbeddingGenerator is RUNN"):
        run_embed(replace(config, embed=EmbedConfig(batch_size=5)))


def test_steps_that_never_began_are_missing():
    done = mlmd.Execution(type="a", last_known_state=mlmd.Execution.COMPLETE)
    cached = mlmd.Execution(type="b", last_known_state=mlmd.Execution.CACHED)
    metadata.check_complete([done, cached], 2)
    with pytest.raises(HubTfxError, match="steps are missing in ML Metadata"):
        metadata.check_complete([done, cached], 3)


def test_another_digest_than_the_pinned_one_stops_the_run_before_it_starts(config, tmp_path):
    pinned = replace(
        config, module_digest="0" * 64, metadata_path=str(tmp_path / "new" / "metadata.sqlite")
    )
    with pytest.raises(DigestMismatchError, match="is pinned"):
        run_embed(pinned)
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_for_ml_metadata_nothing_is_run(config):
    with pytest.raises(ConfigError, match="the config has no metadata_path"):
        run_embed(replace(config, metadata_path=None))


def test_ml_metadata_that_is_not_there_is_named(result, config, tmp_path):
    with pytest.raises(InputError, match=r"no ML Metadata in .*nothing\.sqlite"):
        open_sqlite(str(tmp_path / "nothing.sqlite"))
    store = open_sqlite(config.metadata_path)
    with pytest.raises(InputError, match="has no run of the pipeline 'other'"):
        metadata.latest_run(store, "other")


def test_spans_and_splits_are_those_of_the_input_config(tmp_path, module_dir):
    for split, texts in {"a": TEXTS[:4], "b": TEXTS[4:6]}.items():
        rows = [{"id": n, "text": text} for n, text in enumerate(texts)]
        write_tfrecord(tmp_path / "data" / "span-3" / split / "x.tfrecord.gz", rows)
    split = tfx.proto.Input.Split
    config = EmbedPipelineConfig(
        pipeline_name="spans",
        pipeline_root=str(tmp_path / "artifacts"),
        data_root=str(tmp_path / "data"),
        module=str(module_dir),
        input_config=tfx.proto.Input(
            splits=[split(name=name, pattern=f"span-{{SPAN}}/{name}/*") for name in ("a", "b")]
        ),
        metadata_path=str(tmp_path / "metadata.sqlite"),
    )
    result = run_embed(config)
    assert (result["span"], result["split_names"], result["spans"]) == (3, '["a", "b"]', "[3]")
    assert [len(read_examples(result["embeddings"], name)) for name in ("a", "b")] == [4, 2]


# --- The command line -----------------------------------------------------------------------------


def run(capsys, *arguments):
    exit_code = run_command(run_group, ["embed", *map(str, arguments)], "hub-tfx run")
    output = capsys.readouterr()
    return exit_code, output.out, output.err


def test_the_command_prints_the_uri_and_what_ml_metadata_says(result, config, capsys):
    code, out, err = run(
        capsys,
        *("--data-root", config.data_root, "--module", config.module),
        *("--output-root", Path(config.metadata_path).parent, "--keep", "id", "text"),
    )
    assert (code, err) == (0, "")
    printed = dict(line.split("\t", 1) for line in out.splitlines())
    assert printed["embeddings"] == result["embeddings"]
    assert printed["rows"] == str(len(TEXTS))
    assert printed["dead_letters"] == "0"


@pytest.mark.parametrize(
    ("change", "exit_code", "complaint"),
    [
        (["--data-root", "nowhere"], 1, "no file matches the input nowhere/*"),
        (["--module", "nowhere"], 1, "nowhere cannot be read"),
        (["--output-root", "gs://bucket/run"], 1, "gs://bucket/run is not on this machine"),
        (["--keep", "nothing"], 2, "no feature 'nothing' to keep; the input has id, text"),
        (["--sha256", "0" * 64], 5, "is pinned"),
        (["--input-map", "text"], 2, "--input-map takes KEY=FEATURE, not 'text'"),
        (["stray"], 2, "Got unexpected extra argument (stray)"),
        (["--example-gen", "avro"], 2, "'avro' is not one of 'import', 'csv'"),
        (["--", "--direct_num_workers=x"], 2, "invalid int value: 'x'"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    result, config, capsys, change, exit_code, complaint
):
    code, out, err = run(
        capsys,
        *("--data-root", config.data_root, "--module", config.module),
        *("--output-root", Path(config.metadata_path).parent),
        *change,
    )
    assert (code, out) == (exit_code, "")
    assert err.startswith("hub-tfx: error: ")
    assert len(err.splitlines()) == 1
    assert complaint in err


@pytest.mark.parametrize(
    ("module", "arguments", "new"),
    [
        ("hub_tfx_pipelines.run_local", ["embed", "--help"], "hub-tfx run embed"),
        ("hub_tfx_pipelines.run_local", ["finetune", "--help"], "hub-tfx run fine-tune"),
        ("hub_tfx_pipelines.run_local", ["--help"], "hub-tfx run"),
        ("hub_tfx_kubeflow.compile", ["finetune", "--help"], "hub-tfx compile fine-tune"),
    ],
)
def test_the_old_name_of_a_command_says_the_new_one_and_does_the_same(
    monkeypatch, capsys, module, arguments, new
):
    monkeypatch.setattr("sys.argv", ["old", *arguments])
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module(module, run_name="__main__")
    out, err = capsys.readouterr()
    assert err == f"hub-tfx: `python -m {module}` is an old name: type `{new}`\n"
    assert out.startswith(f"Usage: {new.replace('fine-tune', 'finetune')} ")
