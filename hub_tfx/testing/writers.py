"""What every part file promises, as tests: see ``hub_tfx.embed.output.writers.PartFile``.

A part file of your own is tested by a subclass, which pytest collects::

    from hub_tfx.testing.writers import WriterContract

    class TestLinesFile(WriterContract):
        part_file = LinesFile
        reader = LinesReader()
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from hub_tfx.data.marks import Position, mark_rejected
from hub_tfx.data.readers.base import Reader
from hub_tfx.embed.output.writers import PartFile

_ROWS = {
    "id": pa.array([1, 2, 3]),
    "text": pa.array(["one", "", "wörld 猫"]),
    "bytes": pa.array([b"\x00\xff", b"", b"three"]),
    "score": pa.array([0.5, -2.0, 0.0], pa.float32()),
    "vector": pa.array([[1.5, 2.0], [0.0, -1.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    "ragged": pa.array([[1.5], [1.0, 2.0], [1.0, 2.0, 3.0]], pa.list_(pa.float32())),
    "words": pa.array([["a"], ["b", "c"], ["d"]]),
}
_NULLS = {
    "id": pa.array([1, 2, 3]),
    "text": pa.array(["one", None, "three"]),
    "score": pa.array([None, 1.5, None], pa.float32()),
    "words": pa.array([["a"], ["b", "c"], None]),
}
_NESTED = {"id": pa.array([1, 2]), "lists": pa.array([[[1], [2, 3]], [[4], []]])}


class WriterContract:
    """The suite. Tests of what a format does not have are skipped.

    Attributes:
      part_file: the class under test.
      reader: what reads its format.
      nests: whether the format holds lists of lists.
    """

    part_file: ClassVar[type[PartFile]]
    reader: ClassVar[Reader]
    nests: ClassVar[bool] = True

    def stored(self, value: Any) -> Any:
        """What the reader gives for a value that was written, as Python values."""
        return value

    # --- What the tests share --------------------------------------------------------------------

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Where the file under test goes."""
        return tmp_path / "part"

    def write(self, path: Path | str, schema: pa.Schema, batches: Sequence[pa.RecordBatch]) -> None:
        """Writes a whole file."""
        file = self.part_file(str(path), schema)
        for batch in batches:
            file.write(batch)
        file.close()

    def rows(self, path: Path) -> list[dict[str, Any]]:
        """The records of a file."""
        schema = self.reader.infer_schema(str(path))
        batches = self.reader.read(str(path), schema, 1000)
        return [row for batch in batches for row in batch.to_pylist()]

    def check_comes_back(self, path: Path, columns: Mapping[str, pa.Array]) -> None:
        """Checks that columns are read as they were written, but for ``stored``."""
        batch = pa.RecordBatch.from_pydict(dict(columns))
        self.write(path, batch.schema, [batch])
        expected = [
            {name: self.stored(value) for name, value in row.items()} for row in batch.to_pylist()
        ]
        assert self.rows(path) == expected

    # --- What is written -------------------------------------------------------------------------

    def test_what_is_written_is_read_back(self, path: Path) -> None:
        self.check_comes_back(path, _ROWS)

    def test_nulls_are_read_back(self, path: Path) -> None:
        self.check_comes_back(path, _NULLS)

    def test_lists_of_lists_are_read_back(self, path: Path) -> None:
        if not self.nests:
            pytest.skip("the format holds no lists of lists")
        self.check_comes_back(path, _NESTED)

    def test_many_batches_of_any_size_are_read_back_in_their_order(self, path: Path) -> None:
        batches, rows = [], 0
        for size in [1, 0, 7, *([1000] * 70), 0, 3]:
            batches.append(_ids(range(rows, rows + size)))
            rows += size
        self.write(path, batches[0].schema, batches)
        assert self.rows(path) == [{"id": self.stored(n)} for n in range(rows)]

    @pytest.mark.parametrize("batches", [0, 2])
    def test_a_file_without_rows_is_read_back(self, path: Path, batches: int) -> None:
        empty = pa.RecordBatch.from_pydict(_ROWS).slice(0, 0)
        self.write(path, empty.schema, [empty] * batches)
        assert self.rows(path) == []

    def test_marks_in_the_schema_of_a_batch_are_not_written(self, path: Path) -> None:
        batch = _ids([1, 2])
        marked = [
            Position("file", 10, "block").mark(mark_rejected(batch, {1: "a reason"})),
            Position("another", 12, "block").mark(batch),
        ]
        self.write(path, batch.schema, marked)
        assert self.rows(path) == [{"id": self.stored(n)} for n in (1, 2, 1, 2)]
        assert b"a reason" not in path.read_bytes()

    # --- The file --------------------------------------------------------------------------------

    def test_the_file_is_there_from_the_start(self, path: Path) -> None:
        """Its size says when it is large enough to be closed."""
        batch = pa.RecordBatch.from_pydict(_ROWS)
        file = self.part_file(str(path), batch.schema)
        assert path.is_file()
        file.write(batch)
        file.close()
        assert path.stat().st_size > 0

    def test_a_full_disk_is_an_os_error(self) -> None:
        if not os.path.exists("/dev/full"):
            pytest.skip("this machine has no /dev/full")
        batch = pa.RecordBatch.from_pydict({"bytes": pa.array([os.urandom(1 << 16)] * 20)})
        with pytest.raises(OSError, match=r"(?i)no space left"):
            self.write("/dev/full", batch.schema, [batch] * 3)

    def test_a_folder_that_is_not_there_is_an_os_error(self, tmp_path: Path) -> None:
        batch = pa.RecordBatch.from_pydict(_ROWS)
        with pytest.raises(OSError, match=r"(?i)no such file"):
            self.write(tmp_path / "missing" / "part", batch.schema, [batch])


def _ids(numbers: Sequence[int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"id": pa.array(numbers, pa.int64())})
