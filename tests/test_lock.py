"""One run at a time works in a folder, and a dead one keeps nobody out."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hub_tfx._lock import sole_writer
from hub_tfx.errors import OutputError

_HOLD = """
import sys, time
from pathlib import Path
from hub_tfx._lock import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_kept_out_until_the_first_is_gone_however_it_ends(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", _HOLD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        refused = pytest.raises(OutputError, match=r"another run is writing to .*out: wait")
        with refused, sole_writer(tmp_path / "out"):
            pass
        holder.send_signal(signal.SIGKILL)
    with sole_writer(tmp_path / "out"):
        (tmp_path / "out" / "made").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["made"]


def test_of_many_who_try_one_at_a_time_is_in(tmp_path: Path) -> None:
    inside, most, entered = 0, 0, 0

    def enter_often() -> None:
        nonlocal inside, most, entered
        mine = 0
        while mine < 50:
            try:
                with sole_writer(tmp_path / "out"):
                    inside += 1
                    most, entered, mine = max(most, inside), entered + 1, mine + 1
                    inside -= 1
            except OutputError:
                pass

    threads = [threading.Thread(target=enter_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert entered == 200
    assert not (tmp_path / "out" / ".hub_tfx-lock").exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_where_a_filesystem_has_no_locks_a_rerun_after_a_kill_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    (tmp_path / ".hub_tfx-lock").touch()  # Of a run that was killed.
    with sole_writer(tmp_path):
        (tmp_path / "made").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = pytest.raises(OutputError, match=r"file/out cannot be written: Not a directory")
    with refused, sole_writer(tmp_path / "file" / "out"):
        pass
