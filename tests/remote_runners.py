"""Beam runners as they are for a job that runs elsewhere; by these names Beam finds them."""

from apache_beam.runners.runner import PipelineResult, PipelineRunner, PipelineState


class _Result(PipelineResult):
    """A job that nobody runs."""

    job_id = "job-7"

    def __init__(self):
        super().__init__(PipelineState.RUNNING)

    def wait_until_finish(self, duration=None):
        return self.state

    def cancel(self):
        self._state = PipelineState.CANCELLED


class _Interrupted(_Result):
    def wait_until_finish(self, duration=None):
        raise KeyboardInterrupt


class _Uncancellable(_Interrupted):
    def cancel(self):
        raise RuntimeError("no connection")


class _Runner(PipelineRunner):
    result = _Result

    def run_pipeline(self, pipeline, options):
        return self.result()


class ReturningRunner(_Runner):
    """Returns at once, as if the job had ended."""


class InterruptedRunner(_Runner):
    """While its job is waited for, Ctrl-C is pressed."""

    result = _Interrupted


class UncancellableRunner(_Runner):
    """The same, and the job cannot be cancelled."""

    result = _Uncancellable
