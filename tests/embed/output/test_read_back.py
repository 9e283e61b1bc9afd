"""Embeddings are read back whichever splits and parts have no rows."""

import numpy as np
import pytest
import tensorflow as tf

from hub_tfx.beam.runner import make_pipeline
from hub_tfx.data.files import find_files
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_splits
from hub_tfx.embed.output.read_back import read_embeddings
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.testing import text_module


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return ResolvedModule.of_directory(text_module(tmp_path_factory.mktemp("m") / "text"))


def write(path, rows):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            example = tf.train.Example()
            for name, value in row.items():
                example.features.feature[name].bytes_list.value.append(value.encode())
            writer.write(example.SerializeToString())
    return find_files([str(path)], "tfrecord")


def embed(tmp_path, module, splits, keep=("text",)):
    files = {name: write(tmp_path / name, rows) for name, rows in splits.items()}
    output = str(tmp_path / "out")
    config = EmbedConfig(keep=keep)
    embed_splits(module, files, output, str(tmp_path / "dead"), config, lambda: make_pipeline([]))
    return read_embeddings(output)


CAT = {"text": "cat"}


@pytest.mark.parametrize("empty", ["train", "eval"])
def test_an_empty_split_has_no_rows_and_is_no_error(tmp_path, module, empty):
    splits = {"train": [CAT, CAT], "eval": [CAT, CAT]} | {empty: []}
    vectors, others = embed(tmp_path, module, splits)
    assert vectors.shape == (2, 4)
    assert others.to_pydict() == {"text": [[b"cat"], [b"cat"]]}


def test_a_kept_feature_that_a_whole_split_lacks_is_null_there(tmp_path, module):
    splits = {"train": [CAT | {"id": "1"}], "eval": [CAT]}
    vectors, others = embed(tmp_path, module, splits, ("text", "id"))
    assert len(vectors) == 2
    assert sorted(map(str, others["id"].to_pylist())) == ["None", "[b'1']"]


def test_splits_that_are_all_empty_give_no_vectors(tmp_path, module):
    vectors, others = embed(tmp_path, module, {"train": [], "eval": []}, ())
    assert vectors.shape == (0, 4)
    assert vectors.dtype == np.float32
    assert others.num_rows == 0
