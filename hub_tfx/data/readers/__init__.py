"""Files to record batches, one function a format.

A reader takes the path of a file, the schema of what to read and the most rows of a batch, and
yields all records in file order; those that it cannot read are marked. Formats without types of
their own (CSV, JSON lines) take them from the schema, which ``infer_schema`` learns from the first
records of a file; a later record that does not fit is rejected, so a column never changes its type.
"""

import re

from hub_tfx.data.readers.base import Reader
from hub_tfx.data.readers.parquet import ParquetReader
from hub_tfx.data.readers.text import CsvReader, JsonLinesReader, TextReader
from hub_tfx.data.readers.tfrecord import ExampleReader, schema_of_tfmd
from hub_tfx.errors import InputError

__all__ = ["PARQUET", "READERS", "ExampleReader", "Reader", "format_of", "schema_of_tfmd"]

PARQUET = ParquetReader()
READERS: dict[str, Reader] = {
    "txt": TextReader(),
    "csv": CsvReader(),
    "jsonl": JsonLinesReader(),
    "parquet": PARQUET,
    "tfrecord": ExampleReader(),
}
_ENDING = re.compile(r"\.(txt|csv|jsonl|tfrecord)(\.gz)?$|\.(parquet)$", re.IGNORECASE)


def format_of(path: str) -> str:
    """The format of a file, by its ending.

    Raises:
      InputError: none that we read.
    """
    match = _ENDING.search(path)
    if match is None:
        raise InputError(
            f"{path}: its ending is none of .txt, .csv, .jsonl, .tfrecord (each also with .gz), "
            ".parquet"
        )
    return (match[1] or match[3]).lower()
