"""What a run that failed or was killed has finished, which the next run need not do again.

The temporary folder has a record beside each part, and one for each block of rows that was read to
its end. A block is finished when its parts hold all of its rows, each once; the order in which
steps ran, and how often a runner tried them, do not matter.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from apache_beam.io.filesystems import FileSystems

from hub_tfx.data.files import SourceFile, content_version
from hub_tfx.data.filesystems import (
    delete_file,
    make_folder,
    paths_in,
    read_bytes,
    sha256_of,
    write_bytes,
)
from hub_tfx.data.marks import Position
from hub_tfx.embed.output.layout import EMBEDDINGS
from hub_tfx.embed.output.sink import Part
from hub_tfx.embed.read import Block, RowRange

_BLOCK = ".block.json"
_PART = ".part.json"


@dataclass(frozen=True)
class Finished:
    """Finished blocks, and the parts that hold exactly their rows."""

    blocks: tuple[Block, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows that were embedded."""
        return sum(part.rows for part in self.parts if part.kind == EMBEDDINGS)

    @property
    def records(self) -> int:
        return sum(block.records for block in self.blocks)


NOTHING_FINISHED = Finished()


def record_part(part: Part) -> Part:
    """Writes the record of a part, and returns the part."""
    write_bytes(part.path + _PART, json.dumps(asdict(part)).encode())
    return part


def record_block(block: Block, folder: str) -> Block:
    """Writes the record of a block into the temporary folder, and returns the block."""
    make_folder(folder)
    write_bytes(FileSystems.join(folder, block.id + _BLOCK), json.dumps(asdict(block)).encode())
    return block


def take_finished(folder: str, files: Sequence[SourceFile] | None = None) -> Finished:
    """Finds what a run that is over has finished in its temporary folder; removes all else.

    Args:
      folder: the temporary folder.
      files: files that are to be read. Blocks of other files, or of files that held something
        else, are not taken, nor are those with a part that was damaged since. None to take all
        unchecked.
    """
    paths = paths_in(folder)
    parts: dict[str, list[Part]] = defaultdict(list)
    for record in _records(paths, _PART):
        part = _part(record, folder)
        parts[part.position.block].append(part)
    taken: list[Block] = []
    for block in sorted(map(_block, _records(paths, _BLOCK)), key=lambda block: block.started_s):
        of_block = parts[block.id]
        if (
            _hold_all(of_block, block)
            and {path for part in of_block for path in part.files} <= set(paths)
            and not _overlap([*taken, block])
            and (files is None or _is_current(block, files, of_block))
        ):
            taken.append(block)
    finished = Finished(tuple(taken), tuple(part for block in taken for part in parts[block.id]))
    kept = {FileSystems.join(folder, block.id + _BLOCK) for block in taken}
    kept |= {path for part in finished.parts for path in (*part.files, part.path + _PART)}
    for path in set(paths) - kept:
        delete_file(path)
    return finished


def left_to_read(files: Iterable[SourceFile], finished: Finished) -> list[SourceFile]:
    """Files that are not finished; each knows which of its rows are finished."""
    rows_of: dict[str, list[RowRange]] = defaultdict(list)
    for block in finished.blocks:
        for rows in block.rows:
            rows_of[rows.path].append(rows)
    left = []
    for file in files:
        done = rows_of[file.path]
        ends = [file.stop] if file.stop is not None else [r.stop for r in done if r.is_end]
        file = replace(
            file,
            finished=tuple((rows.start, rows.stop) for rows in done),
            content=done[0].version if done else "",
        )
        if not ends or file.unfinished(file.start, ends[0]):
            left.append(file)
    return left


def _records(paths: Iterable[str], ending: str) -> Iterator[dict[str, Any]]:
    for path in paths:
        if path.endswith(ending):
            try:
                yield json.loads(read_bytes(path))
            except ValueError:  # It was being written.
                continue


def _part(record: dict[str, Any], folder: str) -> Part:
    path = FileSystems.join(folder, FileSystems.split(record["path"])[1])
    first, last = Position(**record["position"]), Position(**record["last"])
    return Part(**{**record, "path": path, "position": first, "last": last})


def _block(record: dict[str, Any]) -> Block:
    return Block(**{**record, "rows": tuple(RowRange(**rows) for rows in record["rows"])})


def _hold_all(parts: Sequence[Part], block: Block) -> bool:
    """Whether parts hold all rows of a block once; a bundle tried again writes them twice."""
    in_order = sorted(parts, key=lambda part: (part.kind, _place(part.position)))
    return sum(part.rows for part in parts) == block.records and not any(
        one.kind == other.kind and _place(one.last) >= _place(other.position)
        for one, other in pairwise(in_order)
    )


def _place(position: Position) -> tuple[str, int]:
    return position.source, position.first_row


def _overlap(blocks: Iterable[Block]) -> bool:
    """Whether a row is in two blocks, as after a work unit was read again."""
    rows = sorted((r.path, r.start, r.stop) for block in blocks for r in block.rows)
    return any(
        path == other and stop > start for (path, _, stop), (other, start, _) in pairwise(rows)
    )


def _is_current(block: Block, files: Iterable[SourceFile], parts: Iterable[Part]) -> bool:
    """Whether files are those that were read, and parts those that were written."""
    paths = {file.path for file in files}
    return all(rows.path in paths and _is_unchanged(rows) for rows in block.rows) and all(
        sha256 == sha256_of(path) for part in parts for path, sha256 in part.files.items()
    )


def _is_unchanged(rows: RowRange) -> bool:
    try:
        return content_version(rows.path) == rows.version
    except OSError:
        return False
