"""tf.Example in TFRecord files."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from hub_tfx.data.filesystems import local_copy
from hub_tfx.data.isolate import describe, isolate
from hub_tfx.data.readers import base
from hub_tfx.data.readers.base import SAMPLE_ROWS, build_batch, chunks, first_of, is_gzip, lines_of
from hub_tfx.errors import InputError

_FRAME_BYTES = 16  # Length and two checksums, around each record.
_SAMPLE_RECORDS = 64
_SMALL_BYTES = 16 << 10
_BUFFER_BYTES = 1 << 20


class ExampleReader:
    """tf.Example in TFRecord files, gzip or not, decoded by tfx-bsl.

    Columns are ``large_list`` of large_binary, int64 or float32. Types come from a TFX schema where
    there is one, since a record does not name the features that it lacks.
    """

    def infer_schema(self, path: str) -> pa.Schema:
        sample = first_of(chain.from_iterable(_chunks(path, SAMPLE_ROWS)))
        decode = _Decoder(None)
        names: dict[str, pa.DataType] = {}
        for _, _, batch in isolate(0, len(sample), lambda a, b: decode(sample[a:b])):
            if isinstance(batch, pa.RecordBatch):
                for field in batch.schema:
                    if not pa.types.is_null(field.type):
                        names.setdefault(field.name, _decoded_type(field.type.value_type))
        return pa.schema(list(names.items()))

    def read(self, path: str, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
        decode = _Decoder(schema)
        for records in _chunks(path, batch_rows):
            yield build_batch(records, schema, decode)


def _chunks(path: str, rows: int) -> Iterator[list[bytes]]:
    """The records of a TFRecord file, gzip or not, on any Beam filesystem, in lists as ``chunks``
    makes them."""
    import tensorflow as tf

    read_bytes = 0
    try:
        with local_copy(path) as copy:
            for records in _unchecked_chunks(copy, "GZIP" if is_gzip(copy) else "", rows):
                read_bytes += sum(map(len, records)) + _FRAME_BYTES * len(records)
                yield records
            whole = _is_all(copy, read_bytes)
    except tf.errors.OpError as error:
        raise InputError(f"{path} is cut short or damaged: {error.message}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {describe(error)}") from error
    if not whole:
        raise InputError(f"{path} is cut short or damaged: it ends inside a record")


def _unchecked_chunks(path: str, compression: str, rows: int) -> Iterator[list[bytes]]:
    """Small records come many at once: for one at a time, each has to wait for Python's lock."""
    import tensorflow as tf
    from tensorflow.python.lib.io._pywrap_record_io import RecordIterator

    records = iter(RecordIterator(path, compression))
    sample = list(islice(records, _SAMPLE_RECORDS))
    if len(sample) < _SAMPLE_RECORDS or max(map(len, sample)) > _SMALL_BYTES:
        yield from chunks(chain(sample, records), rows)
        return
    dataset = tf.data.TFRecordDataset(path, compression, _BUFFER_BYTES)
    options = tf.data.Options()
    options.autotune.enabled = False  # There is nothing to tune, and it takes time.
    for batch in dataset.batch(rows).prefetch(1).with_options(options):
        many = batch.numpy().tolist()
        is_chunk = sum(map(len, many)) < base.MAX_BATCH_BYTES
        yield from [many] if is_chunk else chunks(many, rows)


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


def _is_all(path: str, read_bytes: int) -> bool:
    """Whether a TFRecord file holds just the bytes of the records read from it.

    TensorFlow takes a file cut inside a record's header, or a gzip stream cut at some places, for
    one that ends there.
    """
    if not is_gzip(path):
        return os.path.getsize(path) == read_bytes
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 4))
        length = int.from_bytes(file.read(), "little")  # Of the last gzip member (RFC 1952).
    ends_right = read_bytes > 0 and length == read_bytes % (1 << 32)
    return ends_right or sum(map(len, lines_of(path))) == read_bytes
