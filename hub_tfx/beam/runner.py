"""The Beam runner of a job: its options, and its errors, which come back as text."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DebugOptions,
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)

from hub_tfx import errors
from hub_tfx.beam import engine
from hub_tfx.errors import ConfigError, HubTfxError, IncompleteError

_WITH_OPTIONS_OF_THEIR_OWN = ("portable", "flink", "spark", "samza")
"""Runners whose options only their job servers know: see ``check_engine``."""
_NO_PRISM = "Unable to fetch remote prism binary"
_NO_WHEEL = "No module named 'hub_tfx"
_STEP = " [while running"  # What Beam appends to the message of an error.
_WORKER_LOST = re.compile("Channel closed prematurely|SDK worker disconnected")
"""Errors of the runner in this process, and of Prism, about a worker that is gone."""


def beam_arguments(given: Sequence[str]) -> list[str]:
    """Beam's command line options, which use the runner in this process unless they name one.

    The default of Beam 2.69 and later would fetch a Prism binary from the network at run time.
    """
    defaults = {"--runner": "--runner=FnApiRunner", "_main_session": "--no_save_main_session"}
    missing = [option for name, option in defaults.items() if not any(name in a for a in given)]
    return [*given, *missing]


def parse_beam_arguments(given: Sequence[str]) -> PipelineOptions:
    """Beam's command line options, parsed and checked.

    Raises:
      ConfigError: Beam cannot parse a value or has no such option or runner, the runner loses rows,
        or nothing would run.
    """
    said = io.StringIO()
    options = PipelineOptions(beam_arguments(given))
    try:
        with redirect_stderr(said):
            options.get_all_options()
    except SystemExit:  # argparse raises it after a hundred lines of usage.
        *_, complaint = said.getvalue().strip().split("error: ")
        raise ConfigError(f"Beam options: {complaint}") from None
    runner = options.view_as(StandardOptions).runner
    if "dask" in runner.lower():
        raise ConfigError(f"Beam options: {runner} loses rows silently: use another runner")
    if options.view_as(GoogleCloudOptions).template_location:
        raise ConfigError("Beam options: --template_location only describes a job: leave it out")
    if options.view_as(StandardOptions).no_wait_until_finish:
        raise ConfigError(
            "Beam options: with --no_wait_until_finish nobody sees whether the job succeeds: leave "
            "it out"
        )
    engine.find_runner(options)
    if not any(name in runner.lower() for name in _WITH_OPTIONS_OF_THEIR_OWN):
        engine.check_known(options)
    return options


def check_options(given: Sequence[str]) -> None:
    """Checks options of a job that another machine starts: see ``engine.check_options``."""
    parse_beam_arguments(given)
    engine.check_options(beam_arguments(given))


def check_engine(given: Sequence[str]) -> None:
    """Checks options of a job, and that its engine is there: see ``engine.check_engine``."""
    parse_beam_arguments(given)
    engine.check_engine(beam_arguments(given))


def make_pipeline(arguments: Sequence[str]) -> beam.Pipeline:
    """A Beam pipeline with these command line options.

    Raises:
      ConfigError: an option is wrong, or the engine is not there; see ``check_engine``.
    """
    check_engine(arguments)
    options = parse_beam_arguments(arguments)
    try:
        return beam.Pipeline(options=options)
    except ValueError as error:
        raise ConfigError(f"Beam options: {error}") from error


def processes_here(options: PipelineOptions) -> int | None:
    """How many worker processes share the cores of one machine; None for one on each core.

    https://cloud.google.com/dataflow/docs/guides/troubleshoot-oom#one-sdk
    """
    runner = options.view_as(StandardOptions).runner or ""
    if "dataflow" in runner.lower():
        of_machine = "no_use_multiple_sdk_containers"
        return 1 if of_machine in (options.view_as(DebugOptions).experiments or ()) else None
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "multi_processing":
        return 1
    return direct.direct_num_workers or None


@contextmanager
def raise_own_errors() -> Iterator[None]:
    """Raises a worker's HubTfxError with its own type, since runners pass it on as text only."""
    try:
        yield
    except HubTfxError as error:
        raise type(error)(str(error).split(_STEP)[0]) from error
    except Exception as error:
        found = re.findall(r"hub_tfx\.errors\.(\w+): (.*)", str(error))
        if not found:
            _raise_of_engine(error)
            raise
        name, message = found[-1]
        raise getattr(errors, name)(message.split(_STEP)[0]) from error


def _raise_of_engine(error: Exception) -> None:
    """Raises our error for one of Beam or an engine that says too little, or too much."""
    said = str(error)
    if said.startswith("KeyboardInterrupt"):
        raise KeyboardInterrupt from error
    if _NO_PRISM in said:
        raise ConfigError(
            f"Beam options: {error}: name a Prism of this machine by --prism_location"
        ) from error
    if _NO_WHEEL in said:
        raise HubTfxError(
            "workers do not have hub_tfx: install its wheel where they run, in this version"
        ) from error
    if _WORKER_LOST.search(said):
        raise IncompleteError(
            f"a worker ended before its rows were written ({error}): "
            "nothing was committed; run the job again"
        ) from error
