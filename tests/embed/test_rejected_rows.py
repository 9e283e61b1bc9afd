"""Every row that cannot be embedded is a dead letter with its key and a reason, and no other is."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.errors import RejectedRowsError
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.testing import image_module, text_module


class Sums(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    def __call__(self, numbers):
        return tf.reduce_sum(numbers, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    tf.saved_model.save(Sums(), str(folder / "numbers"))
    text_module(folder / "text")
    image_module(folder / "image")
    return {n: ResolvedModule.of_directory(folder / n) for n in ("numbers", "text", "image")}


def embed(tmp_path, module, source, **config):
    """Result, and reason by record number."""
    output = tmp_path / "out"
    result = embed_files(module, [str(source)], str(output), EmbedConfig(**config))
    letters = pq.read_table(output / "dead_letters").to_pylist()
    assert all(letter["key"].startswith(f"{source}:") for letter in letters)
    return result, {int(le["key"].rpartition(":")[2]): le["reason"] for le in letters}


def test_numbers(tmp_path, modules):
    rows = {
        "[1, 2]": None,
        "[NaN, 2]": "holds NaN, infinity or what float32 cannot hold",
        "[1, -Infinity]": "holds NaN, infinity or what float32 cannot hold",
        "[1e39, 2]": "holds NaN, infinity or what float32 cannot hold",
        "[1]": "has 1 values; the input takes 2 a row",
        "[1, 2, 3]": "has 3 values; the input takes 2 a row",
        "[]": "is missing",
        "null": "is missing",
        "[1, null]": "holds a null",
        '["a", "b"]': "'a'",
        '"text"': "feature 'numbers'",
        "[3, 4]": None,
    }
    source = tmp_path / "in.jsonl"
    first = '{"numbers": [0.5, 1.5]}\n' * 1000
    source.write_text(first + "".join(f'{{"numbers": {row}}}\n' for row in rows))
    result, reasons = embed(tmp_path, modules["numbers"], source, inputs={"numbers": "numbers"})
    expected = {1001 + n: reason for n, reason in enumerate(rows.values()) if reason}
    assert reasons.keys() == expected.keys()
    for row, reason in expected.items():
        assert reason in reasons[row]
    assert result.rows == 1002


def test_text(tmp_path, modules):
    source = tmp_path / "in.txt"
    source.write_bytes(b"cat\n\xff\xfe\n\n\xc3\x28\ndog\n")
    result, reasons = embed(tmp_path, modules["text"], source)
    assert (result.rows, list(reasons)) == (3, [2, 4])
    assert all("UTF" in reason for reason in reasons.values())


def test_images(tmp_path, modules):
    png = tf.io.encode_png(np.zeros([8, 8, 3], np.uint8)).numpy()
    images = [png, b"", b"no image", png[: len(png) // 2], None, png]
    pq.write_table(pa.table({"image": pa.array(images, pa.binary())}), tmp_path / "in.parquet")
    result, reasons = embed(tmp_path, modules["image"], tmp_path / "in.parquet")
    assert (result.rows, list(reasons)) == (2, [2, 3, 4, 5])


def test_all_of_them_fail_the_job_and_none_of_none_do_not(tmp_path, modules):
    source = tmp_path / "in.txt"
    source.write_bytes(b"\xff\n" * 3)
    with pytest.raises(RejectedRowsError, match="3 of 3 records"):
        embed(tmp_path, modules["text"], source)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["dead_letters"]
    source.write_bytes(b"")
    result, reasons = embed(tmp_path, modules["text"], source)
    assert (result.rows, result.dead_letters, reasons) == (0, 0, {})
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["rows"], manifest["inputs"]) == (0, {str(source): 0})
