"""Progress of a training: live on a terminal, otherwise a line per evaluation or half minute.

First of the rows that are read, then of the steps.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from hub_tfx.cli.output import ProgressLine
from hub_tfx.finetune.training import Progress

_LINE_EVERY_S = 30.0


class TrainingProgress:
    """Prints to stderr how far a training has come."""

    def __init__(self, steps: int):
        """Progress of a training of so many steps."""
        self._steps = steps
        self.line = ProgressLine("loading")
        self._started_s = self._printed_s = time.monotonic()
        self._rows = self._left_out = 0
        self._evaluated = ""

    def read(self, rows: int, left_out: int) -> None:
        """Takes how many more rows were read, and how many of these were left out."""
        self._rows, self._left_out = self._rows + rows, self._left_out + left_out
        rate = self._rows / max(1e-3, time.monotonic() - self._started_s)
        self._show(
            f"{self._rows:,} rows read, {self._left_out:,} left out, {rate:,.0f} rows/s", False
        )

    def trained(self, progress: Progress) -> None:
        """Takes step, loss, metrics and steps a second."""
        if progress.metrics is not None:
            self._evaluated = "".join(f", eval {k} {v:.4f}" for k, v in progress.metrics.items())
        loss = "" if progress.loss is None else f", loss {progress.loss:.4f}"
        rate = f", {progress.steps_per_s:,.1f} steps/s" if progress.steps_per_s else ""
        line = f"step {progress.step:,} of {self._steps:,}{loss}{self._evaluated}{rate}"
        self._show(line, progress.metrics is not None)

    def _show(self, line: str, at_once: bool) -> None:
        if self.line.is_live:
            self.line.show(line)
        elif at_once or time.monotonic() - self._printed_s > _LINE_EVERY_S:
            self._printed_s = time.monotonic()
            self.line.show(line)


@contextmanager
def training_progress(steps: int) -> Iterator[TrainingProgress]:
    """Shows progress while the body runs, which tells it."""
    progress = TrainingProgress(steps)
    progress.line.start()
    try:
        yield progress
    finally:
        progress.line.stop()
