"""Labels as the heads take them, and the batches they come in."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import tensorflow as tf
from tfx_helpers import example, write_tfrecord

from hub_tfx.finetune import run_fn
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.dataset import batches, label_parser, multi_hot
from hub_tfx.finetune.labels import find_classes


def serialized(*values: object) -> list[bytes]:
    return [example({"label": value}).SerializeToString() for value in values]


def test_ids_become_0_and_1_for_each_class() -> None:
    ids = tf.ragged.constant([[2, 0, 2], [], [-1]], dtype=tf.int64)
    assert multi_hot(ids, 3).numpy().tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]
    nothing = tf.ragged.constant([[], []], dtype=tf.int64)
    assert multi_hot(nothing, 2).numpy().tolist() == [[0, 0], [0, 0]]


def test_numbers_are_sorted_as_numbers_and_names_as_names() -> None:
    assert find_classes(["10", "9", "10", "-1"]) == ("-1", "9", "10")
    assert find_classes(["pet", "10"]) == ("10", "pet")


def test_labels_are_looked_up_by_name() -> None:
    config = FineTuneConfig("label")
    names = label_parser(config, ("b", "a"), pa.large_binary())
    assert names(serialized("a", "b", "c")).numpy().tolist() == [1, 0, -1]
    ids = label_parser(config, ("9", "10"), pa.int64())
    assert ids(serialized(10, 9, 1)).numpy().tolist() == [1, 0, -1]


def test_several_labels_are_looked_up_each() -> None:
    config = FineTuneConfig("label", task="multilabel")
    parse = label_parser(config, ("a", "b"), pa.large_binary())
    found = parse(serialized(["b"], ["a", "b"], [], ["c"])).numpy()
    assert found.tolist() == [[0, 1], [1, 1], [0, 0], [0, 0]]


def test_ids_of_transform_become_those_of_the_config() -> None:
    ids = tf.constant([0, 1, 2, -1], tf.int64)
    assert run_fn._by_config(ids, ("a", "b"), ("b", "x", "a")).numpy().tolist() == [1, -1, 0, -1]
    assert run_fn._by_config(ids, (), ("b", "a")) is ids


def labels_of_batches(folder: Path, labels: list[int], *, training: bool) -> list[list[int]]:
    """The first eight batches of 4 rows, of which the label is all there is."""
    file = write_tfrecord(folder / "rows.gz", [{"label": label} for label in labels])

    def parse(serialized: Any) -> Any:
        spec = {"label": tf.io.FixedLenFeature([], tf.int64)}
        found = tf.io.parse_example(serialized, spec)["label"]
        return {"same": found}, found

    dataset = batches(
        [str(file)],
        parse,
        FineTuneConfig("label", batch_size=4),
        training=training,
    )
    made = [(i["same"].numpy().tolist(), ls.numpy().tolist()) for i, ls in dataset.take(8)]
    assert all(inputs == labels for inputs, labels in made)
    return [labels for _, labels in made]


def test_evaluation_is_in_order_and_training_begins_again_with_a_full_batch(
    tmp_path: Path,
) -> None:
    labels = [0, 1, 2, 3, 4]
    assert labels_of_batches(tmp_path, labels, training=False) == [[0, 1, 2, 3], [4]]
    trained = labels_of_batches(tmp_path, labels, training=True)
    assert [len(batch) for batch in trained] == [4] * 8
    rows = [label for batch in trained for label in batch]
    assert sorted(rows[:5]) == sorted(rows[5:10]) == labels


def test_training_ends_at_once_where_there_is_no_row(tmp_path: Path) -> None:
    assert labels_of_batches(tmp_path, [], training=True) == []
