"""Record batches -> part files under temporary names; commit.py gives them their final ones."""

import json
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from hub_tfx._files import sync
from hub_tfx.embed.examples import to_example_columns
from hub_tfx.embed.failures import Position
from hub_tfx.embed.files import is_local, upload
from hub_tfx.embed.source import DEAD_LETTERS
from hub_tfx.embed.transform import EMBEDDINGS
from hub_tfx.errors import OutputError
from hub_tfx.module.manifest import hash_file

OutputFormat = Literal["parquet", "tfrecord"]
MADE_BY = "hub_tfx"
MANIFEST_NAME = "manifest.json"
TEMPORARY = ".tmp-"
"""What the names of files and folders begin with that are gone when a job ends."""
_PART = re.compile(r"(embeddings|dead_letters)-\d{5,}-of-\d{5,}\.(parquet|tfrecord\.gz)$")
_MAX_PART_BYTES = 256 << 20
_ROW_GROUP_ROWS = 1 << 16
_ROW_GROUP_BYTES = 64 << 20
_ENDINGS = {"parquet": ".parquet", "tfrecord": ".tfrecord.gz"}


@dataclass(frozen=True)
class OutputLayout:
    """Where the files of one output go, on any Beam filesystem.

    Attributes:
      folders: ``embeddings`` and ``dead_letters`` -> folder of its parts.
      manifest: path of the manifest.
      temporary: a folder for what is not committed yet.
      format: of the parts.
    """

    folders: Mapping[str, str]
    manifest: str
    temporary: str
    format: OutputFormat

    @classmethod
    def of_split(cls, embeddings: str, dead_letters: str, split: str) -> "OutputLayout":
        """``Split-{split}/`` of two Examples artifacts.

        Every file in there is data, so the manifest is ``{embeddings}/manifest-{split}.json``.
        """
        return cls(
            folders={
                EMBEDDINGS: FileSystems.join(embeddings, f"Split-{split}"),
                DEAD_LETTERS: FileSystems.join(dead_letters, f"Split-{split}"),
            },
            manifest=FileSystems.join(embeddings, f"manifest-{split}.json"),
            temporary=FileSystems.join(embeddings, f"{TEMPORARY}{uuid.uuid4().hex}"),
            format="tfrecord",
        )

    @classmethod
    def of_directory(cls, output: str, output_format: OutputFormat) -> "OutputLayout":
        """``embeddings-?????-of-?????.parquet``, ``dead_letters/…`` and ``manifest.json``."""
        return cls(
            folders={
                EMBEDDINGS: output,
                DEAD_LETTERS: FileSystems.join(output, DEAD_LETTERS),
            },
            manifest=FileSystems.join(output, MANIFEST_NAME),
            temporary=FileSystems.join(output, f"{TEMPORARY}{uuid.uuid4().hex}"),
            format=output_format,
        )

    def part(self, kind: str, index: int, count: int) -> str:
        name = f"{kind}-{index:05d}-of-{count:05d}{_ENDINGS[self.format]}"
        return str(FileSystems.join(self.folders[kind], name))

    def parts_there(self, kind: str) -> list[str]:
        """Paths of the parts that are in the folder, of any job and format, sorted."""
        folder = self.folders[kind]
        if is_local(folder):  # Whose name may hold characters that a glob gives a meaning.
            paths = [str(path) for path in Path(folder).iterdir()]
        else:
            found = FileSystems.match([FileSystems.join(folder, "*")])[0].metadata_list
            paths = [metadata.path for metadata in found]
        return [path for path in sorted(paths) if _PART.match(FileSystems.split(path)[1])]


@dataclass(frozen=True)
class Part:
    """A part file that is complete, still under its temporary name.

    Attributes:
      kind: ``embeddings`` or ``dead_letters``.
      path: the temporary name.
      position: of its first row.
      rows, size_bytes, sha256: what it holds.
      schema: its columns, in words.
      dimension: values of a row's vector; None where a row has not one vector.
      finished_s: Unix time at which it was complete.
    """

    kind: str
    path: str
    position: Position
    rows: int
    size_bytes: int
    sha256: str
    schema: str
    dimension: int | None
    finished_s: float


def is_ours(path: Path) -> bool:
    """Whether a file in an output folder is one that a job of ours left there."""
    if path.name == MANIFEST_NAME:
        try:
            return bool(json.loads(path.read_text())["made_by"] == MADE_BY)
        except (OSError, ValueError, KeyError, TypeError):
            return False
    return path.name.startswith(TEMPORARY) or _PART.match(path.name) is not None


class WriteParts(beam.PTransform):  # type: ignore[misc]
    """Writes record batches of one kind to temporary part files: a PCollection of Part."""

    def __init__(self, kind: str, layout: OutputLayout):
        super().__init__()
        self._write = _WriteParts(kind, layout)

    def expand(self, batches: Any) -> Any:
        return batches | "Write" >> beam.ParDo(self._write)


class _WriteParts(beam.DoFn):  # type: ignore[misc]
    def __init__(self, kind: str, layout: OutputLayout):
        self._kind = kind
        self._layout = layout
        self._writer: PartWriter | None = None

    def process(self, batch: pa.RecordBatch) -> Iterator[Part]:
        with _writing_to(self._layout):
            if self._writer is None:
                schema = batch.schema.remove_metadata()
                self._writer = PartWriter(self._kind, self._layout, schema, Position.of(batch))
            self._writer.write(batch)
            is_full = self._writer.size_bytes >= _MAX_PART_BYTES
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

    def __init__(self, kind: str, layout: OutputLayout, schema: pa.Schema, position: Position):
        self._kind = kind
        self._position = position
        self._schema = schema
        self._rows = 0
        self._final = FileSystems.join(layout.temporary, f"{kind}-{uuid.uuid4().hex}")
        self._is_local = is_local(self._final)
        if self._is_local:
            os.makedirs(layout.temporary, exist_ok=True)
            self._path = self._final
        else:
            handle, self._path = tempfile.mkstemp()
            os.close(handle)
        self._file: _File = _FILES[layout.format](self._path, self._schema)

    @property
    def size_bytes(self) -> int:
        return os.path.getsize(self._path)

    def write(self, batch: pa.RecordBatch) -> None:
        self._file.write(batch)
        self._rows += batch.num_rows

    def finish(self) -> Part:
        self._file.close()
        size_bytes, sha256 = hash_file(Path(self._path))
        if self._is_local:
            sync(Path(self._path))
        else:
            upload(Path(self._path), self._final)
            os.remove(self._path)
        return Part(
            self._kind,
            self._final,
            self._position,
            self._rows,
            size_bytes,
            sha256,
            str(self._schema),
            dimension_of(self._schema),
            time.time(),
        )


def dimension_of(schema: pa.Schema) -> int | None:
    """Size of the one column of vectors, if there is one."""
    sizes = [field.type.list_size for field in schema if pa.types.is_fixed_size_list(field.type)]
    return sizes[0] if len(sizes) == 1 else None


class _File(Protocol):
    def __init__(self, path: str, schema: pa.Schema): ...

    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


class _ParquetFile:
    def __init__(self, path: str, schema: pa.Schema):
        import pyarrow.parquet as pq

        # Neither a dictionary nor compression gains anything on floats, and both cost time.
        vectors = [f.name for f in schema if pa.types.is_fixed_size_list(f.type)]
        others = [f.name for f in schema if f.name not in vectors]
        self._writer = pq.ParquetWriter(
            path,
            schema,
            version="2.6",  # Keeps timestamps of nanoseconds.
            use_dictionary=others,
            write_statistics=others,
            compression={f"{v}.list.item": "NONE" for v in vectors}
            | dict.fromkeys(others, "SNAPPY"),
        )

        self._pending: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._pending.append(batch.replace_schema_metadata(None))
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _ROW_GROUP_ROWS or self._bytes >= _ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_batches(self._pending))
        self._pending, self._rows, self._bytes = [], 0, 0


class _ExampleFile:
    def __init__(self, path: str, schema: pa.Schema):
        import tensorflow as tf
        from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

        options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
        self._writer = tf.io.TFRecordWriter(path, options)
        self._encoder = RecordBatchToExamplesEncoder()

    def write(self, batch: pa.RecordBatch) -> None:
        examples = self._encoder.encode(to_example_columns(batch))
        with self._as_os_error():
            for example in examples:
                self._writer.write(example)

    def close(self) -> None:
        with self._as_os_error():
            self._writer.close()

    @contextmanager
    def _as_os_error(self) -> Iterator[None]:
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            raise OSError(error.message) from error


_FILES: Mapping[str, type[_File]] = {"parquet": _ParquetFile, "tfrecord": _ExampleFile}
