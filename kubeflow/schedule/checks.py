"""What every schedule has: a name, and perhaps a time zone."""

import os
import re

from hub_tfx._text import hint, nearest, quoted
from hub_tfx.errors import UsageError

MAX_NAME_CHARS = 40
_NAME = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")


def check_name(name: str) -> str:
    """A name that Kubernetes, systemd and files take.

    Kubernetes has 63 characters for it, of which controllers need some to number their runs.

    Raises:
      UsageError: it is not one.
    """
    if _NAME.fullmatch(name) and len(name) <= MAX_NAME_CHARS:
        return name
    raise UsageError(
        f"{quoted(name)} is not a name for a schedule: give --name with lower-case letters, digits "
        f"and hyphens, a letter first and at most {MAX_NAME_CHARS}"
    )


def check_timezone(name: str) -> str:
    """The name of a time zone in the IANA's database, such as Europe/Berlin.

    Raises:
      UsageError: there is none of this name.
    """
    from zoneinfo import available_timezones

    zones = available_timezones()
    if name in zones:
        return name
    near = {zone.lower(): zone for zone in zones}
    found = hint(nearest(name, near, near.__getitem__))
    raise UsageError(f"{quoted(name)} is not a time zone: give one such as Europe/Berlin{found}")


def check_path(option: str, path: str) -> str:
    """An absolute path that a crontab and a unit of systemd can hold.

    Raises:
      UsageError: it is not one.
    """
    if not os.path.isabs(path):
        raise UsageError(f"{option} takes an absolute path, not {quoted(path)}")
    if path.isprintable() and "\\" not in path and path == path.strip():
        return path
    raise UsageError(
        f"{option}: {quoted(path)} holds a character that crontabs and units do not take: name a "
        "path without line breaks and backslashes"
    )
