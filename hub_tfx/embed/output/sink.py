"""Record batches -> part files under temporary names; commit.py gives them their final names."""

import hashlib
import os
import tempfile
import time
import uuid
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from hub_tfx._files import remove_older, sync
from hub_tfx.data.filesystems import is_local, upload, write_bytes
from hub_tfx.data.marks import Position
from hub_tfx.embed.limits import DEFAULT_LIMITS, EmbedLimits
from hub_tfx.embed.output.layout import EMBEDDINGS, OutputLayout
from hub_tfx.embed.output.writers import PART_FILES, PartFile
from hub_tfx.embed.rows import BatchStats
from hub_tfx.errors import OutputError
from hub_tfx.module.hashes import hash_file

_DIGESTS = ".digests"
_LOCAL_COPY = "hub_tfx-part-"
_KILLED_S = 24 * 3600
"""Seconds after which a part that nothing was written to is taken for that of a killed worker."""


@dataclass(frozen=True)
class Part:
    """A complete part file, still under its temporary name.

    Attributes:
      kind: ``embeddings`` or ``dead_letters``.
      path: path under the temporary name.
      position: position of the first row.
      last: position of the first row of the last batch that went into the file.
      rows, size_bytes, sha256: number of rows, size and hash of the file.
      digests_sha256: SHA-256 of the file with the rows' digests; empty for dead letters.
      reused, duplicates: how many of the rows are copies; see EmbeddedRows.
      sizes: numbers of rows by what they feed; see rows.count_sizes.
      schema: the columns, as text.
      finished_s: Unix time at which it was complete.
    """

    kind: str
    path: str
    position: Position
    last: Position
    rows: int
    size_bytes: int
    sha256: str
    digests_sha256: str
    reused: int
    duplicates: int
    sizes: Mapping[str, int]
    schema: str
    finished_s: float

    @property
    def digests_path(self) -> str:
        return f"{self.path}{_DIGESTS}"

    @property
    def files(self) -> dict[str, str]:
        """Paths of the part and of its digests -> SHA-256."""
        digests = {self.digests_path: self.digests_sha256} if self.digests_sha256 else {}
        return {self.path: self.sha256, **digests}


class WriteParts(beam.PTransform):  # type: ignore[misc]
    """Writes record batches of one kind to temporary part files: a PCollection of Part."""

    def __init__(self, kind: str, layout: OutputLayout, limits: EmbedLimits = DEFAULT_LIMITS):
        super().__init__()
        self._write = _WriteParts(kind, layout, limits)

    def expand(self, batches: Any) -> Any:
        return batches | "Write" >> beam.ParDo(self._write)


class _WriteParts(beam.DoFn):  # type: ignore[misc]
    def __init__(self, kind: str, layout: OutputLayout, limits: EmbedLimits):
        self._kind = kind
        self._layout = layout
        self._limits = limits
        self._writer: PartWriter | None = None

    def setup(self) -> None:
        if not is_local(self._layout.temporary):
            remove_older(Path(tempfile.gettempdir()), f"{_LOCAL_COPY}*", _KILLED_S)

    def start_bundle(self) -> None:
        self._writer = None

    def process(self, batch: pa.RecordBatch) -> Iterator[Part]:
        position = Position.of(batch)
        if self._writer is not None and self._writer.block != position.block:
            yield self._finish()
        with _writing_to(self._layout):
            if self._writer is None:
                schema = batch.schema.remove_metadata()
                self._writer = PartWriter(self._kind, self._layout, schema, position, self._limits)
            self._writer.write(batch)
            is_full = self._writer.size_bytes >= self._limits.part_bytes
        if is_full:
            yield self._finish()

    def finish_bundle(self) -> Iterator[Any]:
        if self._writer is not None:
            yield beam.utils.windowed_value.WindowedValue(
                self._finish(), 0, [beam.transforms.window.GlobalWindow()]
            )

    def _finish(self) -> Part:
        assert self._writer is not None
        writer, self._writer = self._writer, None
        with _writing_to(self._layout):
            return writer.finish()


@contextmanager
def _writing_to(layout: OutputLayout) -> Iterator[None]:
    try:
        yield
    except (OSError, BeamIOError) as error:
        raise OutputError(f"cannot write to {layout.folders[EMBEDDINGS]}: {error}") from error


class PartWriter:
    """One part file: written on this machine, copied where the output is elsewhere."""

    def __init__(
        self,
        kind: str,
        layout: OutputLayout,
        schema: pa.Schema,
        position: Position,
        limits: EmbedLimits = DEFAULT_LIMITS,
    ):
        self._kind = kind
        self._position = self._last = position
        self._schema = schema
        self._rows = self._reused = self._duplicates = 0
        self._digests: list[bytes] = []
        self._sizes: Counter[str] = Counter()
        self._final = FileSystems.join(layout.temporary, f"{kind}-{uuid.uuid4().hex}")
        self._is_local = is_local(self._final)
        if self._is_local:
            os.makedirs(layout.temporary, exist_ok=True)
            self._path = self._final
        else:
            handle, self._path = tempfile.mkstemp(prefix=_LOCAL_COPY)
            os.close(handle)
            # Also where a step before it fails, so that nobody ever finishes the part.
            weakref.finalize(self, _remove, self._path)
        self._file: PartFile = PART_FILES[layout.format](self._path, self._schema, limits)

    @property
    def block(self) -> str:
        return self._position.block

    @property
    def size_bytes(self) -> int:
        return os.path.getsize(self._path)

    def write(self, batch: pa.RecordBatch) -> None:
        self._file.write(batch)
        self._rows += batch.num_rows
        self._last = Position.of(batch)
        stats = BatchStats.of(batch)
        self._digests.append(stats.digests)
        self._reused += stats.reused
        self._duplicates += stats.duplicates
        self._sizes.update(stats.sizes)

    def finish(self) -> Part:
        self._file.close()
        size_bytes, sha256 = hash_file(Path(self._path))
        if self._is_local:
            sync(Path(self._path))
        else:
            try:
                upload(Path(self._path), self._final)
            finally:
                _remove(self._path)
        return Part(
            self._kind,
            self._final,
            self._position,
            self._last,
            self._rows,
            size_bytes,
            sha256,
            self._finish_digests(),
            self._reused,
            self._duplicates,
            dict(self._sizes),
            str(self._schema),
            time.time(),
        )

    def _finish_digests(self) -> str:
        """Writes the digests, and returns the SHA-256 of their file."""
        if self._kind != EMBEDDINGS:
            return ""
        content, path = b"".join(self._digests), f"{self._final}{_DIGESTS}"
        write_bytes(path, content)
        if self._is_local:
            sync(Path(path))
        return hashlib.sha256(content).hexdigest()


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.remove(path)
