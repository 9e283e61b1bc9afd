"""Runs a process of ours without a network, on a disk that it cannot write to.

By bubblewrap (`bwrap`), which Linux distributions package. This lowers a risk and promises nothing:
the process reads what its user may read, and shares the kernel.
"""

import os
import shutil
from typing import Literal

from hub_tfx.errors import ConfigError

Sandbox = Literal["bwrap"]


def confined(sandbox: Sandbox | None, folder: str | os.PathLike[str]) -> list[str]:
    """The words before a command that confine it; none where nothing is asked for.

    Args:
      sandbox: the program that does it.
      folder: the only place where it may write.

    Raises:
      ConfigError: the program is not on PATH.
    """
    if sandbox is None:
        return []
    program = shutil.which(sandbox)
    if program is None:
        raise ConfigError(
            f"there is no {sandbox} on PATH (--sandbox): install it, on Debian as bubblewrap, or "
            "leave the option out"
        )
    place = os.path.abspath(folder)
    disk = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--bind", place, place]
    return [
        program,
        *disk,
        *("--unshare-net", "--unshare-ipc", "--unshare-pid"),
        *("--die-with-parent", "--new-session", "--chdir", place),
    ]
