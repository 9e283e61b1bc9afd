"""Embeddings of a finished output, back as numpy arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from hub_tfx.data.arrow import flatten
from hub_tfx.data.filesystems import verified_copy
from hub_tfx.data.readers import READERS
from hub_tfx.embed.columns import OPEN
from hub_tfx.embed.output.layout import EMBEDDINGS, OutputLayout, committed_outputs
from hub_tfx.errors import ConfigError, InputError

_BATCH_ROWS = 1 << 14
_PACKED = {"float16": "<f2", "int8": "<i1"}


def read_embeddings(output: str, column: str | None = None) -> tuple[Any, pa.Table]:
    """The vectors of an output of ``embed_files`` or EmbeddingGenerator, all in memory.

    Args:
      output: its folder, on any Beam filesystem. Of an Examples artifact all splits are read.
      column: which of its columns; may be left out where there is one.

    Returns:
      ``[rows, …]``: float32, unpacked from float16 or int8, or what the output is if it is no
      float; a list of such arrays where rows differ in their shape. And the other columns.

    Raises:
      InputError: there is no output, or it cannot be read.
      DigestMismatchError: a file of it has changed since it was written.
      ConfigError: it has no such column, or several and none was named.
    """
    try:
        outputs = committed_outputs(output)
    except ValueError as error:
        raise InputError(str(error)) from error
    if not outputs:
        raise InputError(f"{output} holds no finished output: there is no manifest")
    written = outputs[0][1]["columns"]
    if column is None and len(written) == 1:
        (column,) = written
    if column is None or column not in written:
        raise ConfigError(f"name a column of {output}: {', '.join(written)}")
    about = written[column]
    table = pa.concat_tables([_read(layout, manifest) for layout, manifest in outputs])
    own = [column, about.get("scale"), about.get("shapes")]
    return vectors_of(table, column, about), table.drop([n for n in own if n in table.schema.names])


def vectors_of(table: pa.Table, column: str, about: Mapping[str, Any]) -> Any:
    """One column of an output as numpy arrays, see ``read_embeddings``.

    Args:
      table: rows with the column, and with those for its scales and shapes if it has any.
      column: its name.
      about: what the manifest says of it.
    """
    values, lengths = _values(table, column)
    dtype, shape = about["dtype"], about["shape"]
    if "scale" in about or dtype == "float16":
        rows_of_bytes = values.to_pylist()
        packed = np.frombuffer(b"".join(rows_of_bytes), _PACKED[dtype])
        lengths = np.array([len(row) for row in rows_of_bytes], np.int64) // packed.itemsize
        array = packed.astype(np.float32)
    else:
        array = values.to_numpy(zero_copy_only=False)
        array = array if dtype == "bytes" else array.astype(dtype, copy=False)
    if "scale" in about:
        array *= np.repeat(_values(table, about["scale"])[0].to_numpy(), lengths)
    if OPEN not in shape:
        return array.reshape(len(table), *shape)
    rows = np.split(array, np.cumsum(lengths)[:-1]) if len(table) else []
    if "shapes" not in about:
        return [row.reshape(shape) for row in rows]
    shapes = table.column(about["shapes"]).to_pylist()
    return [row.reshape(of_row) for row, of_row in zip(rows, shapes, strict=True)]


def _values(table: pa.Table, column: str) -> tuple[pa.Array, Any]:
    """The values of a column and how many of them each row has."""
    values, offsets = flatten(table.column(column).combine_chunks())
    return values, np.diff(offsets)


def _read(layout: OutputLayout, manifest: Mapping[str, Any]) -> pa.Table:
    reader = READERS[layout.format]
    tables = []
    for file in manifest["files"]:
        part = f"{layout.folders[EMBEDDINGS]}/{file['name']}"
        with verified_copy(part, file["sha256"], "embed its input again") as path:
            schema = reader.infer_schema(path)
            batches = list(reader.read(path, schema, _BATCH_ROWS))
            tables.append(pa.Table.from_batches(batches, schema))
    return pa.concat_tables([table for table in tables if table.num_rows] or tables[:1])
