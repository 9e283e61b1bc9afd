"""The embedding pipeline again and again, on LocalDagRunner with real ML Metadata."""

from dataclasses import replace

import pytest
from tfx_helpers import parents_of, read_examples, write_tfrecord

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.generations import latest_generation
from hub_tfx.embed.output.read_back import read_embeddings
from hub_tfx.lineage.graph import ancestors_of
from hub_tfx.lineage.store import open_sqlite
from hub_tfx.testing import text_module
from hub_tfx_pipelines import metadata
from hub_tfx_pipelines.configs import EmbeddingsRoot, EmbedPipelineConfig
from hub_tfx_pipelines.run_local import run_embed

pytestmark = pytest.mark.long

TEXTS = ["the cat", "dog sat", "on the mat", "hello"] * 5


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def config(tmp_path):
    return EmbedPipelineConfig(
        pipeline_name="again",
        pipeline_root=str(tmp_path / "artifacts"),
        data_root=str(tmp_path / "data"),
        module=str(text_module(tmp_path / "module")),
        embed=EmbedConfig(keep=("id",)),
        metadata_path=str(tmp_path / "metadata.sqlite"),
    )


def run(config, tmp_path, texts):
    rows = [{"id": n, "text": text} for n, text in enumerate(texts)]
    write_tfrecord(tmp_path / "data" / "texts.tfrecord.gz", rows)
    return run_embed(config)


def test_each_run_copies_from_the_one_before_and_one_with_nothing_new_is_skipped(config, tmp_path):
    state_dir, root = str(tmp_path / "state"), str(tmp_path / "root")
    config = replace(config, embeddings=EmbeddingsRoot(root=root))
    first = run(replace(config, incremental=True, state_dir=state_dir), tmp_path, TEXTS)
    assert (first["rows"], first["reused"]) == (20, 0)
    assert (first["generation"], first["location"]) == (1, f"{root}/1")

    second = run(replace(config, incremental=True), tmp_path, [*TEXTS, "new", "and newer"])
    assert (second["rows"], second["reused"]) == (22, 20)
    assert second["generation"] == 2
    read, latest = read_embeddings(root), latest_generation(root)
    assert (len(read[0]), latest.rows, latest.source) == (22, 22, second["embeddings"])
    assert latest.module.digest == second["module_digest"]
    rows = [
        row for split in ("train", "eval") for row in read_examples(second["embeddings"], split)
    ]
    assert sorted(row["id"] for row in rows) == [[n] for n in range(22)]
    store = open_sqlite(config.metadata_path)
    executions = metadata.latest_run(store, "again")
    step = next(e for e in executions if e.type.endswith("EmbeddingGenerator"))
    embeddings = metadata.outputs(store, step)["embeddings"]
    parents = parents_of(ancestors_of(store, [embeddings]), embeddings.id)
    assert parents["previous"].uri == first["embeddings"]

    config = replace(config, state_dir=state_dir)  # Which names the first.
    third = run(config, tmp_path, ["the cat", "hello", "and newer"])
    assert (third["rows"], third["reused"]) == (3, 2)
    assert third["generation"] == 3
    assert run_embed(config) == third


def test_embeddings_that_the_cache_gives_again_are_the_latest_again(config, tmp_path):
    root = str(tmp_path / "root")
    config = replace(config, embeddings=EmbeddingsRoot(root=root))
    other = replace(config, module=str(text_module(tmp_path / "other", dim=5)))
    first = run(config, tmp_path, TEXTS)
    assert run_embed(other)["generation"] == 2
    assert read_embeddings(root)[0].shape == (20, 5)
    again = run_embed(config)
    assert again["embeddings"] == first["embeddings"]
    assert again["generation"] == 3
    assert read_embeddings(root)[0].shape == (20, 4)
