"""tf.Example in TFRecord files."""

import struct
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import Any

import google_crc32c
import pyarrow as pa

from hub_tfx.data import fields
from hub_tfx.data.isolate import isolate
from hub_tfx.data.readers.base import build_batch, chunks, first_of
from hub_tfx.data.readers.streams import content_of
from hub_tfx.errors import InputError

_LENGTH = struct.Struct("<Q")
_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_MAX_RECORD_BYTES = (2 << 30) - 1
"""Of a protocol buffer. What claims to be longer is not one, and must not be made room for."""
_READ_BYTES = 1 << 20
_LOOKED_THROUGH_RECORDS = 1000
_PIECE_BYTES = 64 << 20


class ExampleReader:
    """tf.Example in TFRecord files, decoded by tfx-bsl.

    Columns are ``large_list`` of large_binary, int64 or float32. Types come from a TFX schema where
    there is one, since a record does not name the features that it lacks.
    """

    def infer_schema(self, path: str) -> pa.Schema:
        return pa.schema(_fields(first_of(records_of(path))))

    def read(self, path: str, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
        decode = _Decoder(schema)
        for records in chunks(records_of(path), batch_rows):
            yield build_batch(records, schema, decode)

    def types_further(
        self, path: str, names: Collection[str]
    ) -> Iterator[tuple[int, dict[str, list[pa.DataType]]]]:
        """The types that features have in all of a file.

        Args:
          path: of the file.
          names: of the features, which may become fewer on the way.

        Yields:
          How many bytes were read, and of each feature in them its types.
        """
        for records in chunks(records_of(path), _LOOKED_THROUGH_RECORDS):
            found = {field.name: fields.types_of(field) for field in _fields(records)}
            yield sum(map(len, records)), {n: found[n] for n in names if n in found}


def begins_as_records(head: bytes) -> bool:
    """Whether a file that begins with these bytes is one of records: it says so by a checksum."""
    if len(head) < _HEADER.size:
        return False
    length, checksum = _HEADER.unpack_from(head)
    return bool(_checksum_of_length(length) == checksum)


def records_of(path: str) -> Iterator[bytes]:
    """The records of a TFRecord file: length, its checksum, the record, its checksum.

    See https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details.

    Raises:
      InputError: the file cannot be read, is damaged, or ends inside a record.
    """
    with content_of(path) as content:
        buffer, at, number = b"", 0, 1
        while more := content.read(_READ_BYTES):
            buffer, at = buffer[at:] + more, 0
            while len(buffer) - at >= _HEADER.size:
                stop = at + _HEADER.size + _length_at(buffer, at, path, number)
                missing = stop + _CHECKSUM.size - len(buffer)
                if missing > 0:
                    rest = b"".join(_pieces(content, missing))
                    buffer, at = buffer[at:] + rest, 0
                    if len(rest) < missing:
                        break
                    continue
                record = buffer[at + _HEADER.size : stop]
                if _masked_crc(record) != _CHECKSUM.unpack_from(buffer, stop)[0]:
                    raise _damaged(path, f"the checksum of record {number} does not match")
                yield record
                at, number = stop + _CHECKSUM.size, number + 1
        if at < len(buffer):
            raise _damaged(path, f"it ends inside record {number}")


def _length_at(buffer: bytes, at: int, path: str, number: int) -> int:
    length, checksum = _HEADER.unpack_from(buffer, at)
    if _checksum_of_length(length) != checksum:
        raise _damaged(path, f"the checksum of the length of record {number} does not match")
    if length > _MAX_RECORD_BYTES:
        raise _damaged(path, f"record {number} claims to have {length:,} bytes")
    return int(length)


def _pieces(content: Any, size_bytes: int) -> Iterator[bytes]:
    """The next bytes of a file, or fewer where it ends: room is made as they come."""
    while size_bytes > 0 and (piece := content.read(min(size_bytes, _PIECE_BYTES))):
        size_bytes -= len(piece)
        yield piece


def _damaged(path: str, why: str) -> InputError:
    return InputError(f"{path} is cut short or damaged: {why}")


@lru_cache(1 << 16)  # Records of a file have like lengths.
def _checksum_of_length(length: int) -> int:
    return _masked_crc(_LENGTH.pack(length))


def _masked_crc(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _fields(records: Sequence[bytes]) -> list[pa.Field]:
    """The features that some records have, each with the type that it has in most of them."""
    decode = _Decoder(None)
    found: dict[str, Counter[pa.DataType]] = {}
    for _, _, batch in isolate(0, len(records), lambda a, b: decode(records[a:b])):
        if isinstance(batch, pa.RecordBatch):
            for field, column in zip(batch.schema, batch.columns, strict=True):
                if not pa.types.is_null(field.type):
                    counts = found.setdefault(field.name, Counter())
                    counts[_decoded_type(field.type.value_type)] += len(column) - column.null_count
    ranked = {name: [t for t, _ in counts.most_common()] for name, counts in found.items()}
    return [fields.with_others(pa.field(name, t[0]), t[1:]) for name, t in ranked.items()]


class _Decoder:
    """tfx-bsl's decoder, made again after an error: it keeps rows of the batch it failed on."""

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
