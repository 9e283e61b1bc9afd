"""Signatures without a batch dimension: found where only that fits, and called once a row."""

import json
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
from hub_tfx.embed.call.batching import CallLimits, embed_rows
from hub_tfx.embed.call.bound import BoundModule
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.embed.task import make_task
from hub_tfx.errors import ConfigError
from hub_tfx.module.load import load
from hub_tfx.module.resolved import ResolvedModule

WAVES = [np.linspace(0, 1, 5 + n).tolist() for n in range(4)]


def spec(dtype: str, *shape: int | None) -> Any:
    return tf.TensorSpec(shape, dtype)


def frames(waveform: Any) -> Any:
    framed = tf.signal.frame(waveform, 4, 2, pad_end=True)
    return {"frames": framed, "loudest": tf.reduce_max(waveform)}


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ResolvedModule]:
    folder = tmp_path_factory.mktemp("modules")
    made = {
        "wave": (frames, {"waveform": spec("float32", None)}),
        "fixed wave": (lambda waveform: waveform[:3], {"waveform": spec("float32", 6)}),
        "text": (lambda text: tf.fill([3], tf.strings.length(text)), {"text": spec("string")}),
        "picture": (lambda image: tf.reduce_mean(image, [0, 1]), {"image": spec("uint8", 4, 4, 3)}),
        "words": (
            lambda words: tf.one_hot(tf.strings.length(words), 4),
            {"words": spec("string", None)},
        ),
        "bag": (
            lambda words: tf.reduce_sum(tf.one_hot(tf.strings.length(words), 4), axis=0),
            {"words": spec("string", None)},
        ),
        "matrix": (
            lambda matrix: tf.reduce_sum(matrix, axis=0),
            {"matrix": spec("float32", None, 2)},
        ),
        "batch": (lambda x: 2 * x, {"x": spec("float32", None, 2)}),
        "numbers": (lambda x: tf.stack([x, 2 * x], axis=-1), {"x": spec("float32", None)}),
        "two sizes": (
            lambda a, b: tf.concat([a, b], 0),
            {"a": spec("float32", 3), "b": spec("float32", 2)},
        ),
        "with a scalar": (
            lambda x, t: x * t,
            {"x": spec("float32", None, 2), "t": spec("float32")},
        ),
        "with labels": (
            lambda text: {
                "length": tf.strings.length(text),
                "labels": tf.constant(["a", "b", "c"]),
            },
            {"text": spec("string", None)},
        ),
        "ragged": (
            lambda x: tf.reduce_sum(x, axis=1),
            {"x": tf.RaggedTensorSpec([None, None], tf.float32)},
        ),
        "sparse": (
            lambda x: tf.sparse.to_dense(x),
            {"x": tf.SparseTensorSpec([5], tf.float32)},
        ),
    }
    return {
        name: ResolvedModule.of_directory(save(folder / name, function, inputs))
        for name, (function, inputs) in made.items()
    }


def png(pixels: Any) -> bytes:
    return tf.io.encode_png(pixels).numpy()


def settled(tmp_path: Path, module: ResolvedModule, table: Any, **config: Any) -> EmbedConfig:
    """The config of a job on a table, checked but not run."""
    path = str(tmp_path / "in.parquet")
    pq.write_table(pa.table(table), path)
    files = find_files([path])
    task = make_task(module, EmbedConfig(**config), files, infer_schema(files), "parquet")
    return task.config


def embedded(module: ResolvedModule, table: Any, **config: Any) -> dict[str, list[Any]]:
    """What a worker makes of a table, all rows of which it can embed."""
    [batch] = pa.table(table).to_batches()
    bound = BoundModule(load(module.path), EmbedConfig(**config), batch.schema)
    done = embed_rows(bound, bound.checked(batch), CallLimits.of(EmbedConfig(batch_size=100)))
    assert done.rejected == {}
    assert done.calls == (1,) * batch.num_rows or not bound.plan.no_batch
    return {name: column.to_pylist() for name, column in done.columns.items()}


PICTURE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
FOUND = {
    "wave": {"waveform": WAVES},
    "fixed wave": {"waveform": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]] * 2},
    "text": {"text": ["a", "bc"]},
    "picture": {"image": [png(PICTURE)]},
    "words": {"words": [["a", "bc"], ["d", "e", "f"]]},
    "bag": {"words": [["a", "bc"], ["d"]]},
    "numbers": {"x": [[1.0, 2.0], [3.0, 4.0, 5.0], []]},
    "matrix": {"matrix": [[[1.0, 2.0], [3.0, 4.0]]]},
    "ragged": {"x": [[[1.0, 2.0], []], [[3.0]]]},
    "sparse": {"x": [[1.0, 2.0], [3.0]]},
    "two sizes": {"a": [[1.0, 2.0, 3.0]], "b": [[4.0, 5.0]]},
}


@pytest.mark.parametrize("kind", FOUND)
def test_a_signature_that_takes_a_row_at_a_time_is_found(
    tmp_path: Path, modules: dict[str, ResolvedModule], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert settled(tmp_path, modules[kind], FOUND[kind]).no_batch
    assert "once a row (no_batch)" in caplog.text


BATCHES = {
    "batch": {"x": [[1.0, 2.0], [3.0, 4.0]]},
    "numbers": {"x": [1.0, 2.0]},
    # As tf.Example has them; one odd row does not change how the others are called.
    "words": {"words": [["a"], ["b", "c"], ["d"]]},
    "ragged": {"x": [[1.0, 2.0], []]},
}


@pytest.mark.parametrize("kind", BATCHES)
def test_a_signature_that_takes_batches_is_called_with_batches(
    tmp_path: Path, modules: dict[str, ResolvedModule], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not settled(tmp_path, modules[kind], BATCHES[kind]).no_batch
    assert caplog.text == ""


def test_a_row_of_lists_that_go_into_no_batch_says_what_would_take_it(
    modules: dict[str, ResolvedModule],
) -> None:
    batch = pa.RecordBatch.from_pydict({"words": [["a"], ["b", "c"]]})
    bound = BoundModule(load(modules["words"].path), EmbedConfig(), batch.schema)
    assert bound.check(batch) == {
        1: "feature 'words' has 2 values; the input takes 1 a row; embed with --no-batch if the "
        "signature takes all of one row at a time"
    }


UNCERTAIN = {
    # Rows of the wrong length, or two rows of the signature each?
    "batch": ({"x": [[1.0, 2.0, 3.0, 4.0]] * 3}, "none of the first 3 rows fits: .*--no-batch"),
    "with a scalar": ({"x": [[1.0, 2.0]], "t": [1.0]}, r"input 't' \(float32\[\]\).*--no-batch"),
    "with labels": ({"text": ["a"]}, "output 'labels' is string.*--output-map.*--no-batch"),
}


@pytest.mark.parametrize("kind", UNCERTAIN)
def test_where_both_could_be_meant_one_error_names_the_option(
    tmp_path: Path, modules: dict[str, ResolvedModule], kind: str
) -> None:
    table, complaint = UNCERTAIN[kind]
    with pytest.raises(ConfigError, match=complaint):
        settled(tmp_path, modules[kind], table)
    assert settled(tmp_path, modules[kind], table, no_batch=True).no_batch


def test_outputs_of_a_row_are_values_vectors_and_lists(modules: dict[str, ResolvedModule]) -> None:
    found = embedded(modules["wave"], {"waveform": WAVES}, no_batch=True)
    for row, wave in enumerate(WAVES):
        expected = frames(tf.constant(wave))
        np.testing.assert_allclose(found["frames"][row], expected["frames"].numpy().reshape(-1))
        assert found["loudest"][row] == 1.0
    assert embedded(modules["text"], {"text": ["a", "bc"]})["embedding"] == [[1] * 3, [2] * 3]
    [mean] = embedded(modules["picture"], {"image": [png(PICTURE)]})["embedding"]
    assert mean == PICTURE.mean(axis=(0, 1)).astype(np.uint8).tolist()


def test_every_kind_of_input_goes_without_a_batch(modules: dict[str, ResolvedModule]) -> None:
    rows = [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]]
    for matrix in (rows, [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0]]):
        found = embedded(modules["matrix"], {"matrix": matrix}, no_batch=True)
        assert found["embedding"] == [[4.0, 6.0], [5.0, 6.0]]
    ragged = {"x": pa.array([[[1.0, 2.0], []], [[3.0]]], pa.list_(pa.list_(pa.float32())))}
    assert embedded(modules["ragged"], ragged)["embedding"] == [[3.0, 0.0], [3.0]]
    sparse = {"x": [[1.0, 2.0], [3.0]]}
    assert embedded(modules["sparse"], sparse)["embedding"] == [[1, 2, 0, 0, 0], [3, 0, 0, 0, 0]]
    found = embedded(modules["with a scalar"], {"x": [[1.0, 2.0]], "t": [3.0]}, no_batch=True)
    assert found["embedding"] == [[3.0, 6.0]]


@pytest.mark.parametrize("output_format", ["parquet", "tfrecord"])
def test_a_job_finds_it_out_and_says_so_in_the_manifest(
    tmp_path: Path, modules: dict[str, ResolvedModule], output_format: Any
) -> None:
    path, output = tmp_path / "in.jsonl", tmp_path / "out"
    rows = [{"waveform": wave, "id": n} for n, wave in enumerate(WAVES)] + [{"waveform": None}]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    config = EmbedConfig(keep=("id",))
    result = embed_files(modules["wave"], [str(path)], str(output), config, output_format)
    assert (result.rows, result.dead_letters) == (4, 1)
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["config"]["no_batch"] is True
    assert manifest["columns"]["frames"]["shape"] == [-1, 4]
    again = embed_files(
        modules["wave"], [str(path)], str(output), config, output_format, previous=str(output)
    )
    assert again.reused == 4


def test_it_is_found_out_for_a_column_that_first_records_lack(
    tmp_path: Path, modules: dict[str, ResolvedModule]
) -> None:
    path = tmp_path / "in.jsonl"
    rows = [{"id": n} for n in range(1001)] + [{"id": 1001, "waveform": WAVES[0]}]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    files = find_files([str(path)])
    task = make_task(modules["wave"], EmbedConfig(), files, infer_schema(files), "parquet")
    assert task.config.no_batch
