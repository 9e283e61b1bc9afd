"""Outputs that are written and committed without a module, for sweeps over all that can go wrong.

As a program, `python commits.py FOLDER CALL…` kills the commit of a second output at each of these
system calls, one after the other, and prints what was left each time.
"""

import hashlib
import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from killing import lived_through

from hub_tfx.data.filesystems import paths_below, read_bytes
from hub_tfx.data.marks import Position
from hub_tfx.embed.dead_letters import DEAD_LETTERS, KEY, REASON
from hub_tfx.embed.manifest import ModuleRef, OutputManifest
from hub_tfx.embed.output.commit import CommitParts, PlannedOutput
from hub_tfx.embed.output.directory import output_directory
from hub_tfx.embed.output.layout import DIGESTS, EMBEDDINGS, OutputLayout, manifest_in_place
from hub_tfx.embed.output.sink import PartWriter
from hub_tfx.embed.read import Block, RowRange
from hub_tfx.embed.rows import BatchStats

SCHEMAS = {
    EMBEDDINGS: pa.schema([("n", pa.int64())]),
    DEAD_LETTERS: pa.schema([(KEY, pa.string()), (REASON, pa.string())]),
}
_FIRST, _SECOND = [[1, 2], [3]], [[10], [20, 30], [40, 50, 60]]


def layout_of(output, run="0"):
    return OutputLayout.of_directory(str(output), "parquet", run)


def write_parts(layout, numbers):
    """A part for each list of numbers and one dead letter, as workers would leave them."""
    parts, row = [], 0
    for of_part in numbers:
        batch = pa.RecordBatch.from_pydict({"n": of_part}, SCHEMAS[EMBEDDINGS])
        digests = b"".join(hashlib.md5(str(n).encode()).digest() for n in of_part)
        parts.append(_part(EMBEDDINGS, layout, BatchStats(digests).mark(batch), row))
        row += len(of_part)
    letter = {KEY: [f"in:{row + 1}"], REASON: [f"it was not one of {numbers}"]}
    batch = pa.RecordBatch.from_pydict(letter, SCHEMAS[DEAD_LETTERS])
    parts.append(_part(DEAD_LETTERS, layout, batch, row))
    return parts, [Block("b", (RowRange("in", "v", 0, row + 1, True),), 0.0)]


def _part(kind, layout, batch, row):
    position = Position("in", row, "b")
    writer = PartWriter(kind, layout, batch.schema.remove_metadata(), position)
    writer.write(position.mark(batch))
    return writer.finish()


def committing(layout, run="0", lease=None, max_dead_letter_ratio=1.0):
    """What a worker calls to commit, with the parts and blocks that ``write_parts`` gives."""
    module = ModuleRef("m", "0" * 64)
    manifest = OutputManifest("0", module, None, "s", None, 1, {}, {}, "parquet", run=run)
    planned = PlannedOutput(layout, manifest, SCHEMAS, lease=lease)
    commit = CommitParts([planned], max_dead_letter_ratio)._commit
    return lambda parts, blocks: commit(None, parts, blocks)


def embed(output, numbers, run="0"):
    """A whole run."""
    layout = layout_of(output, run)
    with output_directory(str(output), layout, run) as lease:
        committing(layout, run, lease)(*write_parts(layout, numbers))


def numbers_in(output):
    """The numbers of each part of the output that is there; all of its files are as they were."""
    layout = layout_of(output)
    manifest = manifest_in_place(layout)
    if manifest is None:
        return None
    named = {
        kind: [*map(read_bytes, layout.parts_named(manifest, kind))]
        for kind in (EMBEDDINGS, DIGESTS, DEAD_LETTERS)
    }
    hashes = {kind: [hashlib.sha256(c).hexdigest() for c in named[kind]] for kind in named}
    assert hashes[EMBEDDINGS] == [file.sha256 for file in manifest.files]
    assert hashes[DIGESTS] == [file.digests_sha256 for file in manifest.files]
    assert hashes[DEAD_LETTERS] == [file.sha256 for file in manifest.dead_letter_files]
    return [pq.read_table(pa.BufferReader(c))["n"].to_pylist() for c in named[EMBEDDINGS]]


def check_nothing_else(output):
    """Asserts that only the files of one output are there."""
    manifest = manifest_in_place(layout_of(output))
    files = 1 + 2 * len(manifest.files) + len(manifest.dead_letter_files)
    assert len(paths_below(str(output))) == files, paths_below(str(output))


# --- Killed at each system call -----------------------------------------------------------------


def sweep(folder, calls):
    """Counts what was left where a commit was killed, by (system call, what was left)."""
    output, before = folder / "out", folder / "before"
    embed(output, _FIRST, "f0")
    layout = layout_of(output, "f1")
    written = write_parts(layout, _SECOND)
    shutil.copytree(output, before)
    left = Counter()
    for call in calls:
        number, lived = 0, False
        while not lived:
            number += 1
            shutil.rmtree(output)
            shutil.copytree(before, output)
            lived = lived_through(lambda: committing(layout, "f1")(*written), call, number)
            try:
                found = numbers_in(output)
            except (AssertionError, OSError):
                found = None
            names = {str(_FIRST): "earlier", str(_SECOND): "new"}
            if not lived:
                left[call, names.get(str(found), "none")] += 1
            embed(output, _SECOND, "f2")
            assert numbers_in(output) == _SECOND
            check_nothing_else(output)
    return left


if __name__ == "__main__":
    counted = sweep(Path(sys.argv[1]), sys.argv[2:])
    print(json.dumps([[*key, count] for key, count in counted.items()]))
