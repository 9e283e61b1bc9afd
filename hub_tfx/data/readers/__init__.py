"""Files to record batches, one reader a format.

A reader takes the path of a file, the schema of what to read and the most rows of a batch, and
yields all records in file order; those that it cannot read are marked. Formats without types of
their own (CSV, JSON lines) take them from the schema, which ``infer_schema`` learns from the first
records of a file and ``data.uses`` fits to what columns are for; a record that does not fit is
rejected, so no value is converted. docs/inputs.md has what becomes of everything.
"""

from hub_tfx.data.readers.base import Reader
from hub_tfx.data.readers.delimited import CsvReader
from hub_tfx.data.readers.formats import format_of
from hub_tfx.data.readers.jsonl import JsonLinesReader
from hub_tfx.data.readers.parquet import ParquetReader
from hub_tfx.data.readers.text import TextReader
from hub_tfx.data.readers.tfrecord import ExampleReader, schema_of_tfmd

__all__ = ["PARQUET", "READERS", "ExampleReader", "Reader", "format_of", "schema_of_tfmd"]

PARQUET = ParquetReader()
READERS: dict[str, Reader] = {
    "txt": TextReader(),
    "csv": CsvReader(),
    "jsonl": JsonLinesReader(),
    "parquet": PARQUET,
    "tfrecord": ExampleReader(),
}
