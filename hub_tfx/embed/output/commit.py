"""The end of an embedding job.

Part files were written under temporary names. Only when all of them are there, and every record of
the input is accounted for, do they get their final names, and a manifest last; a failure on the way
there leaves the output as it was.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems

from hub_tfx.data.filesystems import delete_file, make_folder, write_bytes
from hub_tfx.data.marks import Position
from hub_tfx.embed.dead_letters import DEAD_LETTERS
from hub_tfx.embed.output.layout import DIGESTS, EMBEDDINGS, OutputLayout
from hub_tfx.embed.output.resume import NOTHING_FINISHED, Finished
from hub_tfx.embed.output.sink import Part, PartWriter
from hub_tfx.embed.read import Block
from hub_tfx.errors import IncompleteError, OutputError, RejectedRowsError


class CommitParts(beam.PTransform):  # type: ignore[misc]
    """Gives the parts of one output their final names; a PCollection of the one manifest (a dict).

    The job fails, and leaves the output as it was, where records were lost (IncompleteError), where
    parts differ in their columns (OutputError), and where too many were rejected
    (RejectedRowsError: then the dead letters alone are committed, for a person to read).
    """

    def __init__(
        self,
        layout: OutputLayout,
        schemas: Mapping[str, pa.Schema],
        about: Mapping[str, Any],
        max_dead_letter_ratio: float = 1.0,
        finished: Finished = NOTHING_FINISHED,
    ):
        """Args:
        layout: where the parts go.
        schemas: kind of part -> its columns, for an output without a row.
        about: what else the manifest says.
        max_dead_letter_ratio: see EmbedConfig.
        finished: by an earlier run, in the same temporary folder.
        """
        super().__init__()
        self._commit = _Commit(layout, schemas, about, max_dead_letter_ratio, finished)

    def expand(self, inputs: Any) -> Any:
        parts, blocks = inputs
        return (
            parts.pipeline
            | "Once" >> beam.Create([None])
            | "Commit"
            >> beam.Map(self._commit, beam.pvalue.AsList(parts), beam.pvalue.AsList(blocks))
        )


@dataclass(frozen=True)
class _Commit:
    layout: OutputLayout
    schemas: Mapping[str, pa.Schema]
    about: Mapping[str, Any]
    max_dead_letter_ratio: float
    finished: Finished

    def __call__(self, _: None, parts: Sequence[Part], blocks: Sequence[Block]) -> dict[str, Any]:
        working_s = _working_s(parts, blocks)
        parts, blocks = [*self.finished.parts, *parts], [*self.finished.blocks, *blocks]
        by_kind = {
            kind: sorted(
                (part for part in parts if part.kind == kind),
                key=lambda part: (part.position.source, part.position.first_row),
            )
            for kind in (EMBEDDINGS, DEAD_LETTERS)
        }
        rows = {kind: sum(part.rows for part in of_kind) for kind, of_kind in by_kind.items()}
        records = sum(block.records for block in blocks)
        if records != sum(rows.values()):
            raise IncompleteError(
                f"{records} records were read, but {rows[EMBEDDINGS]} were embedded and "
                f"{rows[DEAD_LETTERS]} rejected: nothing was committed; run the job again"
            )
        _check_schemas(by_kind[EMBEDDINGS])
        rejected = _too_many_rejected(rows[DEAD_LETTERS], records, self.max_dead_letter_ratio)
        dead_letters = self._publish(DEAD_LETTERS, by_kind[DEAD_LETTERS])
        if rejected:
            raise RejectedRowsError(f"{rejected}; see {self.layout.folders[DEAD_LETTERS]}")
        delete_file(self.layout.manifest)  # It would name parts that are about to go.
        manifest = {
            **self.about,
            "format": self.layout.format,
            "rows": rows[EMBEDDINGS],
            "dead_letters": rows[DEAD_LETTERS],
            "reused": sum(part.reused for part in by_kind[EMBEDDINGS]),
            "duplicates": sum(part.duplicates for part in by_kind[EMBEDDINGS]),
            "row_bytes": _sizes(by_kind[EMBEDDINGS]),
            "resumed_records": self.finished.records,
            "working_s": working_s,
            "files": self._publish(EMBEDDINGS, by_kind[EMBEDDINGS]),
            "dead_letter_files": dead_letters,
            "inputs": _records_of_files(blocks),
        }
        self._write_manifest(manifest)
        return manifest

    def _publish(self, kind: str, parts: Sequence[Part]) -> list[dict[str, Any]]:
        """Moves the parts of one kind to their final names, where none of an earlier run remain."""
        if not parts:  # An explicit empty result.
            parts = [PartWriter(kind, self.layout, self.schemas[kind], Position()).finish()]
        finals = self._move(kind, [part.path for part in parts])
        files = [
            {
                "name": FileSystems.split(final)[1],
                "rows": part.rows,
                "size_bytes": part.size_bytes,
                "sha256": part.sha256,
            }
            for part, final in zip(parts, finals, strict=True)
        ]
        if kind != EMBEDDINGS:
            return files
        self._move(DIGESTS, [part.digests_path for part in parts])
        return [
            {**file, "digests_sha256": part.digests_sha256}
            for file, part in zip(files, parts, strict=True)
        ]

    def _move(self, kind: str, paths: Sequence[str]) -> list[str]:
        """Their final paths."""
        make_folder(self.layout.folders[kind])
        finals = [self.layout.part(kind, i, len(paths)) for i in range(len(paths))]
        # A retry of this bundle finds what it moved the first time; the rest is an earlier output.
        todo = {
            path: final
            for path, final in zip(paths, finals, strict=True)
            if FileSystems.exists(path)
        }
        moved = set(finals) - set(todo.values())
        for final in moved:
            if not FileSystems.exists(final):
                raise IncompleteError(f"the part for {final} is gone: run the job again")
        for path in self.layout.parts_there(kind):
            if path not in moved:
                delete_file(path)
        if todo:
            FileSystems.rename(list(todo), list(todo.values()))
        return finals

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        temporary = FileSystems.join(self.layout.temporary, "manifest")
        make_folder(self.layout.temporary)
        write_bytes(temporary, json.dumps(manifest, indent=2).encode())
        FileSystems.rename([temporary], [self.layout.manifest])


def _check_schemas(parts: Sequence[Part]) -> None:
    for part in parts[1:]:
        if part.schema != parts[0].schema:
            raise OutputError(
                f"workers disagree about the columns: {parts[0].schema!r} for the rows from "
                f"{parts[0].position.key(0)}, {part.schema!r} for those from {part.position.key(0)}"
            )


def _too_many_rejected(dead_letters: int, records: int, max_ratio: float) -> str | None:
    if not dead_letters or (dead_letters < records and dead_letters <= max_ratio * records):
        return None
    allowed = "not all may be" if dead_letters == records else f"{max_ratio:.1%} may be"
    return f"{dead_letters} of {records} records were rejected, {allowed}: no embeddings written"


def _sizes(parts: Sequence[Part]) -> list[tuple[int, int]]:
    """(bytes from which on, rows), ascending: see embedded.count_sizes."""
    sizes: Counter[str] = Counter()
    for part in parts:
        sizes.update(part.sizes)
    return sorted((int(size), rows) for size, rows in sizes.items())


def _records_of_files(blocks: Sequence[Block]) -> dict[str, int]:
    records: Counter[str] = Counter()
    for block in blocks:
        for rows in block.rows:
            records[rows.path] += rows.stop - rows.start
    return dict(sorted(records.items()))


def _working_s(parts: Sequence[Part], blocks: Sequence[Block]) -> float:
    """Seconds from the first read to the last complete part: without imports and module load."""
    if not parts or not blocks:
        return 0.0
    return max(part.finished_s for part in parts) - min(block.started_s for block in blocks)
