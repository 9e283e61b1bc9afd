"""An embedding job as one Beam transform: read, embed, write, commit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
from apache_beam.utils.shared import Shared

from hub_tfx.embed.dead_letters import DEAD_LETTERS
from hub_tfx.embed.limits import DEFAULT_LIMITS, EmbedLimits
from hub_tfx.embed.output.commit import CommitParts, PlannedOutput
from hub_tfx.embed.output.layout import EMBEDDINGS, OutputLayout
from hub_tfx.embed.output.lease import Lease
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
from hub_tfx.embed.task import EmbedTask
from hub_tfx.embed.transform import EmbedRecordBatches


@dataclass(frozen=True)
class JobOutput:
    """One output of a job.

    Attributes:
      task: what to feed, call, keep and write.
      layout: where the files of the output go.
      name: name that tells the outputs of one job apart, such as that of a split.
      finished: what an earlier run of the job has finished and left in ``layout.temporary``.
      run: id of this run.
      lease: what the job has to check before it commits; see output.lease.
    """

    task: EmbedTask
    layout: OutputLayout
    name: str = ""
    finished: Finished = NOTHING_FINISHED
    run: str = ""
    lease: Lease | None = None

    def planned(self) -> PlannedOutput:
        """What is known of the output before the job runs."""
        manifest = replace(self.task.manifest(self.layout.format), run=self.run)
        schemas = self.task.output_schemas
        return PlannedOutput(self.layout, manifest, schemas, self.finished, self.lease)


class EmbedFiles(beam.PTransform):  # type: ignore[misc]
    """A whole job as one transform: a PCollection of one element, the manifests of its outputs.

    All outputs are committed together, or none is: counts and rejected rows are judged over all of
    them.
    """

    def __init__(
        self,
        outputs: Sequence[JobOutput],
        previous: Previous | None = None,
        limits: EmbedLimits = DEFAULT_LIMITS,
    ):
        """A job.

        Args:
          outputs: outputs with the same module and config, whose names differ.
          previous: earlier outputs, from which unchanged rows are copied.
          limits: sizes that matter for speed and memory.
        """
        super().__init__()
        self.outputs = outputs
        self._previous = previous or Previous(limits=limits)
        self._limits = limits

    def expand(self, root: Any) -> Any:
        shared = Shared()  # So that all outputs use one copy of the module.
        written = tuple(self._write(root, output, shared) for output in self.outputs)
        return written | "CommitParts" >> CommitParts(
            [output.planned() for output in self.outputs],
            self.outputs[0].task.config.max_dead_letter_ratio,
        )

    def _write(self, root: Any, output: JobOutput, shared: Shared) -> Any:
        """The parts of an output under temporary names, and the blocks that were read."""
        task, layout = output.task, output.layout
        label = f"[{output.name}]" if output.name else ""
        read = root | f"ReadRecordBatches{label}" >> ReadRecordBatches(
            left_to_read(task.files, output.finished),
            task.schema,
            max(task.config.batch_size or 0, self._limits.window_rows),
            self._limits,
            task.plan.keep if layout.format == "tfrecord" else (),
        )
        preprocessor = task.preprocessor
        embedded = read.batches | f"EmbedRecordBatches{label}" >> EmbedRecordBatches(
            task.module.worker_path,
            task.config,
            task.module.digest,
            shared,
            preprocessor.worker_path if preprocessor else None,
            preprocessor.digest if preprocessor else None,
            self._previous,
            limits=self._limits,
        )
        letters = embedded[DEAD_LETTERS]
        parts = (
            embedded[EMBEDDINGS]
            | f"WriteEmbeddings{label}" >> WriteParts(EMBEDDINGS, layout, self._limits),
            letters | f"WriteRejected{label}" >> WriteParts(DEAD_LETTERS, layout, self._limits),
        )
        # Recorded before they meet, since a runner may hold back what goes through a Flatten.
        recorded = [
            of_kind | f"RecordParts{n}{label}" >> beam.Map(record_part)
            for n, of_kind in enumerate(parts)
        ]
        blocks = read[BLOCKS] | f"RecordBlocks{label}" >> beam.Map(record_block, layout.temporary)
        return recorded | f"Parts{label}" >> beam.Flatten(), blocks
