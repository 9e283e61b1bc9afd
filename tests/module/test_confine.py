"""A child process without a network, on a disk that it cannot write to."""

import shutil
import socket
from pathlib import Path

import pytest

from hub_tfx.errors import ConfigError
from hub_tfx.module.check import check
from hub_tfx.module.child import run_child
from hub_tfx.module.confine import Sandbox
from hub_tfx.testing import minimal_module


@pytest.mark.parametrize("sandbox", [None, "bwrap"])
def test_a_confined_child_writes_in_its_folder_only_and_connects_to_nothing(
    sandbox: Sandbox | None, tmp_path: Path
) -> None:
    if sandbox and shutil.which(sandbox) is None:
        pytest.skip(f"no {sandbox}: `make system-deps`")
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        found = run_child("confined", [port, str(other)], own, 60, sandbox)
    assert found["passed"], found["why"]
    assert found["writes_here"]
    assert found["connects"] == found["writes"] == (sandbox is None)


def test_where_there_is_none_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"no bwrap on PATH \(--sandbox\): install it, on Debian"):
        check(minimal_module(tmp_path / "module"), sandbox="bwrap")
