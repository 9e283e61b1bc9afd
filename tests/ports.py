"""Servers that tests start, on ports of this machine."""

import socket
import subprocess
import time
from typing import Any

import pytest

_START_S = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait_for(port: int, running: "subprocess.Popen[Any]") -> None:
    """Returns when a server accepts connections; fails where it has ended, or takes too long."""
    end = time.monotonic() + _START_S
    while running.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                pytest.fail(f"{running.args} does not answer on port {port}")
            time.sleep(0.05)
    told = running.stderr.read() if running.stderr else ""
    pytest.fail(f"{running.args} has ended: {told}")
