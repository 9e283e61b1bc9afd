"""Examples artifacts as ExampleGen leaves them, and what plain TensorFlow reads and computes."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tfx.v1 as tfx
from tfx.utils import dependency_utils

from hub_tfx.lineage.graph import ArtifactNode, Lineage

Row = Mapping[str, Any]

# TFX packs itself for remote workers at each step that runs Beam: seconds, for the same package.
dependency_utils.build_ephemeral_package = functools.cache(dependency_utils.build_ephemeral_package)


def example(row: Row) -> tf.train.Example:
    """A tf.Example; a value is text, bytes, an int, a float, or a list of these."""
    made = tf.train.Example()
    for name, value in row.items():
        feature = made.features.feature[name]
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str | bytes):
                feature.bytes_list.value.append(one.encode() if isinstance(one, str) else one)
            elif isinstance(one, int):
                feature.int64_list.value.append(one)
            else:
                feature.float_list.value.append(one)
    return made


def write_tfrecord(path: Path, rows: Sequence[Row]) -> Path:
    """Writes tf.Examples, gzipped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for row in rows:
            writer.write(example(row).SerializeToString())
    return path


def examples_artifact(
    path: Path, splits: Mapping[str, Sequence[Row]], span: int = 0, version: int = 0
) -> Any:
    """An Examples artifact as ExampleGen makes it: span and version are custom properties."""
    artifact = tfx.types.standard_artifacts.Examples()
    artifact.uri = str(path)
    artifact.split_names = tfx_split_names(list(splits))
    artifact.set_int_custom_property("span", span)
    artifact.set_int_custom_property("version", version)
    artifact.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    for split, rows in splits.items():
        write_tfrecord(path / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz", rows)
    return artifact


def tfx_split_names(splits: list[str]) -> str:
    from tfx.types.artifact_utils import encode_split_names

    return encode_split_names(splits)


def read_examples(uri: str, split: str) -> list[dict[str, Any]]:
    """The rows of a split as any TFX component finds them: ``Split-{split}/*``, gzipped."""
    files = tf.io.gfile.glob(f"{uri}/Split-{split}/*")
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    return [_row(tf.train.Example.FromString(record)) for record in records]


def _row(made: tf.train.Example) -> dict[str, Any]:
    row = {}
    for name, feature in made.features.feature.items():
        kind = feature.WhichOneof("kind")
        row[name] = list(getattr(feature, kind).value) if kind else []
    return row


def parents_of(lineage: Lineage, artifact_id: int) -> dict[str, ArtifactNode]:
    """What the step that made an artifact read, by the key of its input."""
    step = lineage.producer(artifact_id)
    return {event.key: lineage.artifacts[event.artifact] for event in step.inputs} if step else {}


def plain_vectors(path: Path, values: Sequence[Any]) -> np.ndarray:
    """What plain TF Hub makes of texts, or of images as float32 [batch, height, width, 3]."""
    loaded = hub.load(str(path))
    inputs = tf.constant(values)
    if callable(loaded):
        return loaded(inputs).numpy()
    return loaded.signatures["default"](inputs)["default"].numpy()
