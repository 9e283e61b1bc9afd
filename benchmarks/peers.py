"""What else embeds with a TensorFlow Hub module on Beam, each as its own documentation says.

Each peer takes the module, a gzip TFRecord of tf.Example and a folder for its output, and returns
the seconds its pipeline ran, on Beam's runner in this process as hub_tfx does. MLTransform's
embeddings need the extra `bench` (tensorflow-text).
"""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from apache_beam.ml.inference.base import RunInference
from apache_beam.ml.inference.tensorflow_inference import TFModelHandlerTensor
from apache_beam.options.pipeline_options import PipelineOptions

Peer = Callable[[Path, Path, Path], float]
_OPTIONS = ("--runner=FnApiRunner", "--no_save_main_session")
_BATCH_SIZE = 32
_IMAGE_SIZE = 224
_VECTORS = pa.schema([("embedding", pa.list_(pa.float32()))])


def bulk_inferrer(
    feature: str, module: Path, source: Path, output: Path, batch_size: int = _BATCH_SIZE
) -> float:
    """tfx-bsl's RunInference, with what BulkInferrer puts around it.

    The module's own string input would get the serialized Example, and embed that; so the module
    is wrapped in a signature that parses the Example first, which a careful user has to write.
    """
    from tfx.components.bulk_inferrer import prediction_to_example_utils
    from tfx.proto import bulk_inferrer_pb2
    from tfx_bsl.public.beam import RunInference as BslRunInference
    from tfx_bsl.public.proto import model_spec_pb2

    spec = model_spec_pb2.InferenceSpecType(
        saved_model_spec=model_spec_pb2.SavedModelSpec(
            model_path=str(_wrapped_for_examples(module, output / "wrapped", feature))
        )
    )
    spec.batch_parameters.max_batch_size = batch_size
    columns = bulk_inferrer_pb2.OutputExampleSpec()
    predict = columns.output_columns_spec.add().predict_output.output_columns.add()
    predict.output_key = predict.output_column = "embedding"
    return _seconds(
        lambda records: (
            records
            | "Parse" >> beam.Map(tf.train.Example.FromString)
            | BslRunInference(spec)
            | "Convert" >> beam.Map(prediction_to_example_utils.convert, columns)
            | beam.io.WriteToTFRecord(
                str(output / "examples"),
                file_name_suffix=".gz",
                coder=beam.coders.ProtoCoder(tf.train.Example),
            )
        ),
        source,
    )


def run_inference(
    feature: str, module: Path, source: Path, output: Path, batch_size: int = _BATCH_SIZE
) -> float:
    """Beam's RunInference with a TFModelHandlerTensor."""
    convert: Callable[[bytes], Any] = tf.constant if feature == "text" else _decode_image
    return _seconds(
        lambda records: (
            records
            | "Tensor" >> beam.Map(lambda record: convert(_value(record, feature)))
            | RunInference(TFModelHandlerTensor(str(module), max_batch_size=batch_size))
            | "Row" >> beam.Map(lambda result: {"embedding": np.asarray(result.inference)})
            | beam.io.WriteToParquet(str(output / "part"), _VECTORS)
        ),
        source,
    )


def ml_transform(
    feature: str, module: Path, source: Path, output: Path, batch_size: int = _BATCH_SIZE
) -> float:
    """Beam's MLTransform with its TensorFlow Hub embeddings."""
    from apache_beam.ml.transforms.base import MLTransform
    from apache_beam.ml.transforms.embeddings import tensorflow_hub as embeddings

    if feature == "text":
        convert: Callable[[bytes], Any] = bytes.decode
        embed = embeddings.TensorflowHubTextEmbeddings(["text"], str(module))
    else:
        convert = _decode_image
        embed = embeddings.TensorflowHubImageEmbeddings(
            ["image"], str(module), max_batch_size=batch_size
        )
    return _seconds(
        lambda records: (
            records
            | "Row" >> beam.Map(lambda record: {feature: convert(_value(record, feature))})
            | MLTransform(write_artifact_location=str(output / "artifacts")).with_transform(embed)
            | "Vector" >> beam.Map(lambda row: {"embedding": _floats(row[feature])})
            | beam.io.WriteToParquet(str(output / "part"), _VECTORS)
        ),
        source,
    )


TEXT_PEERS: Mapping[str, Peer] = {
    "tfx-bsl RunInference (BulkInferrer)": partial(bulk_inferrer, "text", batch_size=1000),
    "Beam RunInference": partial(run_inference, "text", batch_size=1000),
    "Beam MLTransform": partial(ml_transform, "text"),
}
IMAGE_PEERS: Mapping[str, Peer] = {
    "tfx-bsl RunInference (BulkInferrer)": partial(bulk_inferrer, "image"),
    "Beam RunInference": partial(run_inference, "image"),
    "Beam MLTransform": partial(ml_transform, "image"),
}


def _seconds(build: Callable[[Any], Any], source: Path) -> float:
    """Seconds of a pipeline over the records of a file; its making is left out."""
    logging.getLogger().setLevel(logging.ERROR)
    pipeline = beam.Pipeline(options=PipelineOptions(_OPTIONS))
    build(pipeline | beam.io.ReadFromTFRecord(str(source)))
    started_s = time.perf_counter()
    pipeline.run().wait_until_finish()
    return time.perf_counter() - started_s


def _value(record: bytes, feature: str) -> bytes:
    value: bytes = tf.train.Example.FromString(record).features.feature[feature].bytes_list.value[0]
    return value


def _floats(vector: Any) -> Any:
    return np.asarray(vector, np.float32)


def _decode_image(encoded: Any) -> Any:
    """``[224, 224, 3]`` float32 in [0, 1]."""
    image = tf.image.convert_image_dtype(tf.io.decode_jpeg(encoded, 3), tf.float32)
    return tf.ensure_shape(
        tf.image.resize(image, (_IMAGE_SIZE, _IMAGE_SIZE)), (_IMAGE_SIZE, _IMAGE_SIZE, 3)
    )


def _wrapped_for_examples(module: Path, output: Path, feature: str) -> Path:
    """A SavedModel whose default signature takes serialized tf.Examples."""
    loaded = tf.saved_model.load(str(module))

    class Wrapped(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = loaded

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
            spec = {feature: tf.io.FixedLenFeature([], tf.string)}
            values = tf.io.parse_example(examples, spec)[feature]
            if feature == "image":
                values = tf.map_fn(_decode_image, values, fn_output_signature=tf.float32)
            return {"embedding": self.module(values)}

    wrapped = Wrapped()
    tf.saved_model.save(wrapped, str(output), signatures=wrapped.serve)
    return output
