"""A TFX pipeline whose Beam steps run on Prism, by nothing but beam_pipeline_args."""

import logging

import numpy as np
import pytest
from tfx_helpers import plain_vectors, read_examples, write_tfrecord

from hub_tfx.embed.config import EmbedConfig
from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig
from hub_tfx_pipelines.run_local import run_embed

pytestmark = pytest.mark.engines

TEXTS = [f"the cat {'dog ' * (n % 5)}" for n in range(60)]


def test_the_embedding_pipeline(tmp_path, monkeypatch, caplog, module_dir, worker_pool):
    caplog.set_level(logging.INFO, "hub_tfx")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    rows = [{"id": n, "text": text} for n, text in enumerate(TEXTS)]
    write_tfrecord(tmp_path / "data" / "texts.tfrecord.gz", rows)
    result = run_embed(
        EmbedPipelineConfig(
            pipeline_name="embed",
            pipeline_root=str(tmp_path / "artifacts"),
            data_root=str(tmp_path / "data"),
            module=str(module_dir),
            embed=EmbedConfig(keep=("id",)),
            metadata_path=str(tmp_path / "metadata.sqlite"),
            beam_pipeline_args=worker_pool.options,
        )
    )
    folder = result["embeddings"]
    made = [row for split in ("train", "eval") for row in read_examples(folder, split)]
    made.sort(key=lambda row: row["id"])
    assert [row["id"] for row in made] == [[n] for n in range(len(TEXTS))]
    vectors = [row["embedding"] for row in made]
    np.testing.assert_allclose(vectors, plain_vectors(module_dir, TEXTS), atol=1e-6)
    assert f"'rows': {len(TEXTS)}" in caplog.text
    started = worker_pool.log.read_text().count("Starting worker with command")
    assert started == 2, "ExampleGen and EmbeddingGenerator have a worker each"
