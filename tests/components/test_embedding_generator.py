"""EmbeddingGenerator: right vectors for every split of every artifact, and nothing half written."""

import inspect
import json
import os
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tfx.v1 as tfx
from apache_beam.testing.util import assert_that, equal_to
from google.protobuf import text_format
from real_modules import encoder, preprocessor
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx_bsl.public import tfxio
from tfx_helpers import examples_artifact, plain_vectors, read_examples

import hub_tfx
from hub_tfx._tfx import Channel
from hub_tfx.artifacts import HubModule
from hub_tfx.components.embedding_generator.component import (
    EmbeddingGenerator,
    EmbeddingGeneratorSpec,
)
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.output.read_back import read_embeddings
from hub_tfx.errors import (
    ConfigError,
    DigestMismatchError,
    InputError,
    NotAModuleError,
    RejectedRowsError,
)
from hub_tfx.module.load import load
from hub_tfx.module.manifest import Manifest
from hub_tfx.testing import minimal_module

TEXTS = ["the cat", "", "dog sat on the mat", "hello unheard-of wörld", "The CAT!"]


def rows_of(texts):
    return [{"id": n, "text": text} for n, text in enumerate(texts)]


def files_below(folder):
    return sorted(
        str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()
    )


def test_texts_get_the_vectors_of_plain_tf_hub(tmp_path, generate, hub_module, text_module_dir):
    examples = examples_artifact(
        tmp_path / "1", {"train": rows_of(TEXTS), "eval": rows_of(TEXTS[:2])}
    )
    out = generate([examples], hub_module(text_module_dir), EmbedConfig(keep=("id", "text")))
    expected = plain_vectors(text_module_dir, TEXTS)
    for split, count in {"train": 5, "eval": 2}.items():
        rows = read_examples(out.embeddings.uri, split)
        vectors = [row["embedding"] for row in rows]
        np.testing.assert_allclose(vectors, expected[:count], atol=1e-6)
        assert [row["id"] for row in rows] == [[n] for n in range(count)]
        assert [row["text"] for row in rows] == [[t.encode()] for t in TEXTS[:count]]


def test_images_get_the_vectors_of_plain_tf_hub(tmp_path, generate, hub_module, image_module_dir):
    pixels = np.random.default_rng(0).integers(0, 256, [4, 8, 8, 3], np.uint8)
    rows = [{"image": tf.io.encode_png(image).numpy()} for image in pixels]
    examples = examples_artifact(tmp_path / "1", {"train": rows})
    out = generate([examples], hub_module(image_module_dir))
    expected = plain_vectors(image_module_dir, (pixels / 255).astype(np.float32))
    vectors = [row["embedding"] for row in read_examples(out.embeddings.uri, "train")]
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_a_preprocessor_feeds_the_module(tmp_path, generate, hub_module):
    first = preprocessor(tmp_path / "first")
    module = encoder(tmp_path / "then")
    examples = examples_artifact(tmp_path / "1", {"train": rows_of(TEXTS)})
    out = generate(
        [examples],
        hub_module(module),
        EmbedConfig(outputs={"pooled_output": "pooled"}, output_dtype="int8"),
        preprocessor=hub_module(first, "PreprocessorResolver"),
    )
    expected = load(module, preprocessor=load(first))({"text": TEXTS})["pooled_output"]
    vectors, _ = read_embeddings(out.embeddings.uri)
    np.testing.assert_allclose(vectors, expected, atol=1e-2)
    stamped = out.embeddings.mlmd_artifact.custom_properties
    digest = Manifest.of_directory(first).digest
    assert stamped["preprocessor_digest"].string_value == digest
    assert json.loads(stamped["columns"].string_value) == {
        "pooled": {
            "output": "pooled_output",
            "dtype": "int8",
            "shape": [4],
            "scale": "pooled_scale",
        }
    }
    row = read_examples(out.embeddings.uri, "train")[0]
    assert [len(value) for value in row["pooled"]] == [4]
    assert len(row["pooled_scale"]) == 1


def test_every_type_of_kept_feature_passes_unchanged(tmp_path, generate, module):
    rows = [
        {"text": "cat", "ints": [1, -2], "floats": [0.5, 1e30], "bytes": [b"\xff", b""]},
        {"text": "dog", "ints": [7], "floats": [], "bytes": b"x"},
    ]
    examples = examples_artifact(tmp_path / "1", {"all": rows})
    out = generate([examples], module, EmbedConfig(keep=("ints", "floats", "bytes")))
    first, second = read_examples(out.embeddings.uri, "all")
    assert first["ints"] == [1, -2]
    assert first["floats"] == pytest.approx([0.5, 1e30])
    assert first["bytes"] == [b"\xff", b""]
    assert (second["ints"], second["floats"], second["bytes"]) == ([7], [], [b"x"])


def test_splits_span_version_and_payload_format_are_those_of_the_input(tmp_path, generate, module):
    splits = {"train": rows_of(TEXTS), "eval": rows_of(TEXTS)}
    out = generate([examples_artifact(tmp_path / "1", splits, span=3, version=2)], module)
    for artifact in (out.embeddings, out.dead_letters):
        assert artifact.splits == ["train", "eval"]
        assert (artifact.span, artifact.version) == (3, 2)
        assert artifact.get_int_custom_property("span") == 3
        assert artifact.get_string_custom_property("payload_format") == "FORMAT_TF_EXAMPLE"


def test_every_artifact_of_the_channel_is_embedded_not_only_the_last(tmp_path, generate, module):
    spans = [
        examples_artifact(tmp_path / f"{span}", {"train": [{"id": span, "text": "cat"}]}, span)
        for span in (7, 9, 8)
    ]
    out = generate(spans, module, EmbedConfig(keep=("id",)))
    ids = {row["id"][0] for row in read_examples(out.embeddings.uri, "train")}
    assert ids == {7, 8, 9}
    assert out.embeddings.span == out.dead_letters.span == 9
    assert json.loads(out.embeddings.get_string_custom_property("spans")) == [7, 8, 9]
    assert out.embeddings.get_int_custom_property("rows") == 3


def test_embeddings_are_embedded_again_with_the_span_they_were_given(tmp_path, generate, module):
    examples = examples_artifact(tmp_path / "1", {"train": rows_of(TEXTS)})
    for name in ("span", "version"):
        del examples.mlmd_artifact.custom_properties[name]
    examples.span, examples.version = 4, 1
    out = generate([examples], module)
    assert (out.embeddings.span, out.embeddings.version) == (4, 1)


def test_a_split_that_only_some_artifacts_have_is_embedded_too(tmp_path, generate, module):
    both = examples_artifact(tmp_path / "1", {"train": rows_of(["cat"]), "eval": rows_of(["dog"])})
    one = examples_artifact(tmp_path / "2", {"train": rows_of(["mat"]), "test": rows_of(["on"])}, 1)
    out = generate([both, one], module, EmbedConfig(keep=("text",)))
    assert out.embeddings.splits == ["train", "eval", "test"]
    texts = {
        split: sorted(row["text"][0].decode() for row in read_examples(out.embeddings.uri, split))
        for split in out.embeddings.splits
    }
    assert texts == {"train": ["cat", "mat"], "eval": ["dog"], "test": ["on"]}


def test_an_empty_split_is_an_explicit_empty_split(tmp_path, generate, module):
    splits = {"eval": [], "train": rows_of(TEXTS)}
    out = generate([examples_artifact(tmp_path / "1", splits)], module, EmbedConfig(keep=("id",)))
    assert out.embeddings.splits == ["eval", "train"]
    assert len(os.listdir(Path(out.embeddings.uri, "Split-eval"))) == 1
    assert read_examples(out.embeddings.uri, "eval") == []
    assert len(read_examples(out.embeddings.uri, "train")) == 5
    assert json.loads(Path(out.embeddings.uri, "manifest-eval.json").read_text())["rows"] == 0


def test_an_empty_input_is_an_explicit_empty_output(tmp_path, generate, module):
    examples = examples_artifact(tmp_path / "1", {"train": [], "eval": []})
    out = generate([examples], module, EmbedConfig(keep=("id",)))
    assert read_examples(out.embeddings.uri, "train") == []
    assert out.embeddings.get_int_custom_property("rows") == 0
    assert out.embeddings.get_int_custom_property("embedding_dim") == 4


def test_properties_say_which_module_made_what(tmp_path, generate, hub_module, text_module_dir):
    rows = [*rows_of(TEXTS), {"id": 5}]
    module = hub_module(text_module_dir)
    out = generate([examples_artifact(tmp_path / "1", {"train": rows})], module)
    stamped = {
        name: value.string_value or value.int_value
        for name, value in out.embeddings.mlmd_artifact.custom_properties.items()
    }
    signature = hub_tfx.inspect(text_module_dir).default_signature
    assert stamped == {
        "handle": str(text_module_dir),
        "module_digest": Manifest.of_directory(text_module_dir).digest,
        "signature": signature,
        "embedding_dim": 4,
        "columns": '{"embedding": {"output": "default", "dtype": "float32", "shape": [4]}}',
        "rows": 5,
        "dead_letters": 1,
        "reused": 0,
        "span": 0,
        "version": 0,
        "spans": "[0]",
        "payload_format": "FORMAT_TF_EXAMPLE",
    }
    assert out.dead_letters.get_int_custom_property("rows") == 1


def test_rejected_rows_are_examples_with_key_reason_and_kept_features(tmp_path, generate, module):
    rows = [{"id": 0, "text": "cat"}, {"id": 1}, {"id": 2, "text": b"\xff"}]
    examples = examples_artifact(tmp_path / "1", {"train": rows, "eval": rows[:1]})
    out = generate([examples], module, EmbedConfig(keep=("id",)))
    source = f"{examples.uri}/Split-train/data_tfrecord-00000-of-00001.gz"
    missing, invalid = read_examples(out.dead_letters.uri, "train")
    assert missing == {
        "key": [f"{source}:2".encode()],
        "reason": [b"feature 'text' is missing"],
        "id": [1],
    }
    assert invalid["key"] == [f"{source}:3".encode()]
    assert b"UTF-8" in invalid["reason"][0]
    assert read_examples(out.dead_letters.uri, "eval") == []


def schema_artifact(path, text):
    path.mkdir(parents=True)
    (path / "schema.pbtxt").write_text(text)
    artifact = tfx.types.standard_artifacts.Schema()
    artifact.uri = str(path)
    return artifact


SCHEMA = """
feature { name: "text" type: BYTES }
feature { name: "title" type: BYTES }
feature { name: "score" type: FLOAT }
"""


def test_a_feature_that_the_first_records_lack_is_found_with_a_schema_or_without(
    tmp_path, generate, module
):
    rows = [{"text": "cat"}] * 1001 + [{"text": "dog", "title": "late", "score": 0.5}]
    examples = examples_artifact(tmp_path / "1", {"train": rows})
    config = EmbedConfig(keep=("title", "score"))
    schema = schema_artifact(tmp_path / "schema", SCHEMA)
    for out in (generate([examples], module, config, schema), generate([examples], module, config)):
        kept = [(row["title"], row["score"]) for row in read_examples(out.embeddings.uri, "train")]
        assert kept == [([], [])] * 1001 + [([b"late"], [0.5])]


def test_a_feature_that_the_schema_lacks_is_named(tmp_path, generate, module):
    examples = examples_artifact(tmp_path / "1", {"train": rows_of(TEXTS)})
    schema = schema_artifact(tmp_path / "schema", SCHEMA)
    with pytest.raises(ConfigError, match="no feature 'id' to keep; the input has score, text, ti"):
        generate([examples], module, EmbedConfig(keep=("id",)), schema)


@pytest.mark.parametrize(
    ("name", "value"),
    [("payload_format", "FORMAT_PARQUET"), ("file_format", "parquet")],
)
def test_examples_in_another_format_are_refused(tmp_path, generate, module, name, value):
    examples = examples_artifact(tmp_path / "1", {"train": rows_of(TEXTS)})
    examples.set_string_custom_property(name, value)
    with pytest.raises(ConfigError, match=f"{value}.*reads FORMAT_TF_EXAMPLE in tfrecords_gzip"):
        generate([examples], module)


def test_a_missing_split_is_an_error(tmp_path, generate, module, outputs):
    examples = examples_artifact(tmp_path / "1", {"train": rows_of(TEXTS)})
    (tmp_path / "1" / "Split-train" / "data_tfrecord-00000-of-00001.gz").unlink()
    with pytest.raises(InputError, match=r"no file matches the input .*Split-train"):
        generate([examples], module)
    assert files_below(outputs.embeddings.uri) == []


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda path: (path / "saved_model.pb").write_bytes(b"other"), "has other bytes"),
        (lambda path: (path / "saved_model.pb").unlink(), "is missing"),
        (lambda path: (path / "more").write_bytes(b""), "is not in the manifest"),
    ],
)
def test_a_module_damaged_in_its_artifact_is_refused_and_the_fix_named(
    tmp_path, generate, module, outputs, damage, complaint
):
    examples = examples_artifact(tmp_path / "1", {"train": rows_of(TEXTS)})
    damage(Path(module.uri, "module"))
    with pytest.raises(DigestMismatchError, match=f"{complaint}.*enable_cache=False"):
        generate([examples], module)
    assert files_below(outputs.embeddings.uri) == []


@pytest.mark.parametrize("name", ["manifest.json", "module"])
def test_a_module_whose_artifact_is_not_whole_is_refused(tmp_path, generate, module, name):
    examples = examples_artifact(tmp_path / "1", {"train": rows_of(TEXTS)})
    Path(module.uri, name).rename(tmp_path / "gone")
    with pytest.raises(NotAModuleError, match=r"does not hold a whole module.*enable_cache=False"):
        generate([examples], module)


def test_another_module_in_the_same_place_is_refused(tmp_path, generate, module):
    other = minimal_module(tmp_path / "other")
    manifest = Manifest.of_directory(other)
    Path(module.uri, "module").rename(tmp_path / "gone")
    other.rename(Path(module.uri, "module"))
    Path(module.uri, "manifest.json").write_text(manifest.to_json())
    examples = examples_artifact(tmp_path / "1", {"train": rows_of(TEXTS)})
    with pytest.raises(
        DigestMismatchError, match=f"digest {manifest.digest}, but ML Metadata says"
    ):
        generate([examples], module)


def test_nothing_is_left_in_the_outputs_after_a_failure(tmp_path, generate, module, outputs):
    examples = examples_artifact(tmp_path / "1", {"train": rows_of(TEXTS), "eval": rows_of(TEXTS)})
    damaged = Path(examples.uri, "Split-eval", "data_tfrecord-00000-of-00001.gz")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"Split-eval/.* is cut short or damaged"):
        generate([examples], module)
    left = files_below(tmp_path / "EmbeddingGenerator")
    assert [name for name in left if ".tmp-" in name] == []
    assert not list(Path(outputs.embeddings.uri).glob(".tmp-*"))


def test_everything_rejected_fails_with_a_reason_and_its_dead_letters(
    tmp_path, generate, module, outputs
):
    rows = [{"id": 1, "text": b"\xff"}, {"id": 2, "text": b"\xfe"}]
    examples = examples_artifact(tmp_path / "1", {"train": rows})
    complaint = (
        r"2 of 2 records were rejected.*\(the first is .*gz:1: feature 'text' is not valid UTF"
    )
    with pytest.raises(RejectedRowsError, match=complaint):
        generate([examples], module)
    assert files_below(outputs.embeddings.uri) == []
    assert len(read_examples(outputs.dead_letters.uri, "train")) == 2


def test_outputs_are_read_by_statistics_gen(tmp_path, generate, module):
    rows = [*rows_of(TEXTS), {"id": 5}]
    examples = examples_artifact(tmp_path / "1", {"train": rows, "eval": rows[:3]})
    out = generate([examples], module, EmbedConfig(keep=("id",)))
    statistics = tfx.types.standard_artifacts.ExampleStatistics()
    statistics.uri = str(tmp_path / "statistics")
    from tfx.components.statistics_gen.executor import Executor

    Executor().Do(
        {"examples": [out.embeddings]}, {"statistics": [statistics]}, {"exclude_splits": "[]"}
    )
    assert statistics.splits == ["train", "eval"]
    read = statistics_pb2.DatasetFeatureStatisticsList.FromString(
        Path(statistics.uri, "Split-train", "FeatureStats.pb").read_bytes()
    )
    features = {f.path.step[0]: f for f in read.datasets[0].features}
    assert read.datasets[0].num_examples == 5
    vector = features["embedding"].num_stats.common_stats
    assert (vector.min_num_values, vector.max_num_values) == (4, 4)


def test_outputs_are_read_by_tfx_bsl(tmp_path, generate, module):
    rows = rows_of(TEXTS)
    out = generate([examples_artifact(tmp_path / "1", {"train": rows})], module)
    schema = text_format.Parse(
        'feature { name: "embedding" type: FLOAT shape { dim { size: 4 } } }', schema_pb2.Schema()
    )
    source = tfxio.TFExampleRecord(f"{out.embeddings.uri}/Split-train/*", schema=schema)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        counts = pipeline | source.BeamSource() | beam.Map(lambda batch: batch.num_rows)
        assert_that(counts | beam.CombineGlobally(sum), equal_to([len(rows)]))


# --- The component --------------------------------------------------------------------------------


def channels():
    examples = Channel(type=tfx.types.standard_artifacts.Examples)
    return {"examples": examples, "module": Channel(type=HubModule)}


def test_names_of_inputs_outputs_and_parameters_are_unique():
    spec = EmbeddingGeneratorSpec
    names = [*spec.INPUTS, *spec.OUTPUTS, *spec.PARAMETERS]
    assert len(set(names)) == len(names)


def test_the_config_is_one_json_parameter():
    config = EmbedConfig(keep=("id",), inputs={"text": "body"})
    component = EmbeddingGenerator(**channels(), config=config)
    assert EmbedConfig.from_json(component.exec_properties["config"]) == config
    assert component.exec_properties["hub_tfx_version"] == hub_tfx.__version__
    assert EmbeddingGenerator(**channels(), config='{"keep": ["id"]}').exec_properties[
        "config"
    ] == (EmbedConfig(keep=("id",)).to_json())


def test_a_config_with_an_unknown_key_is_refused_at_construction():
    with pytest.raises(ConfigError, match="unknown key 'batchsize'"):
        EmbeddingGenerator(**channels(), config='{"batchsize": 3}')


def test_a_config_may_be_a_runtime_parameter():
    config = tfx.dsl.experimental.RuntimeParameter(name="config", ptype=str, default="{}")
    component = EmbeddingGenerator(**channels(), config=config)
    assert component.spec.exec_properties["config"] is config


def test_an_unknown_key_in_a_runtime_config_stops_the_executor_before_it_writes(
    tmp_path, module, outputs
):
    from hub_tfx.components.embedding_generator.executor import Executor

    examples = examples_artifact(tmp_path / "1", {"train": rows_of(TEXTS)})
    with pytest.raises(ConfigError, match="unknown key 'x'"):
        Executor().Do(
            {"examples": [examples], "module": [module]},
            {"embeddings": [outputs.embeddings], "dead_letters": [outputs.dead_letters]},
            {"config": '{"x": 1}'},
        )
    assert files_below(outputs.embeddings.uri) == []


def test_the_constructor_takes_what_the_docstring_names():
    parameters = inspect.signature(EmbeddingGenerator.__init__).parameters
    named = ["examples", "module", "schema", "config", "preprocessor", "previous", "state_dir"]
    assert list(parameters) == ["self", *named, "published"]
    assert all(f"{name}: " in EmbeddingGenerator.__init__.__doc__ for name in [*parameters][1:])
