"""The end of an embedding job.

Part files were written under temporary names. Only when all of them are there, and every record of
the input is accounted for, do they get their final names, and a manifest last; a failure on the way
there leaves the outputs as they were.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems

from hub_tfx.data.filesystems import delete_file, make_folder, replace_file
from hub_tfx.data.marks import Position
from hub_tfx.embed.dead_letters import DEAD_LETTERS, check_rejected
from hub_tfx.embed.manifest import OutputManifest, WrittenFile
from hub_tfx.embed.output.layout import DIGESTS, EMBEDDINGS, OutputLayout
from hub_tfx.embed.output.resume import NOTHING_FINISHED, Finished
from hub_tfx.embed.output.sink import Part, PartWriter
from hub_tfx.embed.read import Block
from hub_tfx.errors import IncompleteError, OutputError


@dataclass(frozen=True)
class PlannedOutput:
    """What is known of an output before its job runs.

    Attributes:
      layout: where the files of the output go.
      manifest: manifest that still lacks rows and files.
      schemas: kind of part -> its columns, for an output without a row.
      finished: what an earlier run has finished in the same temporary folder.
    """

    layout: OutputLayout
    manifest: OutputManifest
    schemas: Mapping[str, pa.Schema]
    finished: Finished = NOTHING_FINISHED


class CommitParts(beam.PTransform):  # type: ignore[misc]
    """Gives the parts of all outputs their final names; a PCollection of the list of manifests.

    Takes, for each output, a PCollection of Part and one of Block. The job fails, and leaves the
    outputs as they were, where records were lost (IncompleteError), where parts differ in their
    columns (OutputError), and where too many rows of all outputs together were rejected
    (RejectedRowsError: then the dead letters alone are committed, for a person to read).
    """

    def __init__(self, outputs: Sequence[PlannedOutput], max_dead_letter_ratio: float = 1.0):
        """A commit.

        Args:
          outputs: the outputs, in the order of the PCollections.
          max_dead_letter_ratio: largest share of rows that may be rejected; see EmbedConfig.
        """
        super().__init__()
        self._commit = _Commit(tuple(outputs), max_dead_letter_ratio)

    def expand(self, written: Any) -> Any:
        sides = [beam.pvalue.AsList(of_output) for pair in written for of_output in pair]
        return (
            written[0][0].pipeline
            | "Once" >> beam.Create([None])
            | "Commit" >> beam.Map(self._commit, *sides)
        )


@dataclass(frozen=True)
class _Commit:
    outputs: tuple[PlannedOutput, ...]
    max_dead_letter_ratio: float

    def __call__(self, _: None, *written: Sequence[Any]) -> list[OutputManifest]:
        pairs = zip(self.outputs, written[::2], written[1::2], strict=True)
        outputs = [_WrittenOutput.of(*pair) for pair in pairs]
        for output in outputs:
            output.check()
        dead_letters = [output.publish_dead_letters() for output in outputs]
        check_rejected(
            sum(output.rows[DEAD_LETTERS] for output in outputs),
            sum(output.records for output in outputs),
            self.max_dead_letter_ratio,
            "no embeddings were written",
        )
        return [output.publish(files) for output, files in zip(outputs, dead_letters, strict=True)]


@dataclass(frozen=True)
class _WrittenOutput:
    """An output with all of its parts, in the order of the rows."""

    planned: PlannedOutput
    parts: Mapping[str, Sequence[Part]]
    blocks: Sequence[Block]
    working_s: float

    @classmethod
    def of(
        cls, planned: PlannedOutput, parts: Sequence[Part], blocks: Sequence[Block]
    ) -> "_WrittenOutput":
        of_all = sorted(
            [*planned.finished.parts, *parts],
            key=lambda part: (part.position.source, part.position.first_row),
        )
        by_kind = {
            kind: [part for part in of_all if part.kind == kind]
            for kind in (EMBEDDINGS, DEAD_LETTERS)
        }
        all_blocks = [*planned.finished.blocks, *blocks]
        return cls(planned, by_kind, all_blocks, _working_s(parts, blocks))

    @property
    def rows(self) -> Mapping[str, int]:
        return {kind: sum(part.rows for part in of_kind) for kind, of_kind in self.parts.items()}

    @property
    def records(self) -> int:
        return sum(block.records for block in self.blocks)

    def check(self) -> None:
        """Raises IncompleteError or OutputError, see CommitParts."""
        rows = self.rows
        if self.records != sum(rows.values()):
            raise IncompleteError(
                f"{self.records} records were read, but {rows[EMBEDDINGS]} were embedded and "
                f"{rows[DEAD_LETTERS]} rejected: nothing was committed; run the job again"
            )
        _check_schemas(self.parts[EMBEDDINGS])

    def publish_dead_letters(self) -> tuple[WrittenFile, ...]:
        return self._publish(DEAD_LETTERS)

    def publish(self, dead_letter_files: tuple[WrittenFile, ...]) -> OutputManifest:
        """Moves the embeddings to their final names, and writes the manifest."""
        layout, embedded = self.planned.layout, self.parts[EMBEDDINGS]
        delete_file(layout.manifest)  # It would name parts that are about to go.
        manifest = replace(
            self.planned.manifest,
            rows=self.rows[EMBEDDINGS],
            dead_letters=self.rows[DEAD_LETTERS],
            reused=sum(part.reused for part in embedded),
            duplicates=sum(part.duplicates for part in embedded),
            row_bytes=_sizes(embedded),
            resumed_records=self.planned.finished.records,
            working_s=self.working_s,
            files=self._publish(EMBEDDINGS),
            dead_letter_files=dead_letter_files,
            inputs=_records_of_files(self.blocks),
        )
        replace_file(layout.manifest, manifest.to_json().encode())
        return manifest

    def _publish(self, kind: str) -> tuple[WrittenFile, ...]:
        """Moves the parts of one kind to their final names, and removes those of an earlier run."""
        parts = self.parts[kind] or [self._empty_part(kind)]
        finals = self._move(kind, [part.path for part in parts])
        if kind == EMBEDDINGS:
            self._move(DIGESTS, [part.digests_path for part in parts])
        return tuple(
            WrittenFile(
                FileSystems.split(final)[1],
                part.rows,
                part.size_bytes,
                part.sha256,
                part.digests_sha256 or None,
            )
            for part, final in zip(parts, finals, strict=True)
        )

    def _empty_part(self, kind: str) -> Part:
        """A part without rows, so that an empty result is explicit."""
        planned = self.planned
        return PartWriter(kind, planned.layout, planned.schemas[kind], Position()).finish()

    def _move(self, kind: str, paths: Sequence[str]) -> list[str]:
        """Moves parts to their final paths, and returns these."""
        layout = self.planned.layout
        make_folder(layout.folders[kind])
        finals = [layout.part(kind, i, len(paths)) for i in range(len(paths))]
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
        for path in layout.parts_there(kind):
            if path not in moved:
                delete_file(path)
        if todo:
            FileSystems.rename(list(todo), list(todo.values()))
        return finals


def _check_schemas(parts: Sequence[Part]) -> None:
    for part in parts[1:]:
        if part.schema != parts[0].schema:
            raise OutputError(
                f"workers disagree about the columns: {parts[0].schema!r} for the rows from "
                f"{parts[0].position.key(0)}, {part.schema!r} for those from {part.position.key(0)}"
            )


def _sizes(parts: Sequence[Part]) -> tuple[tuple[int, int], ...]:
    """(least bytes of a size, rows) of all parts, ascending; see rows.count_sizes."""
    sizes: Counter[str] = Counter()
    for part in parts:
        sizes.update(part.sizes)
    return tuple(sorted((int(size), rows) for size, rows in sizes.items()))


def _records_of_files(blocks: Sequence[Block]) -> dict[str, int]:
    records: Counter[str] = Counter()
    for block in blocks:
        for rows in block.rows:
            records[rows.path] += rows.stop - rows.start
    return dict(sorted(records.items()))


def _working_s(parts: Sequence[Part], blocks: Sequence[Block]) -> float:
    """Seconds from the first read to the last complete part, without imports and module load."""
    if not parts or not blocks:
        return 0.0
    return max(part.finished_s for part in parts) - min(block.started_s for block in blocks)
