"""Modules of every kind of input learn from files, and ``serving/`` answers for the same rows."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from interrupting import cut_off
from real_modules import preprocessor
from tfx_helpers import example

from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.job import FineTuneResult, fine_tune_files
from hub_tfx.module.create import module
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.module.spec import ModuleFormat

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("taken_on_trust")]

RAGGED = tf.RaggedTensorSpec([None, None], tf.int64, 1, tf.int64)
SHORT_SPLITS = tf.RaggedTensorSpec([None, None], tf.int64, 1, tf.int32)
SPARSE = tf.SparseTensorSpec([None, None], tf.int64)
WIDE = tf.SparseTensorSpec([None, 9], tf.int64)
OPEN = tf.TensorSpec([None, None], tf.int32)
SECOND = tf.TensorSpec([None, 2, None], tf.int32)


def vectors(table: Any, ids: Any) -> Any:
    """The sum of the vectors of a row's ids, of which there may be any number in any shape."""
    if isinstance(ids, tf.SparseTensor):
        ids = tf.sparse.to_dense(ids)
    if isinstance(ids, tf.RaggedTensor):
        ids = ids.to_tensor()
    flat = tf.reshape(ids, [tf.shape(ids)[0], -1])
    mask = tf.cast(flat > 0, tf.float32)[..., None]
    return tf.ensure_shape(tf.reduce_sum(tf.gather(table, flat) * mask, axis=1), [None, 3])


def make(path: Path, spec: Any, format: ModuleFormat) -> Path:
    """A module with an input ``ids`` of this kind, and a table that learns."""
    if format == "tf1_hub":

        def module_fn() -> None:
            v1 = tf.compat.v1
            if isinstance(spec, tf.SparseTensorSpec):
                ids = v1.sparse_placeholder(spec.dtype, spec.shape)
            elif isinstance(spec, tf.RaggedTensorSpec):
                ids = v1.ragged.placeholder(spec.dtype, 1, spec.shape[2:])
            else:
                ids = v1.placeholder(spec.dtype, spec.shape)
            table = v1.get_variable("table", [9, 3])
            hub.add_signature(None, {"ids": ids}, vectors(table, ids))

        return module(module_fn, None, path).path
    saved = tf.train.Checkpoint(table=tf.Variable(tf.random.stateless_normal([9, 3], [1, 2])))
    saved.trainable_variables = [saved.table]
    saved.__call__ = tf.function(lambda ids: vectors(saved.table, ids), input_signature=[spec])
    tf.saved_model.save(saved, str(path))
    return path


def tune(
    base: Path, folder: Path, first: Path | None = None, **columns: Callable[[int], Any]
) -> FineTuneResult:
    """Trains two steps on ten rows."""
    rows = [
        {"label": "ab"[n % 2], **{name: value(n) for name, value in columns.items()}}
        for n in range(10)
    ]
    source = folder / "in.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return fine_tune_files(
        ResolvedModule.of_directory(base),
        [str(source)],
        [],
        str(folder / "out"),
        FineTuneConfig("label", steps=2, batch_size=4),
        preprocessor=first and ResolvedModule.of_directory(first),
    )


def probabilities(result: FineTuneResult, *rows: Mapping[str, Any]) -> Any:
    served = tf.saved_model.load(result.serving).signatures["serving_default"]
    examples = tf.constant([example(row).SerializeToString() for row in rows])
    return served(examples=examples)["probabilities"].numpy()


def assert_rows_do_not_touch(result: FineTuneResult, *rows: Mapping[str, Any]) -> None:
    """What is served for a row does not depend on those beside it."""
    alone = [probabilities(result, row)[0] for row in rows]
    np.testing.assert_allclose(probabilities(result, *rows), alone, rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "format"),
    [
        (RAGGED, "tf1_hub"),
        (SHORT_SPLITS, "saved_model"),
        (SPARSE, "tf1_hub"),
        (WIDE, "saved_model"),
        (OPEN, "tf1_hub"),
        (SECOND, "saved_model"),
    ],
)
def test_rows_of_any_length_are_learned_from(
    spec: Any, format: ModuleFormat, tmp_path: Path
) -> None:
    base = make(tmp_path / "base", spec, format)
    result = tune(base, tmp_path, ids=lambda n: [n % 8 + 1, 2] * (n % 3 + 1))
    assert result.rows == {"train": 8, "evaluation": 2, "left_out": 0}
    assert_rows_do_not_touch(result, {"ids": [1, 2]}, {"ids": [3, 4, 5, 6]})


class Words(tf.experimental.ExtensionType):
    """An argument as a library of its own would have it."""

    __name__ = "hub_tfx.tests.Words"
    ids: tf.Tensor
    mask: tf.Tensor


def test_an_argument_that_is_an_extension_type_is_fed_in_training(tmp_path: Path) -> None:
    saved = tf.train.Checkpoint(table=tf.Variable(tf.random.stateless_normal([9, 3], [1, 2])))
    saved.trainable_variables = [saved.table]
    rows = tf.TensorSpec([None, 2], tf.int32)
    saved.__call__ = tf.function(
        lambda words: vectors(saved.table, words.ids * words.mask),
        input_signature=[Words.Spec(ids=rows, mask=rows)],
    )
    tf.saved_model.save(saved, str(tmp_path / "base"))
    columns = {"ids": lambda n: [n % 8, 1], "mask": lambda n: [1, n % 2]}
    result = tune(tmp_path / "base", tmp_path, **columns)
    assert_rows_do_not_touch(result, {"ids": [1, 2], "mask": [1, 1]})


# --- A preprocessor and a base in TF1 hub format -------------------------------------------------


def token_encoder(path: Path) -> Path:
    """Takes what ``real_modules.preprocessor`` gives, and learns."""

    def module_fn() -> None:
        v1 = tf.compat.v1
        names = ("input_mask", "input_type_ids", "input_word_ids")
        tokens = {name: v1.placeholder(tf.int32, [None, None]) for name in names}
        table = v1.get_variable("table", [50, 3])
        ids = tokens["input_word_ids"] * tokens["input_mask"]
        hub.add_signature(None, tokens, vectors(table, ids))

    return module(module_fn, None, path).path


@pytest.mark.parametrize("first_format", ["saved_model", "tf1_hub"])
def test_a_preprocessor_feeds_a_base_in_tf1_hub_format(
    first_format: ModuleFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the run was cut off before its report, and resumes."""
    first = Path(preprocessor(tmp_path / "first", first_format))
    base = token_encoder(tmp_path / "base")
    columns: dict[str, Callable[[int], Any]] = {"text": lambda n: f"{('bad', 'good')[n % 2]} w{n}"}

    with cut_off(monkeypatch, "_write_report"):
        tune(base, tmp_path, first, **columns)
    result = tune(base, tmp_path, first, **columns)
    assert result.rows == {"train": 8, "evaluation": 2, "left_out": 0}
    assert_rows_do_not_touch(result, {"text": "good"}, {"text": "a bad long one"})
