"""The accuracy that the demo prints."""

from pathlib import Path

import tensorflow as tf
from tfx_helpers import write_tfrecord

from demo.unseen import accuracy


def test_it_is_the_share_of_the_rows_that_the_model_names_right(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serve(examples):
        spec = {"text": tf.io.FixedLenFeature([], tf.string)}
        return {"classes": tf.io.parse_example(examples, spec)["text"]}

    module = tf.Module()
    tf.saved_model.save(module, str(tmp_path / "model"), {"serving_default": serve})
    for n, words in enumerate((["a", "b", "c"], ["d"])):
        rows = [{"text": word, "topic": "x" if word == "b" else word} for word in words]
        write_tfrecord(tmp_path / "rows" / f"{n}.gz", rows)
    assert accuracy(tmp_path / "model", tmp_path / "rows", "topic") == (0.75, 4)
