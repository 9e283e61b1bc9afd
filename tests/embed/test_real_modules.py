"""Whole jobs with modules as they are on TF Hub: the vectors are those of plain TensorFlow Hub."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that
from real_modules import SEQUENCE, WIDTH, encoder, preprocessor, save

from hub_tfx.beam.runner import beam_arguments
from hub_tfx.cli.main import run as run_main
from hub_tfx.embed import transform
from hub_tfx.embed.call import bound
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.embed.output.read_back import read_embeddings
from hub_tfx.embed.transform import EmbedRecordBatches
from hub_tfx.errors import ConfigError, DigestMismatchError, SignatureError, UsageError
from hub_tfx.module.check import check
from hub_tfx.module.load import load
from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.module.resolved import ResolvedModule

TEXTS = ["the cat sat", "a", "one two three four five six seven eight", "dog"] * 3


@pytest.fixture
def embed(tmp_path):
    """Embeds a table; gives the result, the vectors and the manifest."""

    def run(path, table, output_format="parquet", first=None, **config):
        source, output = tmp_path / "in.parquet", tmp_path / "out"
        pq.write_table(pa.table(table), source)
        result = embed_files(
            ResolvedModule.of_directory(path),
            [str(source)],
            str(output),
            EmbedConfig(**config),
            output_format,
            preprocessor=first and ResolvedModule.of_directory(first),
        )
        name = next(iter(json.loads((output / "manifest.json").read_text())["columns"]))
        return result, read_embeddings(str(output), name)[0]

    return run


def manifest_of(tmp_path):
    return json.loads((tmp_path / "out" / "manifest.json").read_text())


def letters_of(tmp_path):
    return pq.read_table(tmp_path / "out" / "dead_letters").to_pylist()


# --- A preprocessor and an encoder ---------------------------------------------------------------


@pytest.fixture(scope="session")
def pair(module_format, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    return preprocessor(folder / "first", module_format), encoder(folder / "then", module_format)


def plain(path, inputs):
    """What plain TF Hub makes of a dict of tensors."""
    loaded = hub.load(path)
    if callable(loaded):
        return loaded(inputs if len(inputs) > 1 else next(iter(inputs.values())))
    return loaded.signatures["default"](**inputs)


def tokens_of(path, texts):
    return plain(path, {"text": tf.constant(texts)})


def test_a_preprocessor_feeds_an_encoder(tmp_path, embed, pair):
    first, then = pair
    result, vectors = embed(then, {"text": TEXTS}, first=first, batch_size=5)
    assert (result.rows, result.dead_letters) == (len(TEXTS), 0)
    expected = plain(then, tokens_of(first, TEXTS))["default"]
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    manifest = manifest_of(tmp_path)
    digest = ResolvedModule.of_directory(first).digest
    assert manifest["preprocessor"] == {"handle": first, "digest": digest}
    assert manifest["embedding_dim"] == WIDTH


def test_outputs_of_a_transformer_are_chosen_by_name(tmp_path, embed, pair):
    first, then = pair
    outputs = {"sequence_output": "tokens", "pooled_output": "pooled"}
    _, tokens = embed(then, {"text": TEXTS}, first=first, outputs=outputs)
    expected = plain(then, tokens_of(first, TEXTS))
    assert [t.shape for t in tokens] == [(SEQUENCE, WIDTH)] * len(TEXTS)
    np.testing.assert_allclose(np.stack(tokens), expected["sequence_output"], atol=1e-6)
    pooled, others = read_embeddings(str(tmp_path / "out"), "pooled")
    np.testing.assert_allclose(pooled, expected["pooled_output"], atol=1e-6)
    assert others.schema.names == ["tokens"]
    assert manifest_of(tmp_path)["columns"] == {
        "tokens": {"output": "sequence_output", "dtype": "float32", "shape": [-1, WIDTH]},
        "pooled": {"output": "pooled_output", "dtype": "float32", "shape": [WIDTH]},
    }


@pytest.mark.parametrize("output_format", ["parquet", "tfrecord"])
def test_sequences_have_their_own_length_in_each_call(tmp_path, embed, pair, output_format):
    _, then = pair
    ids = [[1, 2], [3], [4, 5, 6], [7, 8]]
    table = {"input_word_ids": ids, "input_mask": [[1] * len(i) for i in ids]}
    table["input_type_ids"] = [[0] * len(i) for i in ids]
    outputs = {"sequence_output": "tokens"}
    result, tokens = embed(then, table, output_format, outputs=outputs, output_dtype="float16")
    assert (result.rows, result.dead_letters) == (4, 0)
    assert [t.shape for t in tokens] == [(len(i), WIDTH) for i in ids]
    for found, row in zip(tokens, range(4), strict=True):
        alone = {name: tf.constant([column[row]]) for name, column in table.items()}
        expected = plain(then, alone)["sequence_output"][0]
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_an_encoder_that_a_preprocessor_cannot_feed_is_an_error(embed, pair, text_module_dir):
    first, then = pair
    with pytest.raises(SignatureError, match=r"cannot feed input 'input_\w+'.*it gives"):
        embed(then, {"text": TEXTS}, first=str(text_module_dir))
    with pytest.raises(ConfigError, match=r"input 'text'.*wants feature 'text'; the input has x"):
        embed(then, {"x": TEXTS}, first=first)


def test_a_sole_output_feeds_a_sole_input(tmp_path, embed, module_format, text_module_dir):
    lower = save(
        tmp_path / "lower",
        lambda sentence: tf.strings.lower(sentence),
        {"sentence": tf.TensorSpec([None], tf.string, "sentence")},
        module_format,
    )
    _, vectors = embed(str(text_module_dir), {"text": ["CAT", "dog"]}, first=lower)
    [(key, _)] = ResolvedModule.of_directory(text_module_dir).spec.signature().inputs.items()
    expected = plain(str(text_module_dir), {key: tf.constant(["cat", "dog"])})
    expected = expected["default"] if isinstance(expected, dict) else expected
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_a_pipeline_of_ones_own_takes_a_preprocessor_and_loads_both_once(pair, monkeypatch):
    loads = []
    monkeypatch.setattr(transform, "load", lambda *given: loads.append(given[0]) or load(*given))
    first, then = pair
    expected = plain(then, tokens_of(first, TEXTS))["default"].numpy()
    batches = [pa.RecordBatch.from_pydict({"text": [text]}) for text in TEXTS]
    with beam.Pipeline(options=PipelineOptions(beam_arguments([]))) as pipeline:
        outputs = (
            pipeline | beam.Create(batches) | EmbedRecordBatches(then, preprocessor_path=first)
        )
        rows = outputs.embeddings | beam.FlatMap(lambda batch: batch["embedding"].to_pylist())
        assert_that(rows | beam.Map(np.round, 4), has_rows(np.round(expected, 4)))
    assert loads == [first, then]


def has_rows(expected):
    def check(actual):
        key = lambda row: tuple(row)  # noqa: E731
        np.testing.assert_allclose(
            sorted(map(list, actual), key=key), sorted(map(list, expected), key=key), atol=1e-3
        )

    return check


def test_a_worker_with_another_preprocessor_refuses(tmp_path, pair):
    module = ResolvedModule.of_directory(pair[1])
    first = ResolvedModule("first", pair[0], "0" * 64, ResolvedModule.of_directory(pair[0]).spec)
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "in.parquet")
    with pytest.raises(DigestMismatchError, match="the job was started with 0000"):
        embed_files(
            module, [str(tmp_path / "in.parquet")], str(tmp_path / "out"), preprocessor=first
        )


# --- Images --------------------------------------------------------------------------------------


def images(sizes, channels=3):
    random = np.random.default_rng(0)
    return [random.integers(0, 256, [*size, channels], np.uint8) for size in sizes]


def png(pixels):
    return tf.io.encode_png(pixels).numpy()


def image_spec(height=None, width=None, channels=3):
    return {"images": tf.TensorSpec([None, height, width, channels], tf.float32, "images")}


def means(images):
    """The mean of each channel, and the height: images that are mixed up are found out."""
    height = tf.fill([tf.shape(images)[0], 1], tf.cast(tf.shape(images)[1], tf.float32))
    return tf.concat([tf.reduce_mean(images, axis=[1, 2]), height], axis=1)


def test_images_of_any_size_are_each_decoded_once_and_called_by_size(
    tmp_path, embed, module_format, monkeypatch
):
    decoded = []
    real = bound.Input.decode
    monkeypatch.setattr(bound.Input, "decode", lambda s, c: decoded.append(len(c)) or real(s, c))
    path = save(tmp_path / "m", means, image_spec(), module_format)
    pixels = images([(5, 7), (3, 3), (5, 7), (9, 2)] * 4)
    table = {"image": [png(p) for p in pixels] + [b"no image"], "n": range(17)}
    result, vectors = embed(path, table, keep=("n",))
    assert (result.rows, result.dead_letters) == (16, 1)
    assert sum(decoded) == 17
    expected = [[*(p.mean(axis=(0, 1)) / 255), p.shape[0]] for p in pixels]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    [letter] = letters_of(tmp_path)
    assert letter["n"] == 16
    assert letter["reason"].startswith(
        "feature 'image' is not an image that can be decoded: Unknown"
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_resized_to_the_size_in_the_signature(tmp_path, embed, module_format, channels):
    path = save(tmp_path / "m", means, image_spec(6, 4, channels), module_format)
    [pixels] = images([(9, 7)], channels)
    _, vectors = embed(path, {"image": [png(pixels)]})
    resized = tf.image.resize(tf.image.convert_image_dtype(pixels, tf.float32), (6, 4))
    np.testing.assert_allclose(vectors, means(resized[None]), atol=1e-5)


def test_images_are_resized_to_the_size_that_a_tf1_module_attaches(tmp_path, embed):
    def attach():
        info = hub.ImageModuleInfo()
        info.default_image_size.height, info.default_image_size.width = 6, 4
        hub.attach_image_module_info(info)

    path = save(tmp_path / "m", means, image_spec(), "tf1_hub", attach)
    expected = hub.get_expected_image_size(hub.load_module_spec(path))
    assert list(ResolvedModule.of_directory(path).spec.image_size) == expected == [6, 4]
    _, vectors = embed(path, {"image": [png(p) for p in images([(9, 7), (3, 3)])]})
    assert vectors[:, 3].tolist() == [6, 6]
    _, vectors = embed(path, {"image": [png(p) for p in images([(9, 7)])]}, image_size=(2, 3))
    assert vectors[:, 3].tolist() == [2]


@pytest.mark.parametrize("as_uri", [False, True])
def test_images_from_paths(tmp_path, embed, module_format, monkeypatch, as_uri):
    path = save(tmp_path / "m", means, image_spec(4, 4), module_format)
    pixels = images([(4, 4), (4, 4)])
    monkeypatch.chdir(tmp_path)
    for n, image in enumerate(pixels):
        Path(f"{n}.png").write_bytes(png(image))
    names = ["0.png", "none.png", str(tmp_path / "1.png"), None]
    table = {"path": names, "n": range(4)}
    result, vectors = embed(path, table, image_source="path", keep=("n",))
    assert (result.rows, result.dead_letters) == (2, 2)
    np.testing.assert_allclose(
        vectors[:, :3], [p.mean(axis=(0, 1)) / 255 for p in pixels], atol=1e-5
    )
    missing, none = (letter["reason"] for letter in letters_of(tmp_path))
    assert "feature 'path' cannot be read:" in missing
    assert "none.png" in missing
    assert none == "feature 'path' is missing"


def test_pixels_that_are_decoded_already(tmp_path, embed, module_format):
    path = save(tmp_path / "m", means, image_spec(), module_format)
    pixels = [p.astype(np.float32) / 255 for p in images([(2, 3), (4, 1)])]
    _, vectors = embed(path, {"image": [p.tolist() for p in pixels]})
    expected = [[*p.mean(axis=(0, 1)), p.shape[0]] for p in pixels]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


# --- Inputs of every kind ------------------------------------------------------------------------


def spec(dtype, shape):
    return tf.TensorSpec(shape, dtype)


def test_several_inputs_of_different_kinds(tmp_path, embed, module_format):
    def function(name, numbers, weights, places, training):
        total = tf.cast(tf.reduce_sum(numbers, axis=1), tf.float32)
        weight = tf.reduce_sum(weights, axis=1)
        length = tf.cast(tf.strings.length(name), tf.float32)
        place = tf.cast(tf.sparse.reduce_sum(places, axis=1), tf.float32)
        out = tf.stack([length, total, weight, tf.reshape(place, [-1])], axis=1)
        return tf.where(training, -out, out)

    inputs = {
        "name": spec("string", [None]),
        "numbers": tf.RaggedTensorSpec([None, None], tf.int64, 1, tf.int64),
        "weights": spec("float32", [None, 2]),
        "places": tf.SparseTensorSpec([None, 5], tf.int64),
        "training": spec("bool", []),
    }
    path = save(tmp_path / "m", function, inputs, module_format)
    table = {
        "name": ["a", "bcd", "ef"],
        "numbers": [[1, 2, 3], [], [4]],
        "weights": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        "places": pa.array([[1], [2, 3], []], pa.list_(pa.int64())),
    }
    _, vectors = embed(path, table)
    assert vectors.tolist() == [[1, 6, 3, 1], [3, 0, 7, 5], [2, 4, 11, 0]]


@pytest.mark.parametrize("row_splits", [tf.int32, tf.int64])
def test_ragged_inputs_of_two_levels(tmp_path, embed, row_splits):
    inputs = {"numbers": tf.RaggedTensorSpec([None, None, None], tf.int32, 2, row_splits)}

    def function(numbers):
        inner = tf.reduce_max(tf.cast(numbers.row_lengths(axis=2), tf.float32), axis=1)
        return tf.stack([tf.cast(tf.reduce_sum(numbers, axis=[1, 2]), tf.float32), inner], axis=1)

    path = save(tmp_path / "m", function, inputs)
    _, vectors = embed(path, {"numbers": [[[1, 2], [3]], [[4, 5, 6]]]})
    assert vectors.tolist() == [[6, 2], [15, 3]]


def test_rows_that_differ_in_an_open_dimension_are_called_by_shape(tmp_path, embed, module_format):
    inputs = {"numbers": spec("float32", [None, None])}

    def function(numbers):
        return tf.stack([tf.reduce_sum(numbers, axis=1), tf.reduce_max(numbers, axis=1)], axis=1)

    path = save(tmp_path / "m", function, inputs, module_format)
    rows = [[1.0, 2.0], [3.0], [4.0, 5.0], [6.0, 7.0, 8.0]] * 5
    result, vectors = embed(path, {"numbers": rows}, batch_size=20)
    assert vectors.tolist() == [[sum(row), max(row)] for row in rows]
    assert result.metrics["batch_rows"].count == 3


def test_a_dict_a_list_and_a_nest_as_outputs(tmp_path, embed):
    def function(text):
        length = tf.cast(tf.strings.length(text), tf.float32)[:, None]
        return {"a/b": length, "c": [2 * length, {"d": text}]}

    path = save(tmp_path / "m", function, {"text": spec("string", [None])})
    embed(path, {"text": ["a", "bc"]})
    (part,) = (tmp_path / "out").glob("embeddings-*.parquet")
    table = pq.read_table(part)
    assert table.to_pydict() == {
        "a/b": [[1.0], [2.0]],
        "c_0": [[2.0], [4.0]],
        "c_1/d": [b"a", b"bc"],
    }


@pytest.mark.parametrize("rows", [1, 4, 6, 9])
def test_a_graph_for_batches_of_one_size_gets_them(tmp_path, embed, module_format, rows):
    inputs = {"numbers": spec("float32", [4, 2]), "text": spec("string", [4])}

    def function(numbers, text):
        return numbers * tf.cast(tf.strings.length(text), tf.float32)[:, None]

    path = save(tmp_path / "m", function, inputs, module_format)
    numbers = np.arange(2.0 * rows, dtype=np.float32).reshape(rows, 2)
    table = {"numbers": numbers.tolist(), "text": ["ab"] * rows}
    result, vectors = embed(path, table, batch_size=3)
    assert result.rows == rows
    np.testing.assert_allclose(vectors, 2 * numbers)


def test_a_bad_row_among_those_of_a_batch_of_one_size(tmp_path, embed, module_format):
    def function(text):
        with tf.control_dependencies(
            [tf.debugging.Assert(tf.reduce_all(tf.not_equal(text, b"bad")), ["bad"])]
        ):
            return tf.cast(tf.strings.length(text), tf.float32)[:, None]

    path = save(tmp_path / "m", function, {"text": spec("string", [4])}, module_format)
    result, vectors = embed(path, {"text": ["a", "bb", "bad", "dddd", "e"]})
    assert (result.rows, result.dead_letters) == (4, 1)
    assert vectors[:, 0].tolist() == [1, 2, 4, 1]


@pytest.mark.parametrize(
    ("table", "config", "complaint"),
    [
        ({"numbers": [[[1.0]]], "text": ["a"]}, {}, "'numbers' holds .*lists 2 deep.*takes them 1"),
        (
            {"numbers": [["x"]], "text": ["a"]},
            {},
            "'numbers' holds list<.*string>, which",
        ),
        (
            {"numbers": [[1.0, 2.0]], "body": ["a"]},
            {},
            "'text'.*wants feature 'text'; the input",
        ),
        (
            {"numbers": [[1.0, 2.0]], "text": ["a"]},
            {"image_size": (2, 2)},
            r"takes numbers \(float32\[\?, 2\]\), text \(string",
        ),
        (
            {"numbers": [[1.0, 2.0]], "text": ["a"]},
            {"outputs": {"vector": "v"}},
            "no output 'vector'; it has default",
        ),
    ],
)
def test_what_does_not_fit_is_one_error_before_a_worker_starts(
    tmp_path, embed, two_inputs, monkeypatch, table, config, complaint
):
    monkeypatch.setattr(transform, "load", lambda *_: pytest.fail("a worker has started"))
    with pytest.raises(UsageError, match=complaint):
        embed(two_inputs, table, **config)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="session")
def two_inputs(tmp_path_factory):
    def function(numbers, text):
        return numbers * tf.cast(tf.strings.length(text), tf.float32)[:, None]

    inputs = {"numbers": spec("float32", [None, 2]), "text": spec("string", [None])}
    return save(tmp_path_factory.mktemp("two") / "m", function, inputs)


# --- Outputs -------------------------------------------------------------------------------------


def feature_maps(images):
    pooled = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
    return {
        "InceptionV3/global_pool": pooled,
        "InceptionV3/Mixed": images[:, ::2, ::2],
        "default": pooled[:, 0, 0],
    }


@pytest.mark.parametrize("output_format", ["parquet", "tfrecord"])
def test_intermediate_outputs_by_key(tmp_path, embed, module_format, output_format):
    path = save(tmp_path / "m", feature_maps, image_spec(4, 4), module_format)
    [pixels] = images([(4, 4)])
    outputs = {"InceptionV3/global_pool": "pool", "InceptionV3/Mixed": "InceptionV3/Mixed"}
    _, pooled = embed(path, {"image": [png(pixels)]}, output_format, outputs=outputs)
    expected = feature_maps(tf.constant(pixels[None] / 255, tf.float32))
    np.testing.assert_allclose(pooled, expected["default"], atol=1e-6)
    mixed, _ = read_embeddings(str(tmp_path / "out"), "InceptionV3/Mixed")
    np.testing.assert_allclose(mixed, expected["InceptionV3/Mixed"], atol=1e-6)
    shapes = {name: about["shape"] for name, about in manifest_of(tmp_path)["columns"].items()}
    assert shapes == {"pool": [3], "InceptionV3/Mixed": [2, 2, 3]}


def test_feature_maps_of_images_of_any_size_keep_their_shape(tmp_path, embed, module_format):
    path = save(tmp_path / "m", feature_maps, image_spec(), module_format)
    pixels = images([(4, 6), (2, 2)])
    outputs = {"InceptionV3/Mixed": "mixed"}
    for dtype, off in (("float32", 1e-6), ("int8", 1e-2)):
        _, maps = embed(
            path, {"image": [png(p) for p in pixels]}, outputs=outputs, output_dtype=dtype
        )
        assert [m.shape for m in maps] == [(2, 3, 3), (1, 1, 3)]
        for found, image in zip(maps, pixels, strict=True):
            np.testing.assert_allclose(found, image[::2, ::2] / 255, atol=off)


def test_the_default_output_of_several_is_what_is_written(tmp_path, embed, module_format):
    path = save(tmp_path / "m", feature_maps, image_spec(4, 4), module_format)
    embed(path, {"image": [png(p) for p in images([(4, 4)])]})
    assert list(manifest_of(tmp_path)["columns"]) == ["embedding"]


@pytest.mark.parametrize(
    ("output_format", "dtype", "normalize"),
    [  # Each with each of the other two.
        ("parquet", "float32", False),
        ("parquet", "float16", True),
        ("parquet", "int8", True),
        ("tfrecord", "float32", True),
        ("tfrecord", "float16", False),
        ("tfrecord", "int8", False),
    ],
)
def test_norms_and_dtypes(tmp_path, embed, text_dir, output_format, dtype, normalize):
    texts = ["the cat", "", "dog sat on the mat"]
    _, vectors = embed(
        text_dir, {"text": texts}, output_format, output_dtype=dtype, normalize=normalize
    )
    [(key, _)] = ResolvedModule.of_directory(text_dir).spec.signature().inputs.items()
    expected = plain(text_dir, {key: tf.constant(texts)}).numpy()
    if normalize:
        norms = np.linalg.norm(expected, axis=1, keepdims=True)
        expected = expected / np.where(norms > 0, norms, 1)
    assert vectors.dtype == np.float32
    tolerance = {"float32": 1e-6, "float16": 1e-3, "int8": 1e-2}[dtype]
    np.testing.assert_allclose(vectors, expected, atol=tolerance * max(1, np.abs(expected).max()))
    assert manifest_of(tmp_path)["embedding_dim"] == 4


@pytest.fixture(scope="session")
def text_dir(tmp_path_factory):
    from hub_tfx.testing import text_module

    return str(text_module(tmp_path_factory.mktemp("text") / "1", "saved_model"))


# --- Packages that a module needs ----------------------------------------------------------------


OP_LIBRARY = """
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"

static void same(void* kernel, TF_OpKernelContext* context) {
  TF_Status* status = TF_NewStatus();
  TF_Tensor* input;
  TF_GetInput(context, 0, &input, status);
  TF_SetOutput(context, 0, input, status);
  TF_DeleteTensor(input);
  TF_DeleteStatus(status);
}

__attribute__((constructor)) static void register_op() {
  TF_Status* status = TF_NewStatus();
  TF_OpDefinitionBuilder* op = TF_NewOpDefinitionBuilder("HubTfxTestOp");
  TF_OpDefinitionBuilderAddInput(op, "x: float");
  TF_OpDefinitionBuilderAddOutput(op, "y: float");
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, &TF_ShapeInferenceContextSetUnknownShape);
  TF_RegisterOpDefinition(op, status);
  TF_KernelBuilder* kernel = TF_NewKernelBuilder("HubTfxTestOp", "CPU", nullptr, &same, nullptr);
  TF_RegisterKernelBuilder("HubTfxTestOp", kernel, status);
  TF_DeleteStatus(status);
}
"""
PACKAGE = """
from pathlib import Path
import tensorflow as tf
test_op = tf.load_op_library(str(Path(__file__).with_name("ops.so"))).hub_tfx_test_op
"""
MAKE_MODULE = """
import sys
import tensorflow as tf
from ops_for_a_test import test_op

class Module(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, text):
        lengths = test_op(x=tf.cast(tf.strings.length(text), tf.float32))
        return tf.ensure_shape(lengths, [None])[:, None]

tf.saved_model.save(Module(), sys.argv[1])
"""


@pytest.fixture
def op_package(tmp_path, monkeypatch):
    """A package with an op of its own on the path of processes that are started from here."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++ for an op library")
    package = tmp_path / "packages" / "ops_for_a_test"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(PACKAGE)
    (package / "ops.cc").write_text(OP_LIBRARY)
    compiler = ["g++", "-shared", "-fPIC", "-o", package / "ops.so", package / "ops.cc"]
    flags = [f"-I{tf.sysconfig.get_include()}", *tf.sysconfig.get_link_flags()]
    subprocess.run([*compiler, *flags], check=True)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), *sys.path]))
    monkeypatch.syspath_prepend(str(package.parent))
    return package.name


def test_the_ops_of_a_package_are_there_before_the_module_is_loaded(
    tmp_path, op_package, monkeypatch, capsys
):
    """Used in processes of their own: an op that is registered once stays so."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    module = str(tmp_path / "module")
    subprocess.run([sys.executable, "-c", MAKE_MODULE, module], check=True)
    (tmp_path / "in.txt").write_text("cat\nmouse\n")
    arguments = ["embed", "--module", module, "--input", str(tmp_path / "in.txt")]
    arguments += ["--output", str(tmp_path / "out")]
    assert run_main(arguments) == 1
    told = capsys.readouterr().err
    assert "HubTfxTestOp" in told
    assert "--import PACKAGE" in told
    hub_tfx = "import sys; from hub_tfx.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", hub_tfx, *arguments, "--import", op_package]
    subprocess.run(command, check=True)
    assert read_embeddings(str(tmp_path / "out"))[0].tolist() == [[3], [5]]
    allowed = SafetyPolicy(allow_ops=("HubTfxTestOp",))
    found, lacking = (
        check(module, imports=imports, policy=allowed).checks[-1] for imports in ([op_package], [])
    )
    assert found.outcome == "pass"
    assert lacking.outcome == "fail"
    assert "HubTfxTestOp" in lacking.why
    assert "--import" in lacking.fix


def test_a_package_that_is_missing_is_named(embed, text_dir):
    with pytest.raises(ConfigError, match=r"package no_such_ops \(--import\).*install it"):
        embed(text_dir, {"text": TEXTS}, imports=("no_such_ops",))
