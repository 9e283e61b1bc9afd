"""What every reader promises, as tests: see ``hub_tfx.data.readers.base.Reader``.

A reader of your own is tested by a subclass, which pytest collects::

    from hub_tfx.testing.readers import ReaderContract

    class TestLinesReader(ReaderContract):
        reader = LinesReader()

        def write(self, path, texts):
            lines = [b"\\xff" if text is None else text.encode() for text in texts]
            path.write_bytes(b"".join(line + b"\\n" for line in lines))
"""

import gzip
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from hub_tfx.data.marks import rejected_of
from hub_tfx.data.readers import base
from hub_tfx.data.readers.base import Reader
from hub_tfx.errors import InputError
from hub_tfx.testing.remote import RemoteFileSystem

_TEXTS = tuple(f"text {n}" for n in range(100))
_ODD_TEXTS = ("", " two  spaces ", 'a "quoted", comma', "wörld 猫 🐈", "a\ttab", "null", "0012")
_MAX_BATCH_BYTES = 100_000


class ReaderContract:
    """The suite. Tests of what a format does not have are skipped.

    Attributes:
      reader: the reader under test.
      suffix: ending of its files' names.
      gzips: whether its files may be gzipped.
      framed: whether a file that is cut short is recognised even where it is not gzipped.
      rejects: whether a file may hold a record that cannot be read among others that can. A reader
        of such a format fills its batches.
    """

    reader: ClassVar[Reader]
    suffix: ClassVar[str] = ".data"
    gzips: ClassVar[bool] = True
    framed: ClassVar[bool] = False
    rejects: ClassVar[bool] = True

    def write(self, path: Path, texts: Sequence[str | None]) -> None:
        """Writes a file with a record for each text, in the column ``text``.

        There may be more columns. None stands for a record that cannot be read, which is asked for
        only where ``rejects`` is true.
        """
        raise NotImplementedError

    def write_empty_column(self, path: Path, texts: Sequence[str]) -> None:
        """As ``write``, with a second column ``empty`` that holds no value in any record."""
        pytest.skip("the format has no column without a value")

    def value(self, text: str) -> Any:
        """What the column ``text`` gives for a text, as a Python value."""
        return text

    # --- What the tests share --------------------------------------------------------------------

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Where the file under test goes."""
        return tmp_path / f"a{self.suffix}"

    def schema(self, path: Path | str) -> pa.Schema:
        """The column ``text`` as the reader infers it."""
        return pa.schema([self.reader.infer_schema(str(path)).field("text")])

    def read(self, path: Path | str, batch_rows: int = 7) -> list[pa.RecordBatch]:
        """The batches of a file, with the column ``text``."""
        return list(self.reader.read(str(path), self.schema(path), batch_rows))

    def values(self, texts: Sequence[str]) -> list[Any]:
        """What the column ``text`` gives for texts."""
        return [self.value(text) for text in texts]

    def check_error_names(self, path: Path) -> None:
        """Checks that reading a file to its end is an InputError that names the file.

        To infer a schema is the same error, unless the beginning of the file is enough for that.
        """
        sound = path.with_name(f"sound{self.suffix}")
        self.write(sound, _TEXTS)
        with pytest.raises(InputError) as error:
            list(self.reader.read(str(path), self.schema(sound), 7))
        messages = [str(error.value)]
        try:
            self.reader.infer_schema(str(path))
        except InputError as inferring:
            messages.append(str(inferring))
        assert all(str(path) in message for message in messages)

    # --- Records and batches ---------------------------------------------------------------------

    @pytest.mark.parametrize("batch_rows", [1, 7, 1000])
    def test_all_records_come_in_their_order(self, path: Path, batch_rows: int) -> None:
        self.write(path, _TEXTS)
        assert _column(self.read(path, batch_rows)) == self.values(_TEXTS)

    def test_texts_come_back_as_they_are(self, path: Path) -> None:
        texts = [*_ODD_TEXTS, "x" * 100_000]
        self.write(path, texts)
        assert _column(self.read(path)) == self.values(texts)

    @pytest.mark.parametrize("batch_rows", [1, 7, 1000])
    def test_a_batch_has_at_most_the_rows_asked_for(self, path: Path, batch_rows: int) -> None:
        self.write(path, _TEXTS)
        sizes = [batch.num_rows for batch in self.read(path, batch_rows)]
        assert 0 < min(sizes) <= max(sizes) <= batch_rows

    def test_a_batch_has_the_columns_asked_for(self, path: Path) -> None:
        self.write(path, _TEXTS)
        assert all(batch.schema.equals(self.schema(path)) for batch in self.read(path))

    def test_a_batch_of_large_records_has_few_rows(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(base, "MAX_BATCH_BYTES", _MAX_BATCH_BYTES)
        texts = ["x" * size for size in [*([2000] * 100), *([10] * 300), 300_000, 10, 10]]
        self.write(path, texts)
        batches = self.read(path, 2048)
        assert _column(batches) == self.values(texts)
        for start, batch in _with_starts(batches):
            sizes = [len(text) for text in texts[start : start + batch.num_rows]]
            assert sum(sizes) - max(sizes) <= _MAX_BATCH_BYTES

    def test_a_file_can_be_read_twice_and_beside_another(self, path: Path) -> None:
        other = path.with_name(f"b{self.suffix}")
        self.write(path, _TEXTS)
        self.write(other, _TEXTS[:50])
        schema = self.schema(path)
        readings = [self.reader.read(str(file), schema, 7) for file in (path, other, path)]
        by_turns = list(zip_longest(*readings))
        for number, texts in enumerate((_TEXTS, _TEXTS[:50], _TEXTS)):
            batches = [turn[number] for turn in by_turns if turn[number] is not None]
            assert _column(batches) == self.values(texts)

    # --- Records that cannot be read, and no records at all --------------------------------------

    def test_a_record_that_cannot_be_read_is_a_row_of_nulls_and_marked(self, path: Path) -> None:
        if not self.rejects:
            pytest.skip("the format has no record that cannot be read among others")
        texts = [None if n % 3 == 1 else text for n, text in enumerate(_TEXTS)]
        self.write(path, texts)
        batches = self.read(path, 40)
        expected = [None if text is None else self.value(text) for text in texts]
        assert _column(batches) == expected
        reasons = _rejected(batches)
        assert list(reasons) == [n for n, text in enumerate(texts) if text is None]
        assert all(reasons.values())

    def test_a_batch_keeps_its_size_however_many_records_it_cannot_read(self, path: Path) -> None:
        if not self.rejects:
            pytest.skip("the format has no record that cannot be read among others")
        sizes = []
        for texts in (_TEXTS, [None if n % 3 == 1 else text for n, text in enumerate(_TEXTS)]):
            self.write(path, texts)
            sizes.append([batch.num_rows for batch in self.read(path, 40)])
        assert sizes == [[40, 40, 20]] * 2

    def test_a_file_without_records_gives_no_rows(self, path: Path) -> None:
        full = path.with_name(f"full{self.suffix}")
        self.write(full, _TEXTS)
        self.write(path, [])
        for schema in (self.schema(full), self.reader.infer_schema(str(path))):
            batches = self.reader.read(str(path), schema, 7)
            assert sum(batch.num_rows for batch in batches) == 0

    def test_a_column_without_a_value_has_the_type_null_and_can_be_read(self, path: Path) -> None:
        self.write_empty_column(path, _TEXTS)
        inferred = self.reader.infer_schema(str(path))
        assert pa.types.is_null(inferred.field("empty").type)
        schema = pa.schema([inferred.field("text"), ("empty", pa.string())])
        batches = list(self.reader.read(str(path), schema, 7))
        assert not _rejected(batches)
        assert _column(batches) == self.values(_TEXTS)
        assert not any(_column(batches, "empty"))

    # --- Files -----------------------------------------------------------------------------------

    def test_a_gzipped_file_is_read_like_any_other(self, path: Path) -> None:
        zipped = self._gzipped(path)
        assert _column(self.read(zipped)) == self.values(_TEXTS)

    def test_a_gzipped_file_that_is_cut_short_is_an_error_that_names_it(self, path: Path) -> None:
        zipped = self._gzipped(path)
        content = zipped.read_bytes()
        for length in (len(content) // 2, len(content) - 9, len(content) - 1):
            zipped.write_bytes(content[:length])
            self.check_error_names(zipped)

    def test_a_file_that_is_cut_short_is_an_error_that_names_it(self, path: Path) -> None:
        if not self.framed:
            pytest.skip("the format does not tell where a file ends")
        self.write(path, _TEXTS)
        content = path.read_bytes()
        for length in (1, 2, len(content) - 2, len(content) - 1):
            path.write_bytes(content[:length])
            self.check_error_names(path)

    def test_a_damaged_file_is_an_error_that_names_it(self, path: Path) -> None:
        if not (self.gzips or self.framed):
            pytest.skip("the format takes any bytes")
        path.write_bytes(b"\x1f\x8b begins like gzip and is nothing of the kind")
        self.check_error_names(path)

    def test_a_file_that_is_not_there_is_an_error_that_names_it(self, path: Path) -> None:
        self.check_error_names(path)

    def test_a_file_on_a_remote_filesystem_is_read_like_any_other(self, path: Path) -> None:
        self.write(path, _TEXTS)
        with RemoteFileSystem.at(path.parent):
            assert _column(self.read(f"remote://{path.name}")) == self.values(_TEXTS)

    def _gzipped(self, path: Path) -> Path:
        if not self.gzips:
            pytest.skip("the format is never gzipped")
        self.write(path, _TEXTS)
        zipped = path.with_name(f"{path.name}.gz")
        zipped.write_bytes(gzip.compress(path.read_bytes()))
        return zipped


def _column(batches: Sequence[pa.RecordBatch], name: str = "text") -> list[Any]:
    columns = (batch.column(batch.schema.get_field_index(name)) for batch in batches)
    return [value for column in columns for value in column.to_pylist()]


def _with_starts(batches: Sequence[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Each batch with the number of its first row."""
    start = 0
    for batch in batches:
        yield start, batch
        start += batch.num_rows


def _rejected(batches: Sequence[pa.RecordBatch]) -> dict[int, str]:
    """Row of the file -> why it was rejected."""
    return {
        start + row: reason
        for start, batch in _with_starts(batches)
        for row, reason in rejected_of(batch).items()
    }
