"""Files as jobs read them, and the tables of docs/inputs.md, each row of which has a test."""

import re
from pathlib import Path

import pyarrow as pa

from hub_tfx.data.arrow import is_bytes, is_list, is_number
from hub_tfx.data.files import find_files
from hub_tfx.data.marks import rejected_of
from hub_tfx.data.readers import READERS
from hub_tfx.data.schema import infer_schema
from hub_tfx.data.uses import Use, look_further, typed_by_use

DOCS = Path(__file__, "../../../docs/inputs.md").resolve()

KEPT = Use(is_kept=True)
TEXT = Use(pa.string(), is_bytes)
BYTES = Use(pa.binary(), is_bytes)
FLOAT = Use(pa.float64(), lambda t: is_number(t) or pa.types.is_boolean(t))
INTEGER = Use(pa.int64(), pa.types.is_integer)
BOOL = Use(pa.bool_(), lambda t: pa.types.is_boolean(t) or pa.types.is_integer(t))
FLOATS = Use(pa.float64(), lambda t: is_list(t) and is_number(t.value_type))


def read(path, uses, file_format=None):
    """The rows of a file or folder, each a tuple of values, or in words why it is rejected."""
    files = find_files([str(path)], file_format)
    columns = look_further(infer_schema(files), files, list(uses))
    schema = typed_by_use(columns, uses, files[0].format)
    rows = []
    for file in files:
        for batch in READERS[file.format].read(file.path, schema, 512):
            reasons = rejected_of(batch)
            values = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            rows += [reasons.get(n, row) for n, row in enumerate(values)]
    return rows


def read_one(path, use=KEPT, name="x"):
    """As ``read``, with one column, whose values are not in tuples."""
    return [row if isinstance(row, str) else row[0] for row in read(path, {name: use})]


def rows_of_table(heading):
    """The first cells of the table under a heading of docs/inputs.md."""
    section = re.split(r"^## ", DOCS.read_text(), flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(heading + "\n")]
    rows = re.findall(r"^\| (.*?) \|", text, flags=re.MULTILINE)
    return rows[1:]  # Without the heading of the table.


class Kinds:
    """Tests of one file, each of which names the rows of the table that it holds."""

    def __init__(self, heading):
        self._heading = heading
        self._tested = []

    def row(self, *first_cells):
        """A decorator for the test of these rows."""
        self._tested += first_cells
        return lambda test: test

    def check_all_are_tested(self):
        assert sorted(self._tested) == sorted(rows_of_table(self._heading))
