"""Embeddings of a finished output, back as numpy arrays."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hub_tfx.data.arrow import flatten
from hub_tfx.data.filesystems import local_copy, verified_copy
from hub_tfx.data.readers import READERS
from hub_tfx.embed.columns import OPEN
from hub_tfx.embed.dead_letters import DEAD_LETTERS, KEY, REASON
from hub_tfx.embed.manifest import OutputManifest, WrittenColumn
from hub_tfx.embed.output.layout import (
    EMBEDDINGS,
    OutputLayout,
    manifest_in_place,
    read_manifest,
)
from hub_tfx.embed.output.one_module import check_one_module, outputs_of
from hub_tfx.errors import ConfigError, InputError

_BATCH_ROWS = 1 << 14
_PACKED = {"float16": "<f2", "int8": "<i1"}


def read_embeddings(output: str | Sequence[str], column: str | None = None) -> tuple[Any, pa.Table]:
    """The vectors of an output of ``embed_files`` or EmbeddingGenerator, all in memory.

    Args:
      output: folder of the output, on any Beam filesystem; all splits of an Examples artifact. Of a
        root of embeddings the latest generation is read. Several folders are read one after the
        other.
      column: name of a column of vectors; may be left out where there is only one.

    Returns:
      The vectors ``[rows, …]``, and the other columns. Vectors of floats are float32, unpacked from
      float16 or int8; where rows differ in their shape, they are a list of arrays.

    Raises:
      InputError: the folder does not hold an output, or it cannot be read; or the vectors are
        those of two modules, which do not lie in one space.
      DigestMismatchError: a file of the output has changed since it was written.
      ConfigError: the output has no such column, or has several and none was named.
    """
    outputs = list[tuple[OutputLayout, OutputManifest]]()
    for place in [output] if isinstance(output, str) else output:
        if not (found := outputs_of(place)):
            raise InputError(f"{place} does not hold a finished output: it has no manifest")
        outputs.extend(found)
    if not outputs:
        raise ConfigError("no folder is named: name one that holds embeddings")
    check_one_module(outputs)
    written = outputs[0][1].columns
    if column is None and len(written) == 1:
        (column,) = written
    if column is None or column not in written:
        raise ConfigError(f"name a column of {outputs[0][0].manifest}: {', '.join(written)}")
    about = written[column]
    # A split may be empty, or lack a feature: its tf.Examples do not say what they do not hold.
    filled = [of_split for of_split in outputs if of_split[1].rows] or outputs[:1]
    tables = [_read(layout, manifest) for layout, manifest in filled]
    table = pa.concat_tables(tables, promote=True)
    if column not in table.column_names:
        return _no_vectors(about), table
    return vectors_of(table, column, about), table.drop([column, *about.names])


def read_parts(
    layout: OutputLayout, kind: str, names: Sequence[str], batch_rows: int = _BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """Some columns of all committed parts of one kind, in the order of the rows."""
    parts = layout.parts_named(read_manifest(layout), kind)
    return _read_files(layout.format, parts, names, batch_rows)


def first_dead_letter(layout: OutputLayout) -> tuple[str, str] | None:
    """Key and reason of the first row that a failed run rejected; None where there is none."""
    stays = manifest_in_place(layout)
    earlier = set(layout.parts_named(stays, DEAD_LETTERS)) if stays else set()
    parts = layout.parts_there(DEAD_LETTERS)
    of_run = [path for path in parts if path not in earlier] or parts
    for batch in _read_files(layout.format, of_run, [KEY, REASON], 1):
        key, reason = (as_text(column[0].as_py()) for column in batch.columns)
        return key, reason
    return None


def _read_files(
    file_format: str, paths: Sequence[str], names: Sequence[str], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    reader = READERS[file_format]
    for part in paths:
        with local_copy(part) as path:
            schema = reader.infer_schema(path)
            if not schema.names:  # A tf.Example says what it holds; where there is none, nothing.
                continue
            schema = pa.schema([schema.field(name) for name in names])
            for batch in reader.read(path, schema, batch_rows):
                assert isinstance(batch, pa.RecordBatch)
                yield batch


def as_text(value: Any) -> str:
    """A value of a part file as text; in tf.Example it is a list of bytes."""
    if isinstance(value, list):
        return ", ".join(map(as_text, value))
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def vectors_of(table: pa.Table, column: str, about: WrittenColumn) -> Any:
    """One column of an output as numpy arrays, see ``read_embeddings``.

    Args:
      table: rows with the column, and with those for its scales and shapes if it has any.
      column: name of the column.
      about: what the manifest says of the column.
    """
    values, lengths = _values(table, column)
    dtype, shape = about.dtype, about.shape
    if about.scale or dtype == "float16":
        rows_of_bytes = values.to_pylist()
        packed = np.frombuffer(b"".join(rows_of_bytes), _PACKED[dtype])
        lengths = np.array([len(row) for row in rows_of_bytes], np.int64) // packed.itemsize
        array = packed.astype(np.float32)
    else:
        array = values.to_numpy(zero_copy_only=False)
        array = array if dtype == "bytes" else array.astype(dtype, copy=False)
    if about.scale:
        array *= np.repeat(_values(table, about.scale)[0].to_numpy(), lengths)
    if OPEN not in shape:
        return array.reshape(len(table), *shape)
    rows = np.split(array, np.cumsum(lengths)[:-1]) if len(table) else []
    if about.shapes is None:
        return [row.reshape(shape) for row in rows]
    shapes = table.column(about.shapes).to_pylist()
    return [row.reshape(of_row) for row, of_row in zip(rows, shapes, strict=True)]


def _no_vectors(about: WrittenColumn) -> Any:
    if OPEN in about.shape:
        return []
    dtype = object if about.dtype == "bytes" else about.dtype
    return np.empty((0, *about.shape), np.float32 if about.dtype in _PACKED else dtype)


def _values(table: pa.Table, column: str) -> tuple[pa.Array, Any]:
    """The values of a column, and how many of them each row has."""
    values, offsets = flatten(table.column(column).combine_chunks())
    return values, np.diff(offsets)


def _read(layout: OutputLayout, manifest: OutputManifest) -> pa.Table:
    reader = READERS[layout.format]
    tables = []
    for file in manifest.files:
        part = f"{layout.folders[EMBEDDINGS]}/{file.name}"
        with verified_copy(part, file.sha256, "embed its input again") as path:
            schema = reader.infer_schema(path)
            batches = list(reader.read(path, schema, _BATCH_ROWS))
            tables.append(pa.Table.from_batches(batches, schema))
    filled = [table for table in tables if table.num_rows]
    return pa.concat_tables(filled or tables[:1], promote=True)
