"""Runs of a pipeline on a machine: a line of a crontab, or a service of systemd and its timer.

At most one run happens at a time: `flock` keeps a second one of the crontab out, and systemd starts
no service that is running. Runs that were missed are not made up for.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from hub_tfx.cli.evaluate import NOT_BLESSED
from hub_tfx_kubeflow.schedule.cron import Cron
from hub_tfx_kubeflow.schedule.run_file import RunFile


@dataclass(frozen=True)
class MachineRun:
    """When and where a pipeline runs.

    Attributes:
      name: name of the schedule, of its log file and of its units.
      cron: when runs start.
      directory: absolute path of the folder where the paths of the config start.
      program: absolute path of `hub-tfx`, since cron and systemd search no environment for it.
      config_file: absolute path of the config file.
    """

    name: str
    cron: Cron
    directory: str
    program: str
    config_file: str


def crontab_line(run: RunFile, of: MachineRun) -> str:
    """A line for `crontab -e`; what a run prints is appended to NAME.log in its directory.

    ``%`` is a line break to cron, in quotes as well, unless it has a backslash.
    """
    command = shlex.join(["flock", "--nonblock", f".{of.name}.lock", *_command(run, of)])
    shell = f"cd {shlex.quote(of.directory)} && {command} >> {of.name}.log 2>&1"
    return f"{of.cron} {shell}\n".replace("%", r"\%")


_SERVICE = """\
# {name}.service: one run; systemd starts no second one while it is going on.
[Unit]
Description=hub-tfx run {pipeline} ({name})
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
{user}WorkingDirectory={directory}
ExecStart={command}
# The new module was not better: the run has done what it should.
SuccessExitStatus={not_blessed}
NoNewPrivileges=true
"""
_TIMER = """\
# {name}.timer: `systemctl enable --now {name}.timer` starts it.
[Unit]
Description=When {name} runs

[Timer]
{events}
# Runs that were missed while the machine was off are not made up for.
Persistent=false

[Install]
WantedBy=timers.target
"""


def systemd_units(
    run: RunFile, of: MachineRun, timezone: str | None, user: str | None
) -> Mapping[str, str]:
    """The units of systemd, by the name of their file.

    Args:
      run: the config file.
      of: when and where it runs.
      timezone: the time zone in which runs start; None for that of the machine.
      user: user who runs it; None for root, or for the user whose units these are.
    """
    command = " ".join(map(_argument, _command(run, of)))
    service = _SERVICE.format(
        name=of.name,
        pipeline=run.pipeline,
        user="" if user is None else f"User={user}\n",
        directory=_specifiers_escaped(of.directory),
        command=command,
        not_blessed=NOT_BLESSED,
    )
    events = "\n".join(f"OnCalendar={event}" for event in of.cron.calendar(timezone))
    timer = _TIMER.format(name=of.name, events=events)
    return {f"{of.name}.service": service, f"{of.name}.timer": timer}


def _command(run: RunFile, of: MachineRun) -> list[str]:
    return run.command(of.program, of.config_file)


def _argument(text: str) -> str:
    """An argument of ExecStart=, in quotes where systemd would split or replace something."""
    text = _specifiers_escaped(text).replace("$", "$$")
    if text.replace("-", "").replace("/", "").replace(".", "").replace("_", "").isalnum():
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _specifiers_escaped(text: str) -> str:
    return text.replace("%", "%%")
