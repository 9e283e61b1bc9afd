"""One module, one text, one vector: from plain TF Hub, the command line and the TFX component."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tfx.v1 as tfx
from tfx_helpers import examples_artifact, plain_vectors, read_examples

from hub_tfx.artifacts import HubModule
from hub_tfx.cli.main import run
from hub_tfx.components.embedding_generator.executor import Executor as EmbeddingGenerator
from hub_tfx.components.module_resolver.executor import Executor as ModuleResolver
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.module.manifest import Manifest
from hub_tfx.testing import serve

TEXTS = ["the cat", "", "Dog sat on the mat!", "hello unheard-of wörld", 'a "quoted", text']


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))


def from_component(folder, handle, rows, config=None):
    """Vectors from ModuleResolver and EmbeddingGenerator."""
    module = HubModule()
    module.uri = str(folder / "module")
    ModuleResolver().Do({}, {"module": [module]}, {"handle": str(handle)})
    outputs = {}
    for name in ("embeddings", "dead_letters"):
        outputs[name] = [tfx.types.standard_artifacts.Examples()]
        outputs[name][0].uri = str(folder / name)
    examples = examples_artifact(folder / "examples", {"train": rows})
    config = config or EmbedConfig()
    EmbeddingGenerator().Do(
        {"examples": [examples], "module": [module]}, outputs, {"config": config.to_json()}
    )
    rows = read_examples(outputs["embeddings"][0].uri, "train")
    return [row["embedding"] for row in rows]


def from_command(folder, handle, source, *options):
    """Vectors from `hub-tfx embed`."""
    output = folder / "out"
    arguments = ["embed", "--module", handle, "--input", source, "--output", output, *options]
    assert run([str(argument) for argument in arguments]) == 0
    manifest = json.loads((output / "manifest.json").read_text())
    tables = [pq.read_table(output / file["name"]) for file in manifest["files"]]
    return pa.concat_tables(tables)["embedding"].to_pylist()


def csv_of(folder, texts):
    path = folder / "in.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    return path


def test_a_text_has_one_vector(tmp_path, text_module_dir):
    rows = [{"text": text} for text in TEXTS]
    expected = plain_vectors(text_module_dir, TEXTS)
    with serve({"/acme/text/1": text_module_dir}) as base:
        handle = f"{base}/acme/text/1"
        command = from_command(tmp_path, handle, csv_of(tmp_path, TEXTS))
        component = from_component(tmp_path, handle, rows)
    np.testing.assert_allclose(command, expected, atol=1e-6)
    np.testing.assert_allclose(component, expected, atol=1e-6)


def test_an_image_has_one_vector(tmp_path, image_module_dir):
    pixels = np.random.default_rng(1).integers(0, 256, [4, 8, 8, 3], np.uint8)
    encoded = [tf.io.encode_png(image).numpy() for image in pixels]
    pq.write_table(pa.table({"image": encoded}), tmp_path / "in.parquet")
    expected = plain_vectors(image_module_dir, (pixels / 255).astype(np.float32))
    command = from_command(tmp_path, image_module_dir, tmp_path / "in.parquet")
    component = from_component(tmp_path, image_module_dir, [{"image": one} for one in encoded])
    np.testing.assert_allclose(command, expected, atol=1e-6)
    np.testing.assert_allclose(component, expected, atol=1e-6)


_MODULE_FN = """
import tensorflow as tf
import tensorflow_hub as hub

def lengths(is_training):
    text = tf.compat.v1.placeholder(tf.string, [None])
    scale = tf.compat.v1.get_variable("scale", [], initializer=tf.compat.v1.ones_initializer())
    length = tf.cast(tf.strings.length(text, unit="UTF8_CHAR"), tf.float32)
    vowels = tf.strings.regex_replace(text, "[^aeiou]", "")
    number = tf.cast(tf.strings.length(vowels), tf.float32)
    hub.add_signature(inputs=text, outputs=tf.stack([length, number], axis=1) * scale)
"""


def test_a_module_of_ones_own_goes_down_the_whole_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("my_lengths.py").write_text(_MODULE_FN)
    assert run(["create", "module", "--module-fn", "my_lengths:lengths", "--output", "own"]) == 0
    digest = Manifest.of_directory(tmp_path / "own").digest
    capsys.readouterr()

    assert run(["resolve", "own", "--json", "--sha256", digest]) == 0
    resolved = json.loads(capsys.readouterr().out)
    assert resolved["digest"] == digest

    assert run(["inspect", resolved["path"], "--json"]) == 0
    inspected = json.loads(capsys.readouterr().out)
    assert inspected["format"] == "tf1_hub"
    assert "default" in json.dumps(inspected["signatures"])

    texts = ["cat", "a bear", "wörld", ""]
    expected = [[3, 1], [6, 3], [5, 0], [0, 0]]
    np.testing.assert_allclose(plain_vectors(tmp_path / "own", texts), expected, atol=1e-6)
    command = from_command(tmp_path, "own", csv_of(tmp_path, texts))
    component = from_component(tmp_path, tmp_path / "own", [{"text": text} for text in texts])
    np.testing.assert_allclose(command, expected, atol=1e-6)
    np.testing.assert_allclose(component, expected, atol=1e-6)
