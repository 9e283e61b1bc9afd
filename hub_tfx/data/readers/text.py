"""Text files, a record a line."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from hub_tfx.data.arrow import invalid_utf8
from hub_tfx.data.readers.base import BadRowsError, Rejected, build_batch, chunks
from hub_tfx.data.readers.streams import is_cut, lines_of


class TextReader:
    """One record a line, feature ``text``."""

    def infer_schema(self, path: str) -> pa.Schema:
        return pa.schema([("text", pa.string())])

    def read(self, path: str, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
        def build(lines: Sequence[bytes]) -> pa.RecordBatch:
            values = pa.array([line.rstrip(b"\r\n") for line in lines], pa.binary())
            try:
                column = values.cast(schema.types[0])
            except pa.ArrowInvalid as error:
                why = "feature 'text' is not valid UTF-8"
                raise BadRowsError(dict.fromkeys(invalid_utf8(values), why)) from error
            return pa.RecordBatch.from_arrays([column], schema=schema)

        for lines in chunks(lines_of(path), batch_rows):
            records = [too_long(line) if is_cut(line) else line for line in lines]
            yield build_batch(records, schema, build)


def too_long(line: bytes) -> Rejected:
    """What is left of a line that ``is_cut``."""
    return Rejected(f"a line of {len(line):,} bytes or more")
