"""What a job needs of its engine, checked before a module is fetched: Beam itself says it late."""

import difflib
import os
import subprocess
import zipfile
from collections.abc import Iterable, Sequence

import grpc
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    PrismRunnerOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.portability.api import beam_job_api_pb2 as job_api
from apache_beam.portability.api import beam_job_api_pb2_grpc as job_service
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.runners.runner import PipelineRunner, create_runner

from hub_tfx._text import shortened
from hub_tfx.errors import ConfigError

_ANSWER_S = 20.0
_MAX_SAID_CHARS = 200
_IN_THIS_PROCESS = "embed"  # A job server of Beam's that --job_endpoint may name.
_ANY_FOLDER = "gs://any/folder"
_PRISM_OPTION = b"-job_port"


def find_runner(options: PipelineOptions) -> PipelineRunner:
    """The runner that options name.

    Raises:
      ConfigError: Beam has no such runner.
    """
    name = options.view_as(StandardOptions).runner
    try:
        runner = create_runner(name)
    except ValueError:
        known = StandardOptions.KNOWN_RUNNER_NAMES
        meant = _meant(name, known) or f"; it has {', '.join(known)}"
        raise ConfigError(f"Beam options: Beam has no runner {name}{meant}") from None
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError(f"Beam options: the runner {name} cannot be had: {error}") from error
    if not isinstance(runner, PipelineRunner):
        raise ConfigError(f"Beam options: {name} is not a runner of Beam")
    return runner


def check_known(
    options: PipelineOptions, more: Iterable[str] = (), whose: str = "Beam has no option"
) -> None:
    """Raises ConfigError for an option that neither Beam has nor is one of ``more``."""
    known = options.get_all_options().keys() | set(more)
    for name in sorted(options.get_all_options(retain_unknown_options=True).keys() - known):
        raise ConfigError(f"Beam options: {whose} --{name}{_meant(name, known, '--')}")


def check_options(arguments: Sequence[str]) -> None:
    """Checks what can be told of options without their engine, which another machine may call.

    Raises:
      ConfigError: an option that the runner needs is missing, one is wrong, or its workers would
        not have hub_tfx.
    """
    options = PipelineOptions(arguments)
    runner = find_runner(options)
    for problem in _problems_of_beam(arguments, options, runner):
        raise ConfigError(f"Beam options: {problem.rstrip('.')}")
    if type(runner) is PortableRunner and not options.view_as(PortableOptions).job_endpoint:
        raise ConfigError(
            "Beam options: PortableRunner needs --job_endpoint=HOST:PORT, where a job server is"
        )
    _check_workers(options, runner)


def check_engine(arguments: Sequence[str]) -> None:
    """Checks the same, and that the engine is there.

    Raises:
      ConfigError: as ``check_options``; or there is no Prism, no job server answers, or it does not
        have an option that Beam does not have either.
    """
    check_options(arguments)
    options = PipelineOptions(arguments)
    runner, endpoint = find_runner(options), options.view_as(PortableOptions).job_endpoint
    if isinstance(runner, PortableRunner) and endpoint and endpoint != _IN_THIS_PROCESS:
        _check_job_server(endpoint, options)
    elif isinstance(runner, PrismRunner):
        _check_prism(options.view_as(PrismRunnerOptions).prism_location)


def _meant(name: str, known: Iterable[str], begin: str = "") -> str:
    by_lower = {one.lower(): one for one in known}
    like = difflib.get_close_matches(name.lower(), by_lower, 1)
    return f"; did you mean {begin}{by_lower[like[0]]}?" if like else ""


def _problems_of_beam(
    arguments: Sequence[str], options: PipelineOptions, runner: PipelineRunner
) -> list[str]:
    """What Beam finds as it makes a pipeline, where it also asks the cloud about buckets."""
    cloud = options.view_as(GoogleCloudOptions)
    places = {name: getattr(cloud, name) for name in ("temp_location", "staging_location")}
    asks_nobody = ["--dry_run=True", *(f"--{name}={_ANY_FOLDER}" for name in places)]
    checking = PipelineOptionsValidator(PipelineOptions([*arguments, *asks_nobody]), runner)
    problems: list[str] = checking.validate()
    if "dataflow" in type(runner).__name__.lower():
        given = [name for name, place in places.items() if place is not None]
        problems += [p for name in given for p in checking.validate_gcs_path(cloud, name)]
    return problems


def _check_workers(options: PipelineOptions, runner: PipelineRunner) -> None:
    """Raises ConfigError where workers would start in Beam's own image, with nothing besides."""
    portable, workers = options.view_as(PortableOptions), options.view_as(WorkerOptions)
    setup = options.view_as(SetupOptions)
    has_more = (setup.extra_packages, setup.requirements_file, setup.setup_file)
    if any(has_more) or workers.sdk_container_image or workers.worker_harness_container_image:
        return
    if "dataflow" in type(runner).__name__.lower():
        fix = "name an image that has it by --sdk_container_image"
    elif type(runner) is PortableRunner and _is_in_image_of_beam(portable):
        fix = "choose --environment_type, and name what has it by --environment_config"
    else:
        return
    raise ConfigError(f"Beam options: workers in Beam's own image do not have hub_tfx: {fix}")


def _is_in_image_of_beam(portable: PortableOptions) -> bool:
    is_in_image = (portable.environment_type or "DOCKER").upper() == "DOCKER"
    named = portable.environment_config
    return is_in_image and not (
        named or portable.lookup_environment_option("docker_container_image")
    )


def _check_job_server(endpoint: str, options: PipelineOptions) -> None:
    """Raises ConfigError where no job server answers, or an option is not one of its own."""
    try:
        with grpc.insecure_channel(endpoint) as channel:
            answer = job_service.JobServiceStub(channel).DescribePipelineOptions(
                job_api.DescribePipelineOptionsRequest(), timeout=_ANSWER_S
            )
    except grpc.RpcError as error:
        said = shortened(" ".join(str(error.details()).split()), _MAX_SAID_CHARS)
        raise ConfigError(
            f"Beam options: no job server of Beam answers at --job_endpoint={endpoint} ({said}): "
            "start it first, or name another one"
        ) from None
    of_server = {option.name for option in answer.options}
    check_known(options, of_server, f"neither Beam nor the job server at {endpoint} has an option")


def _check_prism(location: str | None) -> None:
    """Raises ConfigError where a path is not that of a Prism; Beam fetches what has a URL."""
    if location is None or "://" in location:
        return
    if not os.path.isfile(location):
        raise ConfigError(
            f"Beam options: there is no Prism at --prism_location={location}: name the file that "
            "`go install github.com/apache/beam/sdks/v2/go/cmd/prism` makes"
        )
    if zipfile.is_zipfile(location):
        return
    command = [os.path.abspath(location), "-help"]
    try:
        said = subprocess.run(command, capture_output=True, timeout=_ANSWER_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"Beam options: {location} cannot be run as Prism: {error}") from error
    if _PRISM_OPTION not in said.stderr:
        raise ConfigError(f"Beam options: {location} runs, but is not Prism: name its binary")
