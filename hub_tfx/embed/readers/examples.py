"""tf.Example in TFRecord files."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from hub_tfx.embed.failures import isolate
from hub_tfx.embed.readers.base import SAMPLE_ROWS, Rejected, is_gzip, lines_of, read_or_reject
from hub_tfx.errors import InputError

_TFRECORD_FRAME_BYTES = 16  # Length and two checksums, around each record.


class ExampleReader:
    """tf.Example in TFRecord files, gzip or not, decoded by tfx-bsl.

    Columns are ``large_list`` of large_binary, int64 or float32. Types come from a TFX schema where
    there is one, since a record does not name the features that it lacks.
    """

    def infer_schema(self, path: str) -> pa.Schema:
        sample: list[bytes] = next(self._records(path, SAMPLE_ROWS), [])
        decode = _Decoder(None)
        names: dict[str, pa.DataType] = {}
        for _, _, batch in isolate(0, len(sample), lambda a, b: decode(sample[a:b])):
            if isinstance(batch, pa.RecordBatch):
                for field in batch.schema:
                    if not pa.types.is_null(field.type):
                        names.setdefault(field.name, _decoded_type(field.type.value_type))
        return pa.schema(list(names.items()))

    def read(
        self, path: str, schema: pa.Schema, batch_rows: int
    ) -> Iterator[pa.RecordBatch | Rejected]:
        decode = _Decoder(schema)
        for records in self._records(path, batch_rows):
            yield from read_or_reject(records, decode)

    def _records(self, path: str, batch_rows: int) -> Iterator[list[bytes]]:
        import tensorflow as tf

        try:
            compression = "GZIP" if is_gzip(path) else ""
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        dataset = tf.data.TFRecordDataset(path, compression, buffer_size=1 << 20)
        read_bytes = 0
        try:
            for batch in dataset.batch(batch_rows).prefetch(2).as_numpy_iterator():
                records = batch.tolist()
                read_bytes += sum(map(len, records)) + _TFRECORD_FRAME_BYTES * len(records)
                yield records
        except tf.errors.OpError as error:
            raise InputError(f"{path} is cut short or damaged: {error.message}") from error
        _check_all_read(path, read_bytes)


class _Decoder:
    """tfx-bsl's decoder, made anew after an error: it keeps rows of the batch it failed on."""

    def __init__(self, schema: pa.Schema | None):
        self._schema = schema
        self._decoder: Any = None

    def __call__(self, records: Sequence[bytes]) -> pa.RecordBatch:
        from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

        decoder = self._decoder or ExamplesToRecordBatchDecoder(
            self._schema and _tfmd_schema(self._schema).SerializeToString()
        )
        self._decoder = None
        batch = decoder.DecodeBatch(records)
        self._decoder = decoder
        return batch


def _decoded_type(value_type: pa.DataType) -> pa.DataType:
    """The column type in which tfx-bsl decodes a feature of tf.Example with a schema."""
    if pa.types.is_binary(value_type) or pa.types.is_large_binary(value_type):
        return pa.large_list(pa.large_binary())
    return pa.large_list(value_type)


def schema_of_tfmd(tfmd: Any) -> pa.Schema:
    """The columns that a TFX schema describes; features without a type are left out."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    value_types = {
        schema_pb2.BYTES: pa.large_binary(),
        schema_pb2.INT: pa.int64(),
        schema_pb2.FLOAT: pa.float32(),
    }
    return pa.schema(
        [
            (feature.name, pa.large_list(value_types[feature.type]))
            for feature in tfmd.feature
            if feature.type in value_types
        ]
    )


def _tfmd_schema(schema: pa.Schema) -> Any:
    from tensorflow_metadata.proto.v0 import schema_pb2

    tfmd = schema_pb2.Schema()
    for field in schema:
        value_type = field.type.value_type
        feature_type = (
            schema_pb2.BYTES
            if pa.types.is_large_binary(value_type)
            else schema_pb2.INT
            if pa.types.is_integer(value_type)
            else schema_pb2.FLOAT
        )
        tfmd.feature.add(name=field.name, type=feature_type)
    return tfmd


def _check_all_read(path: str, read_bytes: int) -> None:
    """Raises InputError unless a TFRecord file holds just the bytes of the records read from it.

    TensorFlow takes a file cut inside a record's header, or a gzip stream cut at some places, for
    one that ends there.
    """
    if not is_gzip(path):
        whole = os.path.getsize(path) == read_bytes
    else:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - 4))
            length = int.from_bytes(file.read(), "little")  # Of the last gzip member (RFC 1952).
        ends_right = read_bytes > 0 and length == read_bytes % (1 << 32)
        whole = ends_right or sum(map(len, lines_of(path))) == read_bytes
    if not whole:
        raise InputError(f"{path} is cut short or damaged: it ends inside a record")
