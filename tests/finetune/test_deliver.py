"""A delivery that is killed leaves the earlier output or the new one, whichever moment it is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import deliveries
import pytest

from hub_tfx.errors import AuthoringError
from hub_tfx.finetune.deliver import deliver

_CALLS = ("rename", "renameat2")
_MORE_CALLS = (
    *("openat", "mkdir", "write", "sendfile", "close", "fsync", "chmod", "utimensat", "unlink"),
    *("rename", "renameat2", "unlinkat", "rmdir"),
)


@pytest.mark.parametrize(
    ("injected", "calls"),
    [
        ("-", _CALLS),
        pytest.param("-", _MORE_CALLS, marks=pytest.mark.slow),
        pytest.param(
            "renameat2:error=ENOSYS", _MORE_CALLS[:-4] + _CALLS[:1], marks=pytest.mark.slow
        ),
    ],
    ids=["short", "all", "all without an exchange of names"],
)
def test_wherever_a_delivery_is_killed_the_earlier_output_is_whole_or_the_new_one(
    tmp_path: Path, injected: str, calls: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    command = [sys.executable, "-W", "ignore", deliveries.__file__, str(tmp_path), injected, *calls]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=path, capture_output=True, text=True)
    if "strace: " in "".join(done.stderr.splitlines()[-1:]):
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    left = json.loads(done.stdout)
    with capsys.disabled():
        print(
            f"\nfine-tune's delivery, killed at {sum(left.values())} points: the earlier output "
            f"was there at {left.get('earlier', 0)}, the new one at {left.get('new', 0)}, the new "
            f"module and the earlier serving model at {left.get('between', 0)}, less than that at "
            f"{left.get('none', 0)}"
        )
    assert left.get("none", 0) == 0
    assert left.keys() == {"earlier", "between", "new"}


def test_what_does_not_pass_its_check_is_not_delivered(tmp_path: Path) -> None:
    def refuse(copy: Path) -> None:
        raise AuthoringError("no")

    for which in ("earlier", "new"):
        deliveries.write_made(tmp_path / which, which)
    deliver(tmp_path / "earlier" / "module", tmp_path / "out")
    with pytest.raises(AuthoringError):
        deliver(tmp_path / "new" / "module", tmp_path / "out", refuse)
    assert "earlier" in (tmp_path / "out" / "saved_model.pb").read_text()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
