"""An embedding job as one Beam transform: read, embed, write, commit."""

from typing import Any

import apache_beam as beam
from apache_beam.utils.shared import Shared

from hub_tfx.embed.dead_letters import DEAD_LETTERS
from hub_tfx.embed.output.commit import CommitParts
from hub_tfx.embed.output.layout import EMBEDDINGS, OutputLayout
from hub_tfx.embed.output.resume import (
    NOTHING_FINISHED,
    Finished,
    left_to_read,
    record_block,
    record_part,
)
from hub_tfx.embed.output.sink import WriteParts
from hub_tfx.embed.read import BLOCKS, ReadRecordBatches
from hub_tfx.embed.reuse.previous import Previous
from hub_tfx.embed.task import EmbedTask, _about, _schemas
from hub_tfx.embed.transform import EmbedRecordBatches

_WINDOW_ROWS = 2048
"""Rows among which those of like size are sought for one call of the module."""


class EmbedFiles(beam.PTransform):  # type: ignore[misc]
    """A whole job as one transform: reads, embeds, writes and commits; gives its one manifest."""

    def __init__(
        self,
        task: EmbedTask,
        layout: OutputLayout,
        shared: Shared | None = None,
        finished: Finished = NOTHING_FINISHED,
        previous: Previous | None = None,
    ):
        """Args:
        task: what to do.
        layout: where the output goes.
        shared: lets several jobs of one pipeline use one copy of the module.
        finished: what an earlier run of the job has left in ``layout.temporary``.
        previous: rows that are copied; several jobs of one pipeline may share it.
        """
        super().__init__()
        self._previous = previous or Previous()
        self._task = task
        self._layout = layout
        self._shared = shared
        self._finished = finished

    def expand(self, root: Any) -> Any:
        task, layout = self._task, self._layout
        read = root | "ReadRecordBatches" >> ReadRecordBatches(
            left_to_read(task.files, self._finished),
            task.schema,
            max(task.config.batch_size, _WINDOW_ROWS),
        )
        embedded = read.batches | "EmbedRecordBatches" >> EmbedRecordBatches(
            task.module.worker_path,
            task.config,
            task.module.digest,
            self._shared,
            task.preprocessor.worker_path if task.preprocessor else None,
            task.preprocessor.digest if task.preprocessor else None,
            self._previous,
        )
        parts = (
            embedded[EMBEDDINGS] | "WriteEmbeddings" >> WriteParts(EMBEDDINGS, layout),
            embedded[DEAD_LETTERS] | "WriteRejected" >> WriteParts(DEAD_LETTERS, layout),
        )
        # Recorded before they meet, since a runner may hold back what goes through a Flatten.
        recorded = [
            of_kind | f"RecordParts{n}" >> beam.Map(record_part) for n, of_kind in enumerate(parts)
        ]
        blocks = read[BLOCKS] | "RecordBlocks" >> beam.Map(record_block, layout.temporary)
        return (recorded | "Parts" >> beam.Flatten(), blocks) | "CommitParts" >> CommitParts(
            layout,
            _schemas(task),
            _about(task),
            task.config.max_dead_letter_ratio,
            self._finished,
        )
