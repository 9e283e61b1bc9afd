"""The end of an embedding job.

Part files were written under temporary names. Only when all of them are there, and every record of
the input is accounted for, do they get their final names, beside the parts of an earlier output.
Then the manifest is replaced, in one step, and only then are the earlier parts removed. So a
process that is killed at any moment leaves the earlier output or the new one, whole.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems

from hub_tfx._files import sync
from hub_tfx.data.filesystems import (
    delete_file,
    is_local,
    make_folder,
    read_bytes,
    replace_file,
    sha256_of,
)
from hub_tfx.data.marks import Position
from hub_tfx.embed.dead_letters import DEAD_LETTERS, check_rejected
from hub_tfx.embed.manifest import OutputManifest, WrittenFile
from hub_tfx.embed.output.layout import (
    DIGESTS,
    EMBEDDINGS,
    OutputLayout,
    manifest_in_place,
    tag_of,
)
from hub_tfx.embed.output.lease import Lease
from hub_tfx.embed.output.resume import NOTHING_FINISHED, Finished
from hub_tfx.embed.output.sink import Part, PartWriter
from hub_tfx.embed.read import Block
from hub_tfx.errors import IncompleteError, InputError, OutputError, RejectedRowsError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedOutput:
    """What is known of an output before its job runs.

    Attributes:
      layout: where the files of the output go.
      manifest: manifest that still lacks rows and files.
      schemas: kind of part -> its columns, for an output without a row.
      finished: what an earlier run has finished in the same temporary folder.
      lease: what says that the output is written by this run alone; None where a lock does.
    """

    layout: OutputLayout
    manifest: OutputManifest
    schemas: Mapping[str, pa.Schema]
    finished: Finished = NOTHING_FINISHED
    lease: Lease | None = None


class CommitParts(beam.PTransform):  # type: ignore[misc]
    """Gives the parts of all outputs their final names; a PCollection of the list of manifests.

    Takes, for each output, a PCollection of Part and one of Block. The job fails, and leaves the
    outputs as they were, where records were lost (IncompleteError), where parts differ in their
    columns (OutputError), and where too many rows of all outputs together were rejected
    (RejectedRowsError: then the dead letters alone are committed, for a person to read), or where
    another run has taken an output over (OutputError).
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
        dead_letters = [output.place(DEAD_LETTERS) for output in outputs]
        try:
            check_rejected(
                sum(output.rows[DEAD_LETTERS] for output in outputs),
                sum(output.records for output in outputs),
                self.max_dead_letter_ratio,
                "no embeddings were written",
            )
        except RejectedRowsError:
            for output, files in zip(outputs, dead_letters, strict=True):
                output.remove_other_letters(files)
            raise
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
        self._check_lease()
        rows = self.rows
        if self.records != sum(rows.values()):
            raise IncompleteError(
                f"{self.records} records were read, but {rows[EMBEDDINGS]} were embedded and "
                f"{rows[DEAD_LETTERS]} rejected: nothing was committed; run the job again"
            )
        _check_schemas(self.parts[EMBEDDINGS])

    def place(self, kind: str) -> tuple[WrittenFile, ...]:
        """Gives the parts of one kind their final names, beside those of an earlier output."""
        layout = self.planned.layout
        parts = self.parts[kind] or [self._empty_part(kind)]
        names = [(i, len(parts), tag_of(*part.files.values())) for i, part in enumerate(parts)]
        finals = [layout.part(kind, *name) for name in names]
        _move(layout, kind, list(map(_Move.of_part, parts, finals)))
        if kind == EMBEDDINGS:
            digests = [layout.part(DIGESTS, *name) for name in names]
            _move(layout, DIGESTS, list(map(_Move.of_digests, parts, digests)))
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

    def publish(self, dead_letter_files: tuple[WrittenFile, ...]) -> OutputManifest:
        """Places the embeddings, replaces the manifest, and removes what is not in it."""
        layout, embedded = self.planned.layout, self.parts[EMBEDDINGS]
        manifest = replace(
            self.planned.manifest,
            rows=self.rows[EMBEDDINGS],
            dead_letters=self.rows[DEAD_LETTERS],
            reused=sum(part.reused for part in embedded),
            duplicates=sum(part.duplicates for part in embedded),
            row_bytes=_sizes(embedded),
            resumed_records=self.planned.finished.records,
            working_s=self.working_s,
            files=self.place(EMBEDDINGS),
            dead_letter_files=dead_letter_files,
            inputs=_records_of_files(self.blocks),
        )
        for folder in filter(is_local, layout.folders.values()):
            sync(Path(folder))  # The names, before the manifest that holds them.
        self._check_lease()
        content = manifest.to_json().encode()
        replace_file(layout.manifest, content)
        if read_bytes(layout.manifest) != content:
            raise OutputError(f"another run has replaced {layout.manifest}: run the job again")
        for kind in layout.folders:
            _remove_others(layout, kind, layout.parts_named(manifest, kind))
        return manifest

    def remove_other_letters(self, files: tuple[WrittenFile, ...]) -> None:
        """Removes dead letters that are neither these nor those of the output that stays."""
        layout = self.planned.layout
        named = [FileSystems.join(layout.folders[DEAD_LETTERS], file.name) for file in files]
        try:
            stays = manifest_in_place(layout)
        except InputError:  # Nobody knows which letters belong to it.
            return
        if stays is not None:
            named += layout.parts_named(stays, DEAD_LETTERS)
        _remove_others(layout, DEAD_LETTERS, named)

    def _check_lease(self) -> None:
        if self.planned.lease is not None:
            self.planned.lease.check()

    def _empty_part(self, kind: str) -> Part:
        """A part without rows, so that an empty result is explicit."""
        planned = self.planned
        return PartWriter(kind, planned.layout, planned.schemas[kind], Position()).finish()


@dataclass(frozen=True)
class _Move:
    """A file that is to get its final name, with its SHA-256."""

    source: str
    target: str
    sha256: str

    @classmethod
    def of_part(cls, part: Part, target: str) -> "_Move":
        return cls(part.path, target, part.sha256)

    @classmethod
    def of_digests(cls, part: Part, target: str) -> "_Move":
        return cls(part.digests_path, target, part.digests_sha256)

    def is_done(self) -> bool:
        """Whether the file is there under its final name, by its bytes."""
        return FileSystems.exists(self.target) and sha256_of(self.target) == self.sha256


def _move(layout: OutputLayout, kind: str, moves: Sequence[_Move]) -> None:
    """Gives files of one kind their final names.

    A retry of this bundle finds what it moved the first time, and a rerun what an equal run wrote.
    """
    make_folder(layout.folders[kind])
    taken = {_name(path) for path in layout.parts_there(kind)}
    todo = []
    for move in moves:
        is_written = FileSystems.exists(move.source)
        is_taken = _name(move.target) in taken
        if (is_taken or not is_written) and move.is_done():
            delete_file(move.source)
            continue
        if not is_written:
            raise IncompleteError(f"the part for {move.target} is gone: run the job again")
        if is_taken:  # By a file that was damaged since. Not every filesystem renames over it.
            delete_file(move.target)
        todo.append(move)
    if todo:
        FileSystems.rename([move.source for move in todo], [move.target for move in todo])


def _remove_others(layout: OutputLayout, kind: str, named: Iterable[str]) -> None:
    """Removes the parts of one kind but for those that are named."""
    names = set(map(_name, named))
    for path in layout.parts_there(kind):
        if _name(path) in names:
            continue
        try:
            delete_file(path)
        except OSError as error:  # The output is whole all the same.
            _log.warning("%s is of an earlier output and cannot be removed: %s", path, error)


def _name(path: str) -> str:
    # One path may be written in several ways, such as ./out/x and out/x.
    name: str = FileSystems.split(path)[1]
    return name


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
