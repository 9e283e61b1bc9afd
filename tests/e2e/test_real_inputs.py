"""Inputs as people have them, from the command line to what comes out.

Twenty real inputs on which hub-tfx once fell short, and where each is tested:

1.  pictures for a module that takes any size: here.
2.  pictures that cannot be decoded among others: here; embedding in embed/test_rejected_rows.py.
3.  pictures for one channel, or as uint8: here; each kind in finetune/test_features.py.
4.  one odd value among texts, in any place: here; of each format in data/test_*_kinds.py.
5.  a callable that returns a named tuple: here; every nest in module/test_callables.py.
6.  a SavedModel of several graphs: here; which one is meant in module/test_callables.py.
7.  texts that are digits: here.
8.  numbers with zeros at the end: here; what is kept in data/test_csv_kinds.py.
9.  a preprocessor and an encoder, and rows of token ids: here.
10. word vectors as they are published: module/test_create_vectors.py.
11. pictures in files that a column names: here; embedding in embed/test_kinds_of_input.py.
12. lists that are empty at first: embed/test_kinds_of_input.py.
13. tf.Examples under the names that other programs give them: data/test_file_kinds.py.
14. a waveform without a batch dimension: embed/test_no_batch.py.
15. encoded pictures for a string input: embed/test_kinds_of_input.py.
16. a struct of bytes and path: here; embedding in embed/test_kinds_of_input.py.
17. a module saved without its gradients: finetune/test_gradients.py.
18. a class with few rows: here, and in finetune/test_finetune_job.py.
19. codes that look like numbers only late: embed/test_kinds_of_input.py.
20. an archive with the module further down: store/test_cache.py.
"""

import collections
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from real_modules import TOKENS, preprocessor
from tfx_helpers import example

from hub_tfx import testing
from hub_tfx.cli.main import run
from hub_tfx.module.create import image_feature_module
from hub_tfx.module.spec import ModuleFormat

pytestmark = pytest.mark.usefixtures("taken_on_trust")


def picture(seed: int, channels: int = 3) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, [12, 10, channels], np.uint8)
    encoded: bytes = tf.io.encode_png(pixels).numpy()
    return encoded


PICTURES = [picture(seed) for seed in range(10)]
LABELS = ["a", "b"] * 5


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test writes, and all paths are from."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pictures(cells: Any = PICTURES, **columns: Sequence[Any]) -> str:
    pq.write_table(pa.table({"image": cells, "label": LABELS, **columns}), "in.parquet")
    return "in.parquet"


def csv(header: str, rows: Sequence[str]) -> str:
    Path("in.csv").write_text("\n".join([header, *rows]) + "\n")
    return "in.csv"


def jsonl(rows: Sequence[Mapping[str, Any] | str]) -> str:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    Path("in.jsonl").write_text("\n".join(lines) + "\n")
    return "in.jsonl"


@dataclass(frozen=True)
class Answer:
    """What a command said, and the folder that it wrote."""

    code: int
    error: str
    output: Path

    @property
    def report(self) -> Any:
        return json.loads((self.output / "report.json").read_text())

    @property
    def reasons(self) -> dict[str, str]:
        """Of the rows that fine-tuning left out, by key."""
        return {row["key"]: row["reason"] for row in self.report["left_out"]}

    def served(self, *rows: Mapping[str, Any]) -> dict[str, Any]:
        """What the serving model says of raw rows."""
        model = tf.saved_model.load(self.report["serving"]).signatures["serving_default"]
        examples = tf.constant([example(row).SerializeToString() for row in rows])
        return {key: tensor.numpy() for key, tensor in model(examples=examples).items()}


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], folder: Path) -> Callable[..., Answer]:
    def command(name: str, module: Path, source: str, *options: str) -> Answer:
        given = ["--module", str(module), "--input", source, "--output", name]
        if name == "fine-tune":
            given += ["--steps", "1", "--batch-size", "4"]
            given += [] if "--label" in options else ["--label", "label"]
        code = run([name, *given, *options])
        return Answer(code, capsys.readouterr().err, folder / name)

    return command


@pytest.fixture
def tune(call: Callable[..., Answer]) -> Callable[..., Answer]:
    """Fine-tunes for a step; what is said on stderr is printed where it fails."""

    def command(module: Path, source: str, *options: str) -> Answer:
        answer = call("fine-tune", module, source, *options)
        assert answer.code == 0, answer.error
        return answer

    return command


def embedded(folder: Path) -> pa.Table:
    """What `hub-tfx embed` wrote."""
    return pq.read_table(next((folder / "embed").glob("*.parquet")))


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes each module once."""
    folder, made = tmp_path_factory.mktemp("modules"), dict[str, Path]()

    def get(name: str, make: Callable[[Path], Any]) -> Path:
        if name not in made:
            made[name] = folder / name
            make(made[name])
        return made[name]

    return get


@pytest.fixture
def text(modules: Callable[..., Path]) -> Path:
    return modules("text", lambda path: testing.text_module(path, "saved_model", dim=2))


@pytest.fixture
def open_images(modules: Callable[..., Path], module_format: ModuleFormat) -> Path:
    """Takes RGB pictures of any size."""
    layers = tf.keras.layers

    def make(path: Path) -> None:
        net = tf.keras.Sequential(
            [layers.Input([None, None, 3]), layers.Conv2D(2, 3), layers.GlobalAveragePooling2D()]
        )
        image_feature_module(net, path, format=module_format)

    return modules(f"open {module_format}", make)


@pytest.fixture
def small_images(modules: Callable[..., Path]) -> Path:
    return modules("images", lambda path: testing.image_module(path, "saved_model"))


# --- Pictures ------------------------------------------------------------------------------------


def test_pictures_for_a_module_of_any_size_are_trained_on_at_the_size_that_is_said(
    call: Any, tune: Any, open_images: Path
) -> None:
    source = pictures()
    refused = call("fine-tune", open_images, source)
    assert (refused.code, refused.error.count("\n")) == (2, 1)
    assert "--image-size HEIGHT WIDTH" in refused.error
    assert not refused.output.exists()
    tuned = tune(open_images, source, "--image-size", "8", "8")
    assert tuned.report["rows"] == {"train": 8, "evaluation": 2, "left_out": 0}
    assert tuned.served({"image": PICTURES[0]})["classes"][0] in (b"a", b"b")


def test_pictures_that_cannot_be_decoded_are_left_out_with_the_reasons_of_dead_letters(
    call: Any, tune: Any, small_images: Path
) -> None:
    cut, page = (
        tf.io.encode_jpeg(np.zeros([40, 40, 3], np.uint8)).numpy()[:200],
        b"<html>404</html>",
    )
    source = pictures([*PICTURES[:3], cut, page, *PICTURES[5:9], b"RIFF\0\0\0\0WEBPVP8 "])
    tuned = tune(small_images, source)
    assert tuned.report["rows"]["left_out"] == 3
    assert list(tuned.reasons) == [f"in.parquet:{record}" for record in (4, 5, 10)]
    embedded = call("embed", small_images, source)
    letters = pq.read_table(embedded.output / "dead_letters").to_pylist()
    assert tuned.reasons == {letter["key"]: letter["reason"] for letter in letters}
    assert pq.read_table(tuned.output / "left_out").to_pylist() == tuned.report["left_out"]


def test_pictures_are_decoded_to_the_channels_and_dtype_of_the_signature(
    tune: Any, folder: Path
) -> None:
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            layers.Input([12, 10, 1], dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    model.save(folder / "m", save_format="tf")
    cells = [picture(seed, channels=1) for seed in range(10)]
    tuned = tune(folder / "m", pictures(cells))
    assert tuned.served({"image": cells[0]})["classes"][0] in (b"a", b"b")


def test_pictures_in_files_that_a_column_names(call: Any, tune: Any, small_images: Path) -> None:
    for number, encoded in enumerate(PICTURES[1:], start=1):
        Path(f"{number}.png").write_bytes(encoded)
    source = csv("image,label", [f"{n}.png,{label}" for n, label in enumerate(LABELS)])
    refused = call("fine-tune", small_images, source)
    assert (refused.code, refused.error.count("\n")) == (2, 1)
    assert "paths of image files, say so with image_source path (--image-paths)" in refused.error
    tuned = tune(small_images, source, "--image-paths")
    assert tuned.report["rows"]["left_out"] == 1
    assert "No such file" in tuned.reasons["in.csv:1"]
    assert tuned.served({"image": PICTURES[0]})["classes"][0] in (b"a", b"b")


def test_a_struct_of_bytes_and_path_is_the_picture_that_it_is(
    tune: Any, small_images: Path
) -> None:
    source = pictures([{"bytes": encoded, "path": None} for encoded in PICTURES])
    tuned = tune(small_images, source)
    assert tuned.report["rows"]["left_out"] == 0
    assert tuned.served({"image": PICTURES[0]})["classes"][0] in (b"a", b"b")


# --- Texts and numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ('{"text": "cut \\ud83d", "label": "a"}', "half a character"),
        ('{"text": NaN, "label": "a"}', "feature 'text'"),
        ('{"text": 42, "label": "a"}', "feature 'text'"),
    ],
)
@pytest.mark.parametrize("place", [0, 10])
def test_one_odd_value_is_one_row_that_is_left_out(
    call: Any, folder: Path, text: Path, odd: str, reason: str, place: int
) -> None:
    """By embedding and by fine-tuning, which needs no training for that."""
    rows: list[Any] = [{"text": f"cat {n}", "label": label} for n, label in enumerate(LABELS)]
    rows.insert(place, odd)
    source = jsonl(rows)
    assert call("embed", text, source).code == 0
    (letter,) = pq.read_table(folder / "embed" / "dead_letters").to_pylist()
    assert letter["key"] == f"in.jsonl:{place + 1}"
    refused = call("fine-tune", text, source, "--max-dead-letter-ratio", "0")
    assert refused.code == 3
    (left_out,) = pq.read_table(folder / "fine-tune" / "left_out").to_pylist()
    assert left_out == {key: letter[key] for key in left_out}
    assert reason in letter["reason"]


def test_texts_of_digits_feed_a_string_input(tune: Any, text_module_dir: Path) -> None:
    tuned = tune(
        text_module_dir, csv("text,label", [f"{n},{('even', 'odd')[n % 2]}" for n in range(10)])
    )
    assert tuned.report["rows"] == {"train": 8, "evaluation": 2, "left_out": 0}
    assert tuned.served({"text": "7"})["classes"][0] in (b"even", b"odd")


def test_a_number_is_a_number_however_it_is_written(tune: Any, text: Path) -> None:
    source = csv("text,price", [*(f"cat {n},{n}.50" for n in range(9)), "dog,cheap"])
    tuned = tune(text, source, "--task", "regression", "--label", "price")
    assert tuned.report["rows"] == {"train": 8, "evaluation": 1, "left_out": 1}
    assert tuned.reasons == {"in.csv:10": "column 'price': 'cheap' cannot be read as double"}
    assert tuned.served({"text": "cat"})["value"].shape == (1,)


def test_each_class_with_two_rows_is_held_out(tune: Any, text: Path) -> None:
    rare = {11, 15, 17, 19}
    rows = [f"w{n} {'cat,rare' if n in rare else 'dog,common'}" for n in range(1, 21)]
    tuned = tune(text, csv("text,label", rows))
    assert tuned.report["rows"] == {"train": 16, "evaluation": 4, "left_out": 0}
    records = tf.data.TFRecordDataset(str(tuned.output / "training/examples/eval.tfrecord"))
    parsed = [tf.train.Example.FromString(r) for r in records.as_numpy_iterator()]
    labels = {made.features.feature["label"].bytes_list.value[0] for made in parsed}
    assert labels == {b"rare", b"common"}


# --- Modules -------------------------------------------------------------------------------------


class Encoder(tf.Module):
    """Tokens to what a transformer gives, with weights that learn."""

    def __init__(self) -> None:
        self.table = tf.Variable(tf.random.stateless_normal([50, 4], [1, 3]))

    @tf.function
    def __call__(self, inputs: Any, training: bool = False) -> Any:
        mask = tf.cast(inputs["input_mask"], tf.float32)[..., None]
        tokens = tf.gather(self.table, inputs["input_word_ids"]) * mask
        pooled = tf.reduce_sum(tokens, 1)
        return {"default": pooled, "pooled_output": pooled, "sequence_output": tokens}


@pytest.fixture
def encoder(modules: Callable[..., Path]) -> Path:
    def make(path: Path) -> None:
        module = Encoder()
        for training in (False, True):
            module.__call__.get_concrete_function(TOKENS, training=training)
        tf.saved_model.save(module, str(path))

    return modules("encoder", make)


def test_a_preprocessor_feeds_the_encoder_that_learns(
    call: Any, tune: Any, folder: Path, modules: Any, encoder: Path
) -> None:
    first = modules("preprocessor", preprocessor)
    rows = [f"{('bad poor', 'good nice')[n % 2]} w{n},{'ab'[n % 2]}" for n in range(10)]
    source = csv("text,label", rows)
    tuned = tune(encoder, source, "--preprocessor", str(first))
    assert tuned.served({"text": "good"})["classes"][0] in (b"a", b"b")
    again = call("embed", Path(tuned.report["module"]), source, "--preprocessor", str(first))
    assert again.code == 0, again.error
    assert embedded(folder).num_rows == 10


def test_rows_of_token_ids_are_padded_to_the_longest_of_their_batch(
    tune: Any, encoder: Path
) -> None:
    def row(n: int, **more: Any) -> dict[str, Any]:
        length = n % 4 + 1
        ids = {"input_word_ids": list(range(1, length + 1)), "input_mask": [1] * length}
        return {**ids, "input_type_ids": [0] * length, **more}

    tuned = tune(encoder, jsonl([row(n, label="ab"[n % 2]) for n in range(10)]))
    assert tuned.report["rows"]["left_out"] == 0
    alone = tuned.served(row(1))["probabilities"]
    together = tuned.served(row(1), row(3))["probabilities"]
    np.testing.assert_allclose(alone[0], together[0], rtol=1e-5)


Encoded = collections.namedtuple("Encoded", "pooled tokens")


class Named(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, text: Any) -> Encoded:
        length = tf.cast(tf.strings.length(text), tf.float32)[:, None]
        return Encoded(length, tf.concat([length, length], 1))


@pytest.mark.parametrize(
    ("options", "columns"),
    [([], ["pooled", "tokens"]), (["--output-map", "pooled=vector"], ["vector"])],
)
def test_a_named_tuple_is_columns_by_its_names(
    call: Any, folder: Path, modules: Any, options: list[str], columns: list[str]
) -> None:
    named = modules("named", lambda path: tf.saved_model.save(Named(), str(path)))
    Path("in.txt").write_text("cat\nhorse\n")
    assert call("embed", named, "in.txt", *options).code == 0
    table = embedded(folder)
    assert table.column_names == columns
    assert table[columns[0]].to_pylist() == [[3.0], [5.0]]


def three_graphs(path: Path) -> None:
    """For training, evaluation and serving: each multiplies by its number."""
    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(path))
    for number, tag in enumerate(["train", "eval", "serve"], start=1):
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None, 2])
            one = v1.get_variable("one", initializer=1.0)
            session.run(v1.global_variables_initializer())
            signature = v1.saved_model.predict_signature_def({"x": x}, {"y": number * one * x})
            graph = {"serving_default": signature}
            if number == 1:
                builder.add_meta_graph_and_variables(session, [tag], graph)
            else:
                builder.add_meta_graph([tag], graph)
    builder.save()


@pytest.mark.parametrize(("options", "number"), [([], 3), (["--tags", "eval"], 2)])
def test_of_several_graphs_the_one_tagged_serve_embeds(
    call: Any, folder: Path, modules: Any, options: list[str], number: int
) -> None:
    three = modules("three", three_graphs)
    answer = call("embed", three, jsonl([{"x": [1, 2]}]), *options)
    assert answer.code == 0, answer.error
    assert embedded(folder)["embedding"].to_pylist() == [[number, 2 * number]]
