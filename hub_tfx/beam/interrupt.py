"""Ctrl-C, while a job runs somewhere else: it is cancelled, or said to go on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import apache_beam as beam

_log = logging.getLogger(__name__)


class LeftRunningInterrupt(KeyboardInterrupt):
    """The wait for a job of another process was interrupted; its workers may still write.

    Attributes:
      is_cancelled: whether its runner has taken the order to cancel it.
    """

    def __init__(self, is_cancelled: bool):
        super().__init__()
        self.is_cancelled = is_cancelled


@contextmanager
def cancelling(pipeline: beam.Pipeline) -> Iterator[None]:
    """Cancels the job of a pipeline whose body is interrupted, and says what became of it.

    A runner in this process ends with us: it has no job that could be cancelled.

    Raises:
      LeftRunningInterrupt: in place of KeyboardInterrupt, once the job was started.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if (result := getattr(pipeline, "result", None)) is None:
            raise
        raise LeftRunningInterrupt(_is_cancelled(result)) from interrupt


def _is_cancelled(result: object) -> bool:
    job = _job_of(result)
    try:
        result.cancel()  # type: ignore[attr-defined]
    except Exception as error:  # noqa: BLE001 (each runner has errors of its own)
        _log.warning(
            "the job %s cannot be cancelled (%s) and may go on: its temporary folder is left alone",
            *(job, error),
        )
        return False
    _log.warning("the job %s was cancelled: a rerun resumes", job)
    return True


def _job_of(result: object) -> str:
    # Dataflow's result has a method, the others an attribute or nothing.
    job = getattr(result, "job_id", None) or getattr(result, "_job_id", None)
    return str(job() if callable(job) else job or "that was started")
