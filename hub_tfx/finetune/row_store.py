"""Serialized tf.Examples on the disk, which come back in any order."""

import hashlib
import os
import tempfile
from array import array
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import tensorflow as tf

from hub_tfx.errors import OutputError


class RowStore:
    """Rows in one scratch file without a name; in memory is where each of them begins.

    Files are often sorted by label, and training shuffles within a window only, so all rows are
    shuffled once before. With ``with``, the file goes at the end; however the process ends, the
    operating system frees it.
    """

    def __init__(self, near: Path):
        """A store on the disk of a folder, which need not be there yet."""
        self._folder = next(
            folder for folder in (near, *near.absolute().parents) if folder.is_dir()
        )
        self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        self._ends = array("q", [0])
        self._sha256 = hashlib.sha256()

    def __enter__(self) -> "RowStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._ends) - 1

    @property
    def size_bytes(self) -> int:
        """Bytes of all rows."""
        return self._ends[-1]

    @property
    def digest(self) -> str:
        """SHA-256 of what the rows hold, in hex."""
        return self._sha256.hexdigest()

    def add(self, examples: Iterable[bytes], columns: pa.RecordBatch) -> None:
        """Adds rows; raises OutputError where there is no room.

        Args:
          examples: the rows.
          columns: what they hold. The digest is taken of these, since equal tf.Examples differ in
            their bytes: their features are in no order.
        """
        self._sha256.update(columns.schema.to_string().encode())
        self._sha256.update(columns.serialize())
        try:
            for example in examples:
                self._file.write(example)
                self._ends.append(self._ends[-1] + len(example))
        except OSError as error:
            raise OutputError(f"cannot write to {self._folder}: {error}") from error

    def write(self, rows: Iterable[int], path: Path) -> None:
        """Writes some rows, in this order, as one TFRecord file; raises OutputError."""
        self._file.flush()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tf.io.TFRecordWriter(str(path)) as writer:
                for row in rows:
                    start, end = self._ends[row], self._ends[row + 1]
                    writer.write(os.pread(self._file.fileno(), end - start, start))
        except (OSError, tf.errors.OpError) as error:
            raise OutputError(f"cannot write {path}: {error}") from error
