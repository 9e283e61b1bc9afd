"""Whole jobs with modules of every kind: what is written is what the module gives."""

from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from real_modules import save

from hub_tfx.data.files import find_files
from hub_tfx.data.schema import infer_schema
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import EmbedResult, embed_files
from hub_tfx.embed.output.read_back import read_embeddings
from hub_tfx.embed.task import make_task
from hub_tfx.errors import ConfigError
from hub_tfx.module.resolved import ResolvedModule

TEXTS = ["a", "bc", "hello you", "x yz w"]
TEXT = {"text": tf.TensorSpec([None], tf.string)}
LENGTHS = [1, 2, 9, 6]


def embed(
    path: str | Path, table: Any, output: Path, output_format: Any = "parquet", **config: Any
) -> EmbedResult:
    source = output.with_suffix(".parquet")
    pq.write_table(pa.table(table), source)
    module = ResolvedModule.of_directory(path)
    return embed_files(module, [str(source)], str(output), EmbedConfig(**config), output_format)


def column(output: Path, name: str) -> list[Any]:
    values, _ = read_embeddings(str(output), name)
    return [value.tolist() if hasattr(value, "tolist") else value for value in values]


def check(path: str | Path, table: Any, tmp_path: Path, output_format: Any = "parquet") -> None:
    """What a job checks before it starts."""
    source = str(tmp_path / "in.parquet")
    pq.write_table(pa.table(table), source)
    module, files = ResolvedModule.of_directory(path), find_files([source])
    make_task(module, EmbedConfig(), files, infer_schema(files), output_format)


# --- Arguments and results -----------------------------------------------------------------------


Encoded = namedtuple("Encoded", "pooled tokens")


def encoded(text: Any) -> Encoded:
    length = tf.cast(tf.strings.length(text), tf.float32)[:, None]
    return Encoded(length, tf.concat([length, -length], axis=1))


def test_a_named_tuple_becomes_a_column_for_each_field(tmp_path: Path) -> None:
    path = save(tmp_path / "m", encoded, TEXT)
    embed(path, {"text": TEXTS}, tmp_path / "all")
    assert column(tmp_path / "all", "pooled") == [[n] for n in LENGTHS]
    assert column(tmp_path / "all", "tokens") == [[n, -n] for n in LENGTHS]
    embed(path, {"text": TEXTS}, tmp_path / "one", outputs={"pooled": "vector"})
    assert column(tmp_path / "one", "vector") == [[n] for n in LENGTHS]


def test_a_named_tuple_is_fed_by_a_column_for_each_field(tmp_path: Path) -> None:
    module = tf.Module()
    of_tokens = tf.TensorSpec([None, 2], tf.float32)
    module.__call__ = tf.function(
        lambda given: given.tokens * given.pooled,
        input_signature=[Encoded(tf.TensorSpec([None, 1], tf.float32), of_tokens)],
    )
    tf.saved_model.save(module, str(tmp_path / "m"))
    table = {"pooled": [2.0, 3.0], "tokens": [[1.0, 2.0], [3.0, 4.0]]}
    embed(tmp_path / "m", table, tmp_path / "out")
    assert column(tmp_path / "out", "embedding") == [[2.0, 4.0], [9.0, 12.0]]


def test_an_argument_that_is_made_of_no_tensors_is_one_error(tmp_path: Path) -> None:
    module = tf.Module()
    spec = tf.data.DatasetSpec(tf.TensorSpec([], tf.float32))
    module.__call__ = tf.function(lambda x, data: x, input_signature=[tf.TensorSpec([None]), spec])
    tf.saved_model.save(module, str(tmp_path / "m"))
    with pytest.raises(ConfigError, match=r"input 'data' \(DatasetSpec.*no feature can hold"):
        check(tmp_path / "m", {"x": [1.0], "data": [1.0]}, tmp_path)


def test_ragged_and_sparse_inputs_of_a_signature_are_fed_lists(tmp_path: Path) -> None:
    function = tf.function(
        lambda words, ids: {
            "y": tf.cast(words.row_lengths(), tf.float32)[:, None]
            + tf.sparse.reduce_sum(ids, axis=1, keepdims=True)
        },
        input_signature=[
            tf.RaggedTensorSpec([None, None], tf.string),
            tf.SparseTensorSpec([None, 3], tf.float32),
        ],
    )
    tf.saved_model.save(tf.Module(), str(tmp_path / "m"), signatures={"serving_default": function})
    table = {"words": [["a", "b"], ["c"]], "ids": [[10.0], [20.0, 30.0]]}
    embed(tmp_path / "m", table, tmp_path / "out")
    assert column(tmp_path / "out", "embedding") == [[12.0], [51.0]]


# --- State ---------------------------------------------------------------------------------------


class State(tf.Module):
    """Counts its calls, looks words up and draws random numbers."""

    def __init__(self) -> None:
        keys, values = tf.constant(["a", "bc"]), tf.constant([1, 2], tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(keys, values)
        self.calls = tf.Variable(0, dtype=tf.int64)
        self.words = tf.lookup.StaticHashTable(initializer, -1)
        self.seen = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
        self.generator = tf.random.Generator.from_seed(1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, text: Any) -> dict[str, Any]:
        number = tf.fill(tf.shape(text), self.calls.assign_add(1))
        self.seen.insert(text, number)
        random = self.generator.uniform(tf.shape(text)) + tf.random.uniform(tf.shape(text))
        return {
            "calls": number,
            "words": self.words.lookup(text),
            "seen": tf.ensure_shape(self.seen.lookup(text), [None]),
            "random": random,
        }


def test_a_module_with_state_is_loaded_once_and_keeps_it(tmp_path: Path) -> None:
    tf.saved_model.save(State(), str(tmp_path / "m"))
    result = embed(tmp_path / "m", {"text": TEXTS}, tmp_path / "out", batch_size=1)
    assert result.metrics["module_loads"] == 1
    assert column(tmp_path / "out", "words") == [1, 2, -1, -1]
    assert sorted(column(tmp_path / "out", "calls")) == [1, 2, 3, 4]
    assert column(tmp_path / "out", "seen") == column(tmp_path / "out", "calls")
    assert len(set(column(tmp_path / "out", "random"))) == len(TEXTS)


# --- Outputs -------------------------------------------------------------------------------------


def many(text: Any) -> dict[str, Any]:
    length, words = tf.strings.length(text), tf.strings.split(text)
    return {
        "bool": length[:, None] > 2,
        "uint8": tf.cast(length, tf.uint8)[:, None],
        "uint32": tf.cast(length, tf.uint32),
        "int64": tf.strings.to_hash_bucket_fast(text, 1 << 62),
        "bfloat16": tf.cast(length, tf.bfloat16)[:, None],
        "float64": tf.cast(length, tf.float64),
        "string": tf.stack([text, tf.strings.upper(text)], axis=1),
        "words": words,
        "sparse": words.to_sparse(),
        "matrix": tf.cast(length, tf.float32)[:, None, None] * tf.ones([1, 2, 3]),
    }


@pytest.fixture(scope="module")
def of_many(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("many") / "m", many, TEXT)


@pytest.mark.parametrize("output_format", ["parquet", "tfrecord"])
def test_outputs_of_every_dtype_come_back_as_they_were(
    of_many: str, tmp_path: Path, output_format: Any
) -> None:
    output = tmp_path / "out"
    embed(of_many, {"text": TEXTS}, output, output_format)
    for name, expected in many(tf.constant(TEXTS)).items():
        found = column(output, name)
        if name == "words":
            assert found == expected.to_list()
        elif name == "sparse":
            assert found == tf.sparse.to_dense(expected).numpy().tolist()
        else:
            assert found == tf.cast(expected, expected.dtype).numpy().tolist()
        dtype = read_embeddings(str(output), name)[0]
        if name in ("bool", "uint8", "uint32", "int64"):
            assert dtype.dtype.name == name
        if name in ("bfloat16", "float64", "matrix"):
            assert dtype.dtype == np.float32


UNWRITABLE = {
    "complex": (lambda text: tf.complex(tf.ones([tf.shape(text)[0], 2]), 0.0), "complex64"),
    "quantized": (
        lambda text: tf.bitcast(tf.cast(tf.strings.length(text), tf.int8), tf.qint8)[:, None],
        "no column holds qint8",
    ),
    "lists of lists": (
        lambda text: tf.strings.unicode_split(tf.strings.split(text), "UTF-8"),
        "lists of lists that differ in length",
    ),
    "one for the batch": (
        lambda text: tf.reduce_sum(tf.strings.length(text)),
        "one value for the whole batch",
    ),
    "nothing": (lambda text: None, "gives nothing that can be written"),
}


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_an_output_that_cannot_be_written_is_one_error_with_its_reason(
    kind: str, tmp_path: Path
) -> None:
    function, reason = UNWRITABLE[kind]
    path = save(tmp_path / "m", function, TEXT)
    with pytest.raises(ConfigError, match=reason):
        check(path, {"text": TEXTS}, tmp_path)


def test_uint64_is_written_to_parquet_and_refused_for_tf_example(tmp_path: Path) -> None:
    def function(text: Any) -> Any:
        return tf.bitcast(tf.strings.to_hash_bucket_fast(text, 1 << 62), tf.uint64) * 4

    path = save(tmp_path / "m", function, TEXT)
    embed(path, {"text": TEXTS}, tmp_path / "out")
    assert column(tmp_path / "out", "embedding") == function(tf.constant(TEXTS)).numpy().tolist()
    with pytest.raises(ConfigError, match=r"is uint64, and tf\.Example holds int64.*--format"):
        check(path, {"text": TEXTS}, tmp_path, "tfrecord")
