"""Rows that cannot be learned from: counted, and kept as embedding keeps dead letters."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from hub_tfx.embed.dead_letters import KEY, REASON, dead_letters
from hub_tfx.embed.output.writers import PART_FILES, PartFile
from hub_tfx.errors import OutputError

LEFT_OUT = "left_out"
"""Name of the folder, and of the files in it."""
_SHOWN = 10


@dataclass(frozen=True)
class LeftOutRow:
    """A row and why it was left out; ``key`` is ``{file}:{record}``, records counted from 1."""

    key: str
    reason: str


class LeftOutRows:
    """Writes rows with their reasons to ``left_out-00000-of-00001.parquet``, if there is any.

    Attributes:
      rows: how many there are.
      first: the first ones, for a report.
    """

    def __init__(self, folder: Path):
        """Removes what an earlier run has left in the folder."""
        self.rows = 0
        self.first: list[LeftOutRow] = []
        self._folder = folder
        self._file: PartFile | None = None
        shutil.rmtree(folder, ignore_errors=True)

    def add(self, rejected: Mapping[str, str]) -> None:
        """Adds rows: key -> reason."""
        if not rejected:
            return
        self.rows += len(rejected)
        room = _SHOWN - len(self.first)
        self.first += [LeftOutRow(*row) for row in list(rejected.items())[:room]]
        try:
            if self._file is None:
                self._folder.mkdir(parents=True)
                path = self._folder / f"{LEFT_OUT}-00000-of-00001.parquet"
                schema = pa.schema([(KEY, pa.string()), (REASON, pa.string())])
                self._file = PART_FILES["parquet"](str(path), schema)
            self._file.write(dead_letters(rejected, {}))
        except OSError as error:
            raise OutputError(f"cannot write to {self._folder}: {error}") from error

    def close(self) -> None:
        """Finishes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
