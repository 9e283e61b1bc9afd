"""Real inputs from one end to the other: odd values cost one row, and types follow the use."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.errors import ConfigError
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.testing import image_module, text_module


class Number(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, price):
        return price[:, None]


class EncodedImage(tf.Module):
    """Takes images as strings, which it decodes itself."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def __call__(self, image_bytes):
        def mean(encoded):
            image = tf.io.decode_image(encoded, 3, expand_animations=False)
            return tf.reduce_mean(tf.cast(image, tf.float32), [0, 1])

        means = tf.map_fn(mean, image_bytes, fn_output_signature=tf.float32)
        return tf.ensure_shape(means, [None, 3])


PICTURES = [
    tf.io.encode_png(np.full([8, 8, 3], shade, np.uint8)).numpy() for shade in range(0, 40, 10)
]


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    tf.saved_model.save(Number(), str(folder / "number"))
    tf.saved_model.save(EncodedImage(), str(folder / "encoded"))
    text_module(folder / "text", "saved_model")
    image_module(folder / "image", "saved_model")
    names = ("number", "encoded", "text", "image")
    return {name: ResolvedModule.of_directory(folder / name) for name in names}


@pytest.fixture
def embed(tmp_path, modules):
    """The rows of the output, and reasons by the number of the record."""

    def run(module, source, output_format="parquet", input_format=None, **config):
        output = tmp_path / "out"
        embed_files(
            modules[module],
            [str(source)],
            str(output),
            EmbedConfig(**config),
            output_format,
            input_format=input_format,
        )
        if output_format == "tfrecord":
            return json.loads((output / "manifest.json").read_text())
        parts = sorted(output.glob("embeddings-*.parquet"))
        rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
        letters = pq.read_table(output / "dead_letters").to_pylist()
        return rows, {int(x["key"].rpartition(":")[2]): x["reason"] for x in letters}

    return run


def ids(rows):
    return [row["id"] for row in rows]


@pytest.mark.parametrize("odd", ['"cut \\ud83d"', "NaN", "42", "true", '["x"]', '{"a": 1}', "null"])
@pytest.mark.parametrize("place", [0, 1, 1100])
def test_one_odd_text_among_json_lines_is_one_dead_letter(tmp_path, embed, odd, place):
    lines = [f'{{"id": {n}, "text": "cat"}}' for n in range(1102)]
    lines[place] = f'{{"id": {place}, "text": {odd}}}'
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    rows, reasons = embed("text", tmp_path / "a.jsonl", keep=("id",))
    assert ids(rows) == [n for n in range(1102) if n != place]
    assert list(reasons) == [place + 1]
    assert "'text'" in reasons[place + 1]


def test_a_list_that_is_empty_at_first_costs_no_row(tmp_path, embed):
    values = [[]] * 1001 + [["x"]]
    lines = [json.dumps({"text": "a cat", "tags": tags}) + "\n" for tags in values]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    rows, reasons = embed("text", tmp_path / "a.jsonl", keep=("tags",))
    assert ([row["tags"] for row in rows], reasons) == (values, {})


def test_what_first_records_lack_is_fed_and_kept(tmp_path, embed):
    lines = ['{"id": 1}\n'] * 1100 + ['{"id": 2, "text": "cat", "about": {"x": 1}}\n']
    (tmp_path / "a.jsonl").write_text("".join(lines))
    rows, reasons = embed("text", tmp_path / "a.jsonl", keep=("id", "about.x"))
    assert [(row["id"], row["about.x"]) for row in rows] == [(2, 1)]
    assert set(reasons.values()) == {"feature 'text' is missing"}
    with pytest.raises(ConfigError, match="no feature 'other' to keep; the input has id, text"):
        embed("text", tmp_path / "a.jsonl", keep=("other",))


def test_an_object_without_a_key_cannot_be_kept_in_parquet(tmp_path, embed):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "about": {}}\n')
    with pytest.raises(ConfigError, match=r"'about' holds struct<>.*do not keep it"):
        embed("text", tmp_path / "a.jsonl", keep=("about",))


def test_codes_are_kept_as_they_are_written_or_rejected(tmp_path, embed):
    codes = [str(10000 + n) for n in range(1000)] + ["00501", "0x1F", "12345"]
    (tmp_path / "a.csv").write_text("zip,text\n" + "".join(f"{code},cat\n" for code in codes))
    rows, reasons = embed("text", tmp_path / "a.csv", keep=("zip",))
    assert [row["zip"] for row in rows] == [*range(10000, 11000), 12345]
    assert list(reasons) == [1001, 1002]
    (tmp_path / "a.csv").write_text("zip,text\n00501,cat\n12345,dog\n")
    rows, reasons = embed("text", tmp_path / "a.csv", keep=("zip", "text"))
    assert ([row["zip"] for row in rows], reasons) == (["00501", "12345"], {})


def test_a_number_is_fed_as_a_number_and_kept_as_it_is_written(tmp_path, embed):
    prices = ["1.50", "+2", "N/A", " 3 ", ""]
    (tmp_path / "a.csv").write_text("id,price\n" + "".join(f"{p},{p}\n" for p in prices))
    for keep in ("id", "price"):
        rows, reasons = embed("number", tmp_path / "a.csv", keep=(keep,))
        assert [row["embedding"] for row in rows] == [[1.5], [2.0], [3.0]]
        assert [row[keep] for row in rows] == ["1.50", "+2", " 3 "]
        assert list(reasons) == [3, 5]
    (tmp_path / "a.csv").write_text("id\nN/A\n")
    with pytest.raises(ConfigError, match="'id' holds string, which the input 'price'"):
        embed("number", tmp_path / "a.csv", inputs={"price": "id"})


def test_numbers_may_become_fractions_late(tmp_path, embed):
    (tmp_path / "a.jsonl").write_text('{"price": 1}\n' * 1100 + '{"price": 2.5}\n')
    rows, reasons = embed("number", tmp_path / "a.jsonl")
    assert (rows[-1]["embedding"], reasons) == ([2.5], {})


def test_columns_of_bytes_feed_a_string_input(tmp_path, embed):
    pq.write_table(pa.table({"image": PICTURES}), tmp_path / "a.parquet")
    rows, reasons = embed("encoded", tmp_path / "a.parquet", inputs={"image_bytes": "image"})
    assert ([row["embedding"][0] for row in rows], reasons) == ([0, 10, 20, 30], {})


@pytest.mark.parametrize("module", ["encoded", "image"])
def test_paths_feed_pictures_or_their_bytes(tmp_path, embed, module):
    (tmp_path / "0.png").write_bytes(PICTURES[0])
    paths = [str(tmp_path / "0.png"), str(tmp_path / "none.png")]
    (tmp_path / "a.csv").write_text("image\n" + "".join(f"{path}\n" for path in paths))
    config = {"image_source": "path", "keep": ("image",)}
    rows, reasons = embed(module, tmp_path / "a.csv", **config)
    assert [row["image"] for row in rows] == paths[:1]
    assert "No such file" in reasons[2]
    complaint = "holds string, not images: where .*--image-paths"
    if module == "image":
        with pytest.raises(ConfigError, match=complaint):
            embed(module, tmp_path / "a.csv")


@pytest.mark.parametrize("module", ["encoded", "image"])
def test_a_struct_of_bytes_and_path_is_a_picture(tmp_path, embed, module):
    (tmp_path / "0.png").write_bytes(PICTURES[0])
    structs = [{"bytes": picture, "path": str(tmp_path / "0.png")} for picture in PICTURES]
    structs[2] = {"bytes": None, "path": None}
    pq.write_table(pa.table({"image": structs, "id": range(4)}), tmp_path / "a.parquet")
    key = {"encoded": "image_bytes", "image": "inputs"}[module]
    vectors = {}
    for name, source in (("image", "bytes"), ("image", "path"), ("image.bytes", "bytes")):
        config = {"inputs": {key: name}, "image_source": source, "keep": ("id", "image.path")}
        rows, reasons = embed(module, tmp_path / "a.parquet", **config)
        assert (ids(rows), list(reasons)) == ([0, 1, 3], [3])
        assert rows[0]["image.path"] == str(tmp_path / "0.png")
        vectors[name, source] = [row["embedding"] for row in rows]
    assert vectors["image", "bytes"] == vectors["image.bytes", "bytes"]
    assert vectors["image", "path"] == [vectors["image", "bytes"][0]] * 3


def test_a_string_that_is_not_utf8_is_a_dead_letter_fed_or_kept(tmp_path, embed):
    bad = pa.array([b"cat", b"\xff", b"dog"]).view(pa.string())
    pq.write_table(pa.table({"text": bad, "id": [1, 2, 3]}), tmp_path / "a.parquet")
    rows, reasons = embed("text", tmp_path / "a.parquet", keep=("id",))
    assert (ids(rows), list(reasons)) == ([1, 3], [2])
    rows, reasons = embed("text", tmp_path / "a.parquet", keep=("id",), text_encoding="bytes")
    assert (ids(rows), reasons) == ([1, 2, 3], {})
    pq.write_table(pa.table({"text": ["a", "b", "c"], "id": bad}), tmp_path / "a.parquet")
    rows, reasons = embed("text", tmp_path / "a.parquet", keep=("id",))
    assert (ids(rows), list(reasons)) == (["cat", "dog"], [2])


def test_dead_letters_with_vectors_of_a_fixed_size_can_be_read(tmp_path, embed):
    vectors = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2))
    bad = pa.array([b"cat", b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"text": bad, "v": vectors}), tmp_path / "a.parquet")
    rows, reasons = embed("text", tmp_path / "a.parquet", keep=("v",))
    assert ([row["v"] for row in rows], list(reasons)) == ([[1.0, 2.0]], [2])


def test_a_kept_value_that_tf_example_cannot_hold_is_a_dead_letter(tmp_path, embed):
    values = [1.5, 1e300, 2.5]
    lines = [json.dumps({"text": "a", "v": v, "w": [v]}) + "\n" for v in values]
    (tmp_path / "a.jsonl").write_text("".join(lines) + '{"text": "a", "v": 1.5, "w": [null]}\n')
    manifest = embed("text", tmp_path / "a.jsonl", "tfrecord", keep=("v", "w"))
    assert (manifest["rows"], manifest["dead_letters"]) == (2, 2)


def test_a_format_can_be_told_and_a_folder_named(tmp_path, embed):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "part-0").write_text("text,id\ncat,1\n")
    (tmp_path / "in" / "part-1").write_text("")
    (tmp_path / "in" / "_SUCCESS").write_text("")
    rows, _ = embed("text", tmp_path / "in", input_format="csv", keep=("id",))
    assert ids(rows) == [1]


def test_a_file_of_records_that_cannot_be_read_is_no_surprise(tmp_path, embed):
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(b"\xff\xff")
    with pytest.raises(Exception, match="1 of 1 records were rejected"):
        embed("text", tmp_path / "a.tfrecord")
