"""Progress of a training: live on a terminal, otherwise a line per evaluation or half minute."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from hub_tfx.finetune.training import Progress

_LINE_EVERY_S = 30.0


@contextmanager
def training_progress(steps: int) -> Iterator[Callable[[Progress], None]]:
    """Yields the function that prints progress to stderr: step, loss, metrics, steps a second."""
    console = Console(stderr=True, highlight=False)
    status = console.status("loading") if console.is_terminal else None
    printed_s = time.monotonic()
    evaluated = ""

    def report(progress: Progress) -> None:
        nonlocal printed_s, evaluated
        if progress.metrics is not None:
            evaluated = "".join(f", eval {k} {v:.4f}" for k, v in progress.metrics.items())
        loss = "" if progress.loss is None else f", loss {progress.loss:.4f}"
        rate = f", {progress.steps_per_s:,.1f} steps/s" if progress.steps_per_s else ""
        line = f"step {progress.step:,} of {steps:,}{loss}{evaluated}{rate}"
        if status:
            status.update(line)
        elif progress.metrics is not None or time.monotonic() - printed_s > _LINE_EVERY_S:
            printed_s = time.monotonic()
            console.print(f"hub-tfx: {line}", soft_wrap=True)

    if status:
        status.start()
    try:
        yield report
    finally:
        if status:
            status.stop()
