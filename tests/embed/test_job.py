"""Whole embedding jobs with real modules: right vectors, nothing lost, nothing half written."""

import csv
import json
import os
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.shared import Shared
from part_names import untagged

from hub_tfx.beam.runner import beam_arguments
from hub_tfx.data.isolate import isolate
from hub_tfx.data.readers import READERS
from hub_tfx.embed import transform
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.embed.limits import EmbedLimits
from hub_tfx.embed.output import sink
from hub_tfx.embed.transform import EmbedRecordBatches
from hub_tfx.errors import (
    ConfigError,
    DigestMismatchError,
    IncompleteError,
    InputError,
    OutputError,
    RejectedRowsError,
    SignatureError,
)
from hub_tfx.module.resolved import ResolvedModule

TEXTS = ["the cat", "", "dog sat on the mat", "hello unheard-of wörld", "The CAT!"] * 3


@pytest.fixture(scope="session")
def module(text_module_dir):
    return ResolvedModule.of_directory(text_module_dir)


def write(path, texts=TEXTS):
    """Texts with a running number, in the format of the path's ending."""
    path = Path(path)
    match path.name.split(".", 1)[1]:
        case "txt":
            path.write_text("".join(text + "\n" for text in texts))
        case "csv":
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([["n", "text"], *enumerate(texts)])
        case "jsonl":
            lines = [json.dumps({"n": n, "text": text}) + "\n" for n, text in enumerate(texts)]
            path.write_text("".join(lines))
        case "parquet":
            pq.write_table(pa.table({"n": range(len(texts)), "text": texts}), path)
        case "tfrecord.gz":
            with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
                for n, text in enumerate(texts):
                    example = tf.train.Example()
                    example.features.feature["n"].int64_list.value.append(n)
                    example.features.feature["text"].bytes_list.value.append(text.encode())
                    writer.write(example.SerializeToString())
    return str(path)


def rows_of(output, kind="embeddings"):
    """The rows of an output by its manifest, as a person's script would read them."""
    manifest = json.loads(Path(output, "manifest.json").read_text())
    files = manifest["files" if kind == "embeddings" else "dead_letter_files"]
    folder = Path(output, "" if kind == "embeddings" else kind)
    rows = []
    for file in files:
        path = folder / file["name"]
        assert path.stat().st_size == file["size_bytes"]
        if manifest["format"] == "parquet":
            rows += pq.read_table(path).to_pylist()
        else:
            schema = READERS["tfrecord"].infer_schema(str(path))
            for batch in READERS["tfrecord"].read(str(path), schema, 100):
                rows += batch.to_pylist()
    return rows


def vectors_of(path, texts):
    """What plain TF Hub makes of the texts."""
    loaded = hub.load(str(path))
    texts = tf.constant(texts)
    if callable(loaded):
        return loaded(texts).numpy()
    return loaded.signatures["default"](texts)["default"].numpy()


@pytest.mark.parametrize("ending", ["txt", "csv", "jsonl", "parquet", "tfrecord.gz"])
@pytest.mark.parametrize("output_format", ["parquet", "tfrecord"])
def test_every_format_gives_the_vectors_of_plain_tf_hub(tmp_path, module, ending, output_format):
    source = write(tmp_path / f"in.{ending}")
    output = str(tmp_path / "out")
    keep = () if ending == "txt" else ("n",)
    config = EmbedConfig(keep=keep, batch_size=4)
    result = embed_files(module, [source], output, config, output_format)
    assert (result.rows, result.dead_letters) == (len(TEXTS), 0)
    rows = rows_of(output)
    expected = vectors_of(module.path, TEXTS)
    np.testing.assert_allclose([row["embedding"] for row in rows], expected, atol=1e-6)
    if keep:
        numbers = [row["n"][0] if isinstance(row["n"], list) else row["n"] for row in rows]
        assert numbers == list(range(len(TEXTS)))


def test_images_from_pixels_and_from_png_give_the_vectors_of_plain_tf_hub(
    tmp_path, image_module_dir
):
    pixels = np.random.default_rng(0).integers(0, 256, [5, 8, 8, 3], np.uint8)
    floats = (pixels / 255).astype(np.float32)
    module = ResolvedModule.of_directory(image_module_dir)
    loaded = hub.load(str(image_module_dir))
    if callable(loaded):
        expected = loaded(tf.constant(floats)).numpy()
    else:
        outputs = loaded.signatures["default"](tf.constant(floats))
        expected = outputs["default"].numpy()
    encoded = [tf.io.encode_png(image).numpy() for image in pixels]
    for name, column in {
        "pixels": pa.array([image.ravel().tolist() for image in floats], pa.list_(pa.float32())),
        "png": pa.array(encoded, pa.binary()),
    }.items():
        source, output = str(tmp_path / f"{name}.parquet"), str(tmp_path / name)
        pq.write_table(pa.table({"image": column}), source)
        embed_files(module, [source], output)
        vectors = [row["embedding"] for row in rows_of(output)]
        np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_the_columns_are_the_kept_ones_and_a_fixed_size_float32_list(tmp_path, module):
    source = write(tmp_path / "in.csv")
    embed_files(module, [source], str(tmp_path / "out"), EmbedConfig(keep=("text",)))
    (part,) = (tmp_path / "out").glob("embeddings-*.parquet")
    schema = pq.read_schema(part)
    assert schema.names == ["text", "embedding"]
    assert schema.field("embedding").type == pa.list_(pa.float32(), 4)


def test_the_manifest_says_what_was_done(tmp_path, module):
    source = write(tmp_path / "in.csv")
    embed_files(module, [source], str(tmp_path / "out"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["module"] == {"handle": module.handle, "digest": module.digest}
    assert manifest["signature"] == module.spec.default_signature
    assert manifest["embedding_dim"] == 4
    assert manifest["inputs"] == {source: len(TEXTS)}


def test_rows_that_cannot_be_embedded_are_dead_letters_with_key_and_reason(tmp_path, module):
    source = tmp_path / "in.jsonl"
    source.write_text('{"n": 1, "text": "cat"}\n{"n": 2}\n{oops\n{"n": 4, "text": "dog"}\n')
    result = embed_files(module, [str(source)], str(tmp_path / "out"), EmbedConfig(keep=("n",)))
    assert (result.rows, result.dead_letters) == (2, 2)
    assert [row["n"] for row in rows_of(tmp_path / "out")] == [1, 4]
    letters = {row["key"]: row for row in rows_of(tmp_path / "out", "dead_letters")}
    missing, broken = letters[f"{source}:2"], letters[f"{source}:3"]
    assert (missing["reason"], missing["n"]) == ("feature 'text' is missing", 2)
    assert "broken JSON" in broken["reason"]
    assert broken["n"] is None


@pytest.mark.parametrize("output_format", ["parquet", "tfrecord"])
@pytest.mark.parametrize("name", ["in.txt", "in.csv", "in.jsonl", "in.parquet", "in.tfrecord.gz"])
def test_an_empty_input_is_an_explicit_empty_output(tmp_path, module, name, output_format):
    source = write(tmp_path / name, [])
    output = str(tmp_path / "out")
    result = embed_files(module, [source], output, output_format=output_format)
    assert (result.rows, result.dead_letters) == (0, 0)
    assert rows_of(output) == []


def test_many_files_become_one_output_in_their_order(tmp_path, module):
    for n in range(3):
        write(tmp_path / f"in{n}.csv", [f"cat {n}"] * (n + 1))
    config = EmbedConfig(keep=("text",))
    result = embed_files(module, [str(tmp_path / "in*.csv")], str(tmp_path / "out"), config)
    assert result.rows == 6
    texts = [row["text"] for row in rows_of(tmp_path / "out")]
    assert texts == ["cat 0", "cat 1", "cat 1", "cat 2", "cat 2", "cat 2"]


def test_a_large_output_is_several_parts(tmp_path, module):
    source, config = write(tmp_path / "in.csv"), EmbedConfig(keep=("n",), batch_size=4)
    limits = EmbedLimits(window_rows=1, part_bytes=1)
    embed_files(module, [source], str(tmp_path / "out"), config, limits=limits)
    names = sorted(path.name for path in (tmp_path / "out").glob("*.parquet"))
    assert untagged(names) == [f"embeddings-{n:05d}-of-00004.parquet" for n in range(4)]
    assert [row["n"] for row in rows_of(tmp_path / "out")] == list(range(len(TEXTS)))


def test_a_rerun_leaves_no_file_of_the_run_before(tmp_path, module):
    source, output = write(tmp_path / "in.csv"), str(tmp_path / "out")
    embed_files(
        module, [source], output, EmbedConfig(batch_size=4), limits=EmbedLimits(part_bytes=1)
    )
    embed_files(module, [source], output)
    assert untagged(os.listdir(output)) == [
        "dead_letters",
        "digests",
        "embeddings-00000-of-00001.parquet",
        "manifest.json",
    ]


@pytest.mark.parametrize(
    ("config", "error", "complaint"),
    [
        (EmbedConfig(signature="zip"), SignatureError, "no signature 'zip'"),
        (EmbedConfig(keep=("no",)), ConfigError, "no feature 'no' to keep"),
        (EmbedConfig(inputs={"nothing": "text"}), SignatureError, "no input 'nothing'"),
    ],
)
def test_what_does_not_fit_stops_the_job_before_it_starts(
    tmp_path, module, config, error, complaint
):
    source = write(tmp_path / "in.csv")
    with pytest.raises(error, match=complaint):
        embed_files(module, [source], str(tmp_path / "out"), config)
    assert not (tmp_path / "out").exists()


def test_a_feature_that_no_input_can_take_lists_those_there_are(tmp_path, module):
    (tmp_path / "in.csv").write_text("n,body\n1,cat\n")
    with pytest.raises(ConfigError, match="the input has body, n"):
        embed_files(module, [str(tmp_path / "in.csv")], str(tmp_path / "out"))


def test_a_number_where_text_is_wanted_is_an_error_not_a_dead_letter_a_row(tmp_path, module):
    (tmp_path / "in.jsonl").write_text('{"text": 1}\n{"text": 2}\n')
    with pytest.raises(ConfigError, match="'text' holds int64"):
        embed_files(module, [str(tmp_path / "in.jsonl")], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_fails_the_job_and_leaves_the_earlier_output(tmp_path, module):
    output = str(tmp_path / "out")
    source = write(tmp_path / "in.tfrecord.gz")
    embed_files(module, [source], output)
    before = {path: path.read_bytes() for path in Path(output).rglob("*.*")}
    Path(source).write_bytes(Path(source).read_bytes()[:-12])
    with pytest.raises(InputError, match=r"in\.tfrecord\.gz is cut short or damaged"):
        embed_files(module, [source], output)
    assert {path: path.read_bytes() for path in Path(output).rglob("*.*")} == before


def test_a_missing_input_is_named(tmp_path, module):
    with pytest.raises(InputError, match=r"no file matches the input .*nothing\*\.csv"):
        embed_files(module, [str(tmp_path / "nothing*.csv")], str(tmp_path / "out"))


@pytest.mark.parametrize("name", ["out/*.parquet", "here/*.parquet", "out/../out/*.parquet"])
def test_input_in_the_output_directory_is_refused_not_replaced(tmp_path, module, name):
    output = tmp_path / "out"
    config = EmbedConfig(keep=("text",))
    embed_files(module, [write(tmp_path / "in.csv")], str(output), config)
    (tmp_path / "here").symlink_to(output)
    before = rows_of(output)
    with pytest.raises(OutputError, match=r"lies in .*out, which the output would replace"):
        embed_files(module, [str(tmp_path / name)], str(output))
    assert rows_of(output) == before


def test_a_file_that_is_named_in_several_ways_is_embedded_once(tmp_path, module, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.csv")
    Path("link.csv").symlink_to("in.csv")
    names = ["in.csv", "./in.csv", "link.csv", str(tmp_path / "in.csv"), "*.csv", "in.csv"]
    assert embed_files(module, names, "out").rows == len(TEXTS)


@pytest.mark.parametrize("occupied", ["file", "foreign"])
def test_what_is_not_ours_is_not_overwritten(tmp_path, module, occupied):
    output = tmp_path / "out"
    if occupied == "file":
        output.write_text("mine")
    else:
        output.mkdir()
        (output / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="name a"):
        embed_files(module, [write(tmp_path / "in.txt")], str(output))
    assert "mine" in {p.read_text() for p in [output, *output.rglob("*")] if p.is_file()}


def test_everything_rejected_fails_the_job_and_keeps_the_dead_letters(tmp_path, module):
    source = tmp_path / "in.jsonl"
    source.write_text('{"n": 1, "text": null}\n{"n": 2, "text": null}\n')
    with pytest.raises(RejectedRowsError, match="2 of 2 records were rejected"):
        embed_files(module, [str(source)], str(tmp_path / "out"))
    letters = pq.read_table(tmp_path / "out" / "dead_letters")
    assert letters.num_rows == 2
    assert sorted(os.listdir(tmp_path / "out")) == ["dead_letters"]


def test_more_rejected_than_allowed_fails_the_job(tmp_path, module):
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "cat"}\n' * 8 + '{"text": null}\n' * 2)
    config = EmbedConfig(max_dead_letter_ratio=0.1)
    with pytest.raises(
        RejectedRowsError, match=r"2 of 10 records were rejected, and at most 10\.0% may be"
    ):
        embed_files(module, [str(source)], str(tmp_path / "out"), config)
    config = EmbedConfig(max_dead_letter_ratio=0.2)
    assert embed_files(module, [str(source)], str(tmp_path / "out"), config).rows == 8


def test_rows_that_vanish_on_the_way_fail_the_job(tmp_path, module, monkeypatch):
    real = transform._embedded
    monkeypatch.setattr(transform, "_embedded", lambda *rows: real(*rows).slice(1))
    with pytest.raises(IncompleteError, match="15 records were read, but 14 were embedded"):
        embed_files(module, [write(tmp_path / "in.csv")], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_full_disk_fails_the_job_and_leaves_nothing(tmp_path, module, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sink.PartWriter, "write", full)
    with pytest.raises(OutputError, match="No space left on device"):
        embed_files(module, [write(tmp_path / "in.csv")], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_worker_with_another_module_refuses(tmp_path, text_module_dir):
    import shutil

    copy = tmp_path / "module"
    shutil.copytree(text_module_dir, copy)
    module = ResolvedModule.of_directory(copy)
    (copy / "assets" / "more").write_text("new")
    with pytest.raises(DigestMismatchError, match="the job was started with"):
        embed_files(module, [write(tmp_path / "in.csv")], str(tmp_path / "out"))


class Fussy(tf.Module):
    """Fails on a batch that holds the word poison, and gives NaN for the word nan."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, inputs):
        tf.debugging.Assert(tf.reduce_all(inputs != b"poison"), ["poisoned"])
        lengths = tf.cast(tf.strings.length(inputs), tf.float32)
        wrong = tf.where(inputs == b"nan", float("nan"), lengths)
        return tf.stack([wrong, lengths], axis=1)


@pytest.fixture(scope="session")
def fussy(tmp_path_factory):
    path = tmp_path_factory.mktemp("fussy") / "module"
    tf.saved_model.save(Fussy(), str(path))
    return ResolvedModule.of_directory(path)


def test_a_row_on_which_the_module_fails_is_a_dead_letter_and_its_batch_is_not(tmp_path, fussy):
    texts = ["a"] * 10 + ["poison"] + ["bb"] * 5 + ["nan"] + ["ccc"] * 4
    source = write(tmp_path / "in.csv", texts)
    result = embed_files(fussy, [source], str(tmp_path / "out"), EmbedConfig(keep=("n", "text")))
    assert (result.rows, result.dead_letters) == (19, 2)
    assert [row["embedding"][0] for row in rows_of(tmp_path / "out")] == [
        float(len(text)) for text in texts if text not in ("poison", "nan")
    ]
    letters = {row["text"]: row for row in rows_of(tmp_path / "out", "dead_letters")}
    assert letters["poison"]["key"] == f"{source}:11"
    assert "the module failed on it" in letters["poison"]["reason"]
    assert letters["nan"]["reason"] == "the module gave NaN or infinity for 'embedding'"


class Unshaped(tf.Module):
    """Its output's dimension is not in the graph, and depends on the rows."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, inputs):
        width = tf.strings.length(inputs[0])
        return tf.ones([tf.shape(inputs)[0], width])


def test_rows_differ_in_a_dimension_that_the_graph_leaves_open(tmp_path):
    tf.saved_model.save(Unshaped(), str(tmp_path / "module"))
    module = ResolvedModule.of_directory(tmp_path / "module")
    source = write(tmp_path / "in.csv", ["four", "four", "three", "three", "four"])
    config = EmbedConfig(batch_size=2)
    limits = EmbedLimits(window_rows=1)
    result = embed_files(module, [source], str(tmp_path / "out"), config, limits=limits)
    assert (result.rows, result.dead_letters) == (5, 0)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["embedding_dim"] is None
    assert manifest["columns"]["embedding"]["shape"] == [-1]
    lengths = {len(row["embedding"]) for row in rows_of(tmp_path / "out")}
    assert lengths == {4, 5}


def test_the_transform_works_in_a_pipeline_of_ones_own(fussy):
    batch = pa.RecordBatch.from_pydict({"text": ["a", "poison", "bb"], "id": [1, 2, 3]})
    with beam.Pipeline(options=PipelineOptions(beam_arguments([]))) as pipeline:
        outputs = (
            pipeline
            | beam.Create([batch])
            | EmbedRecordBatches(fussy.path, EmbedConfig(keep=("id",)))
        )
        embedded = outputs.embeddings | beam.FlatMap(lambda b: b.to_pylist())
        assert_that(
            embedded | beam.Map(lambda row: (row["id"], tuple(row["embedding"]))),
            equal_to([(1, (1.0, 1.0)), (3, (2.0, 2.0))]),
        )
        letters = outputs.dead_letters | "Rows" >> beam.FlatMap(lambda b: b.to_pylist())
        ids = letters | "Ids" >> beam.Map(lambda row: row["id"])
        assert_that(ids, equal_to([2]), label="dead")


@pytest.mark.long
def test_two_worker_processes_lose_and_double_nothing(tmp_path, fussy):
    for n in range(4):
        write(tmp_path / f"in{n}.csv", ["a", "poison", "bb"] * 5)
    result = embed_files(
        fussy,
        [str(tmp_path / "in?.csv")],
        str(tmp_path / "out"),
        EmbedConfig(keep=("text",)),
        beam_options=["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
        limits=EmbedLimits(min_unit_bytes=1),  # So that both have work.
    )
    assert (result.rows, result.dead_letters) == (40, 20)
    assert len(rows_of(tmp_path / "out")) == 40
    assert result.metrics["module_loads"] in (1, 2)  # Of which one may have found no work.


def test_isolate_covers_the_range_once_and_stops_at_single_rows():
    def attempt(start, stop):
        if any(row in (3, 7) for row in range(start, stop)):
            raise ValueError("bad")
        return list(range(start, stop))

    pieces = list(isolate(0, 10, attempt))
    assert [row for start, stop, _ in pieces for row in range(start, stop)] == list(range(10))
    assert [start for start, _, result in pieces if isinstance(result, ValueError)] == [3, 7]


def test_text_that_looks_like_numbers_is_text_in_a_csv(tmp_path, module):
    (tmp_path / "in.csv").write_text("text\n1\n2\n")
    assert embed_files(module, [str(tmp_path / "in.csv")], str(tmp_path / "out")).rows == 2


class Sums(tf.Module):
    """Takes rows of any length, as long as those of a batch are equally long."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def __call__(self, numbers):
        return tf.cast(tf.stack([tf.reduce_sum(numbers, axis=1)] * 2, axis=1), tf.float32)


@pytest.fixture(scope="session")
def sums(tmp_path_factory):
    path = tmp_path_factory.mktemp("sums") / "module"
    tf.saved_model.save(Sums(), str(path))
    return ResolvedModule.of_directory(path)


def test_values_never_move_between_rows_of_different_lengths(tmp_path, sums):
    source = tmp_path / "in.jsonl"
    rows = [[1, 2], [10, 20, 30, 40], [100, 200, 300], [5, 6]]
    source.write_text("".join(json.dumps({"numbers": row}) + "\n" for row in rows))
    config = EmbedConfig(keep=("numbers",))
    embed_files(sums, [str(source)], str(tmp_path / "out"), config)
    for row in rows_of(tmp_path / "out"):
        assert row["embedding"] == [sum(row["numbers"])] * 2


def test_a_number_that_the_input_cannot_hold_is_a_dead_letter_not_another_number(tmp_path, sums):
    source = tmp_path / "in.jsonl"
    source.write_text('{"numbers": [1]}\n{"numbers": [2147483648]}\n{"numbers": [-1]}\n')
    result = embed_files(sums, [str(source)], str(tmp_path / "out"))
    assert (result.rows, result.dead_letters) == (2, 1)
    assert "int32 cannot hold" in rows_of(tmp_path / "out", "dead_letters")[0]["reason"]


def test_a_kept_feature_cannot_take_the_name_of_a_dead_letters_column(tmp_path, module):
    (tmp_path / "in.csv").write_text("text,key\ncat,1\n")
    with pytest.raises(ConfigError, match="cannot be named 'key'"):
        embed_files(
            module, [str(tmp_path / "in.csv")], str(tmp_path / "out"), EmbedConfig(keep=("key",))
        )


def test_a_rerun_in_another_format_leaves_no_file_of_the_run_before(tmp_path, module):
    source, output = write(tmp_path / "in.csv"), str(tmp_path / "out [1]")
    embed_files(module, [source], output)
    embed_files(module, [source], output, output_format="tfrecord")
    files = untagged(path.name for path in Path(output).rglob("*") if path.is_file())
    assert files == [
        "dead_letters-00000-of-00001.tfrecord.gz",
        "digests-00000-of-00001.bin",
        "embeddings-00000-of-00001.tfrecord.gz",
        "manifest.json",
    ]


def test_a_rejected_run_leaves_the_earlier_embeddings_and_the_next_one_works(tmp_path, module):
    output = str(tmp_path / "out")
    embed_files(module, [write(tmp_path / "good.csv")], output)
    before = rows_of(output)
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": null}\n{"text": null, "x": "y"}\n')
    with pytest.raises(RejectedRowsError):
        embed_files(module, [str(bad)], output)
    assert rows_of(output) == before
    assert embed_files(module, [write(tmp_path / "good.csv")], output).rows == len(TEXTS)


def test_what_a_killed_commit_left_can_be_replaced(tmp_path, module):
    output = tmp_path / "out"
    embed_files(module, [write(tmp_path / "in.csv")], str(output))
    (output / "manifest.json").unlink()
    (output / ".tmp-0123").mkdir()
    embed_files(module, [write(tmp_path / "in.csv")], str(output))
    assert not list(output.glob(".tmp-*"))


def test_a_foreign_manifest_is_not_overwritten(tmp_path, module):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text("{}")
    with pytest.raises(OutputError, match="did not write"):
        embed_files(module, [write(tmp_path / "in.csv")], str(tmp_path / "out"))


def test_two_runs_into_one_directory_are_refused(tmp_path, module, monkeypatch):
    source, output = write(tmp_path / "in.csv"), str(tmp_path / "out")
    real = sink.PartWriter.write

    def write_while_another_tries(self, batch):
        with pytest.raises(OutputError, match="another run is writing"):
            embed_files(module, [source], output)
        real(self, batch)

    monkeypatch.setattr(sink.PartWriter, "write", write_while_another_tries)
    assert embed_files(module, [source], output).rows == len(TEXTS)


def test_files_of_different_formats_are_two_runs(tmp_path, module):
    sources = [write(tmp_path / "a.csv"), write(tmp_path / "b.jsonl")]
    with pytest.raises(InputError, match="different formats"):
        embed_files(module, sources, str(tmp_path / "out"))


def test_categories_of_pandas_are_plain_text(tmp_path, module):
    table = pa.table({"text": pa.array(["cat", "dog", "cat"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "in.parquet")
    config = EmbedConfig(keep=("text",))
    embed_files(module, [str(tmp_path / "in.parquet")], str(tmp_path / "out"), config)
    assert [row["text"] for row in rows_of(tmp_path / "out")] == ["cat", "dog", "cat"]


def test_integers_of_another_width_in_a_later_parquet_file_fit(tmp_path, module):
    for name, type_ in (("a", pa.int64()), ("b", pa.int32())):
        table = pa.table({"text": ["cat"], "n": pa.array([7], type_)})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    config = EmbedConfig(keep=("n",))
    embed_files(module, [str(tmp_path / "?.parquet")], str(tmp_path / "out"), config)
    assert [row["n"] for row in rows_of(tmp_path / "out")] == [7, 7]


class TwoSignatures(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def one(self, text):
        return {"v": tf.ones([tf.size(text), 1])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def two(self, text):
        return {"v": 2 * tf.ones([tf.size(text), 1])}


def test_two_transforms_that_share_a_module_run_their_own_signatures(tmp_path):
    model = TwoSignatures()
    signatures = {"one": model.one, "two": model.two}
    tf.saved_model.save(model, str(tmp_path / "module"), signatures=signatures)
    shared = Shared()
    batch = pa.RecordBatch.from_pydict({"text": ["a"]})
    with beam.Pipeline(options=PipelineOptions(beam_arguments([]))) as pipeline:
        batches = pipeline | beam.Create([batch])
        for name, value in (("one", 1.0), ("two", 2.0)):
            outputs = batches | name >> EmbedRecordBatches(
                tmp_path / "module", EmbedConfig(signature=name), shared=shared
            )
            vectors = outputs.embeddings | f"V{name}" >> beam.FlatMap(
                lambda b: [tuple(row["embedding"]) for row in b.to_pylist()]
            )
            assert_that(vectors, equal_to([(value,)]), label=name + "?")
