"""Embedding and fine-tuning, of files and in a pipeline, take the same rows and reject the others
for the same reasons."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tfx.v1 as tfx
from finetune.conftest import run_transform
from tfx_helpers import examples_artifact, read_examples, write_tfrecord

from hub_tfx.artifacts import HubModule, write_module
from hub_tfx.components.embedding_generator.executor import Executor
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.job import fine_tune_files
from hub_tfx.finetune.run_fn import run_fn
from hub_tfx.finetune.run_fn_job import fine_tune_with
from hub_tfx.module.resolved import ResolvedModule

pytestmark = pytest.mark.usefixtures("taken_on_trust")

PICTURES = [
    tf.io.encode_png(pixels).numpy()
    for pixels in np.random.default_rng(0).integers(0, 256, [6, 9, 7, 3], np.uint8)
]
GOOD: Mapping[str, Sequence[Any]] = {
    "text": ["cat", "a dog", "", "hello world", "two  mats", "dog"],
    "image": PICTURES,
    "point": [[float(n), 1.0] for n in range(6)],
}
BAD: Sequence[tuple[str, Any, str]] = [
    ("text", None, "is missing"),
    ("text", [], "is missing"),
    ("text", b"\xff\xfe", "is not valid UTF-8"),
    ("text", ["two", "texts"], "has 2 values; the input takes 1 a row"),
    ("image", None, "is missing"),
    ("image", b"<html>404</html>", "is not an image that can be decoded"),
    ("image", PICTURES[0][:60], "is not an image that can be decoded"),
    ("image", PICTURES[:2], "has 2 values; the input takes 1 a row"),
    ("point", None, "is missing"),
    ("point", [1.0], "has 1 values; the input takes 2 a row"),
    ("point", [float("nan"), 1.0], "holds NaN"),
    ("point", [1.0, float("inf")], "holds NaN, infinity"),
]


def rows() -> list[dict[str, Any]]:
    """The good ones, and behind them for each bad value the first of them with it instead."""
    good = [dict(zip(GOOD, values, strict=True)) for values in zip(*GOOD.values(), strict=True)]
    bad = [{**good[0], name: value} for name, value, _ in BAD]
    return [
        {"label": "ab"[n % 2], **{name: v for name, v in row.items() if v is not None}}
        for n, row in enumerate([*good, *bad])
    ]


def module_of(path: Path) -> ResolvedModule:
    """Takes a text, an image and a point, and has a weight."""
    saved = tf.train.Checkpoint(scale=tf.Variable([1.0, 1.0]))
    saved.trainable_variables = [saved.scale]

    def call(text: Any, image: Any, point: Any) -> Any:
        lengths = tf.cast(tf.strings.length(text), tf.float32)
        return saved.scale * point + (lengths + tf.reduce_mean(image, [1, 2, 3]))[:, None]

    signature = [
        tf.TensorSpec([None], tf.string, "text"),
        tf.TensorSpec([None, 8, 8, 3], tf.float32, "image"),
        tf.TensorSpec([None, 2], tf.float32, "point"),
    ]
    saved.__call__ = tf.function(call, input_signature=signature)
    tf.saved_model.save(saved, str(path))
    return ResolvedModule.of_directory(path)


Reasons = dict[int, str]


def by_record(keys: Sequence[str], reasons: Sequence[str]) -> Reasons:
    return {
        int(key.rpartition(":")[2]): why.partition("; embed with")[0]
        for key, why in zip(keys, reasons, strict=True)
    }


def read(folder: Path) -> Reasons:
    table = pq.read_table(folder)
    return by_record(table["key"].to_pylist(), table["reason"].to_pylist())


class Case:
    """Rows in a TFRecord file, and the four ways to a module that takes them."""

    def __init__(self, folder: Path):
        self.folder, self.rows = folder, rows()
        self.module = module_of(folder / "module")
        self.file = write_tfrecord(folder / "rows.tfrecord.gz", self.rows)

    def embed_files(self) -> Reasons:
        embed_files(self.module, [str(self.file)], str(self.folder / "embedded"), EmbedConfig())
        return read(self.folder / "embedded" / "dead_letters")

    def fine_tune_files(self) -> Reasons:
        config = FineTuneConfig("label", steps=1)
        fine_tune_files(self.module, [str(self.file)], [], str(self.folder / "tuned"), config)
        return read(self.folder / "tuned" / "left_out")

    def embedding_generator(self) -> Reasons:
        module = HubModule()
        module.uri = str(self.folder / "artifact")
        write_module(module, self.module.path, {"handle": "module"})
        outputs = {}
        for name in ("embeddings", "dead_letters"):
            outputs[name] = [tfx.types.standard_artifacts.Examples()]
            outputs[name][0].uri = str(self.folder / name)
        examples = examples_artifact(self.folder / "examples", {"train": self.rows})
        inputs = {"examples": [examples], "module": [module]}
        Executor().Do(inputs, outputs, {"config": EmbedConfig().to_json()})
        letters = read_examples(str(self.folder / "dead_letters"), "train")
        keys, reasons = ([row[name][0].decode() for row in letters] for name in ("key", "reason"))
        return by_record(keys, reasons)

    def module_trainer(self) -> Reasons:
        """With what our Transform makes of the rows, as SchemaGen describes them."""
        dtypes = {"text": tf.string, "image": tf.string, "point": tf.float32, "label": tf.string}
        spec = {name: tf.io.VarLenFeature(dtype) for name, dtype in dtypes.items()}
        chosen = {"texts": ["text"], "kept": ["image", "point"]}
        chosen |= {"label": "label", "task": "classification"}
        listed = [{name: _listed(row.get(name)) for name in spec} for row in self.rows]
        graph, file = run_transform(self.folder / "transform", listed, spec, chosen)
        (self.folder / "work").mkdir()
        fn_args = SimpleNamespace(
            transform_graph_path=str(graph),
            train_files=[str(file)],
            eval_files=[str(file)],
            model_run_dir=str(self.folder / "run"),
            serving_model_dir=str(self.folder / "serving"),
            custom_config={},
        )
        config = FineTuneConfig("label", steps=1)
        fine_tune_with(run_fn, fn_args, self.module, config, self.folder / "work")
        return read(self.folder / "run" / "left_out")


def _listed(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [one.encode() if isinstance(one, str) else one for one in values]


@pytest.mark.long
def test_the_same_rows_are_rejected_for_the_same_reasons(tmp_path: Path) -> None:
    case = Case(tmp_path)
    ways = [case.embed_files, case.fine_tune_files, case.embedding_generator, case.module_trainer]
    found = {way.__name__: way() for way in ways}
    expected = found["embed_files"]
    assert list(expected) == list(range(len(PICTURES) + 1, len(case.rows) + 1))
    for reason, (name, _, what) in zip(expected.values(), BAD, strict=True):
        assert reason.startswith(f"feature {name!r} {what}")
    assert found == dict.fromkeys(found, expected)
