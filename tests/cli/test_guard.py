"""What a command's parent makes of the ways in which a process may end."""

import os
import signal
import subprocess
import sys
import time

import pytest

_SCRIPT = """
import os, signal, sys, threading, time
from hub_tfx.cli import main as module

def run(arguments):
    {body}
    return 0

module.run = run
module.main([])
"""


def start(body):
    return subprocess.Popen(
        [sys.executable, "-c", _SCRIPT.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def end(body):
    process = start(body)
    stdout, stderr = process.communicate(timeout=30)
    return process.returncode, stdout, stderr


@pytest.mark.parametrize("code", [0, 1, 2, 7, 130])
def test_a_command_that_returns_has_its_exit_code(code):
    assert end(f"print('done'); return {code}") == (code, "done\n", "")


@pytest.mark.parametrize(
    "body",
    [
        "os._exit(0)",
        "threading.Thread(target=os._exit, args=(0,)).start(); time.sleep(60)",
        "os.execv('/bin/true', ['true'])",
        "sys.exit(0)",
        "(os.fork() or time.sleep(1)) and os._exit(0)",
    ],
)
def test_a_process_that_leaves_with_status_0_before_it_is_done_has_failed(body):
    code, _, stderr = end(body)
    assert code == 1
    assert "hub-tfx: error: the process left with status 0 before it was done" in stderr


def test_a_process_that_leaves_with_another_status_keeps_it():
    assert end("os._exit(3)")[0] == 3


@pytest.mark.parametrize("received", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_process_that_is_ended_by_a_signal_says_so(received):
    code, _, stderr = end(f"os.kill(os.getpid(), {int(received)})")
    assert code == 128 + received
    assert f"error: the process was ended by {received.name}" in stderr


_SLEEPING = "print(os.getpid(), flush=True); time.sleep(30)"
_COUNTING = """
    interrupts = 0
    for seconds in (60, 0.4):  # The second time for a second signal.
        try:
            print(os.getpid(), flush=True)
            # Not in one sleep: Python only looks for a signal that came just before it after it.
            for _ in range(int(seconds / 0.02)):
                time.sleep(0.02)
        except KeyboardInterrupt:
            interrupts += 1
    return 10 + interrupts
"""


@pytest.mark.parametrize("received", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to_group", [False, True], ids=["to the parent", "to the group"])
def test_a_signal_interrupts_the_command_once(received, to_group):
    process = start(_COUNTING)
    process.stdout.readline()  # It is ready.
    (os.killpg if to_group else os.kill)(process.pid, received)
    process.communicate(timeout=30)
    assert process.returncode == 11


def test_a_command_dies_with_its_parent():
    process = start(_SLEEPING)
    child = int(process.stdout.readline())
    assert child != process.pid
    process.kill()
    process.wait()
    deadline_s = time.monotonic() + 10
    while os.path.exists(f"/proc/{child}") and time.monotonic() < deadline_s:
        with open(f"/proc/{child}/stat") as about:
            if about.read().rpartition(")")[2].split()[0] == "Z":  # Nobody collects it here.
                return
        time.sleep(0.02)
    assert not os.path.exists(f"/proc/{child}")
