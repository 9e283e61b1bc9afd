"""Accuracy on rows that neither trained a model nor chose it."""

from pathlib import Path


def accuracy(serving: Path, examples: Path, label: str) -> tuple[float, int]:
    """How often a serving model names the class, and of how many rows.

    The accuracy that a training reports is that of its best evaluation, which was chosen on the
    same rows: it is a little too good.

    Args:
      serving: a SavedModel whose ``serving_default`` takes serialized tf.Examples and answers with
        ``classes``.
      examples: folder with gzipped TFRecord files of tf.Example.
      label: feature that holds the class.
    """
    import tensorflow as tf

    model = tf.saved_model.load(str(serving))
    files = [str(path) for path in sorted(examples.iterdir())]
    right, rows = 0, 0
    for batch in tf.data.TFRecordDataset(files, "GZIP").batch(256):
        answered = model.signatures["serving_default"](examples=batch)["classes"].numpy()
        spec = {label: tf.io.FixedLenFeature([], tf.string)}
        labels = tf.io.parse_example(batch, spec)[label].numpy()
        right, rows = right + int((answered == labels).sum()), rows + len(labels)
    return right / rows, rows
