"""What the commands of `hub-tfx schedule` share: options, their checks, and where files go."""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub_tfx._files import replacing, why
from hub_tfx._text import quoted
from hub_tfx.cli.options import add_options, pairs
from hub_tfx.cli.output import print_path, print_text
from hub_tfx.errors import OutputError, UsageError
from hub_tfx_kubeflow.schedule.checks import check_name, check_path, check_timezone
from hub_tfx_kubeflow.schedule.cron import Cron
from hub_tfx_pipelines.config_options import set_option

if TYPE_CHECKING:
    from hub_tfx_kubeflow.schedule.machine import MachineRun

_MAX_CONCURRENCY = 10
_PART = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9._:-]*[a-zA-Z0-9])?")


def checked(check: Any) -> Any:
    """A callback of an option that may be missing."""
    return lambda context, option, value: None if value is None else check(value)


cron_option = click.option(
    "--cron",
    required=True,
    metavar="'MINUTE HOUR DAY MONTH WEEKDAY'",
    callback=checked(Cron.parse),
    help="Start a run at these times, written as in a crontab: '0 2 * * MON-FRI'.",
)
output_option = click.option(
    "--output", metavar="FILE", help="Write this file, and print its path.  [print what it holds]"
)
concurrency_option = click.option(
    "--max-concurrency",
    type=click.IntRange(1, _MAX_CONCURRENCY),
    default=1,
    show_default=True,
    help="Let this many runs be going on at one time.",
)
namespace_option = click.option(
    "--namespace",
    metavar="NAME",
    callback=checked(check_name),
    help="Put it into this namespace.  [the one that is set where the file is used]",
)


def name_option(default: str) -> Any:
    return click.option(
        "--name",
        metavar="NAME",
        help=f"Give the schedule this name.  [{default}]",
    )


def timezone_option(default: str | None, what: str) -> Any:
    return click.option(
        "--timezone",
        metavar="ZONE",
        default=default,
        callback=checked(check_timezone),
        help=f"Take the times as those of this time zone, such as Europe/Berlin.  [{what}]",
    )


compiled_file = click.argument("file", metavar="FILE")
config_file = click.argument("file", metavar="CONFIG")


def machine_options(command: Any) -> Any:
    """Adds the options of kinds that run on a machine; see ``machine_run``."""
    return add_options(
        command,
        config_file,
        cron_option,
        name_option("hub-tfx-PIPELINE"),
        click.option(
            "--directory",
            metavar="DIR",
            help="Run in this folder, where paths of CONFIG start.  [the working directory]",
        ),
        click.option(
            "--program",
            metavar="FILE",
            help="Run this `hub-tfx`.  [the one of this Python]",
        ),
        set_option("KEY.KEY=VALUE…"),
    )


def machine_run(
    pipeline: str,
    file: str,
    *,
    cron: Cron,
    name: str | None,
    directory: str | None,
    program: str | None,
) -> "MachineRun":
    from hub_tfx_kubeflow.schedule.machine import MachineRun

    directory = check_path("--directory", directory or os.getcwd())
    program = check_path("--program", program or _our_program())
    config = check_path("CONFIG", os.path.abspath(file))
    return MachineRun(check_name(name or f"hub-tfx-{pipeline}"), cron, directory, program, config)


def _our_program() -> str:
    """Path of the `hub-tfx` that is installed beside this Python."""
    beside = os.path.join(os.path.dirname(sys.executable), "hub-tfx")
    found = beside if os.path.exists(beside) else shutil.which("hub-tfx")
    if found is None:
        raise UsageError("there is no hub-tfx beside this Python: name it with --program")
    return os.path.abspath(found)


def claims_of(values: Sequence[str]) -> dict[str, str]:
    """Absolute path -> claim."""
    claims = {}
    for name, path in pairs("--claim", values, "NAME=DIR").items():
        if os.path.normpath(path) != path or path == "/":
            raise UsageError(f"--claim takes NAME=DIR with an absolute folder, not {quoted(path)}")
        claims[check_path("--claim", path)] = check_name(name)
    return claims


def check_part(option: str, value: str) -> str:
    if _PART.fullmatch(value):
        return value
    raise UsageError(f"{option} takes a name, not {quoted(value)}")


def give(text: str, output: str | None) -> None:
    """Writes a file and prints its path; without one, prints the text."""
    if output is None:
        print_text(text.removesuffix("\n"))
        return
    path = Path(output)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(text)
    except (OSError, ValueError) as error:
        reason = why(error) if isinstance(error, OSError) else str(error)
        raise OutputError(f"{output} cannot be written: {reason}") from error
    print_path(output)
