"""Commands start and end quickly, and lose nothing by it."""

import gc
import os
import subprocess
import sys

import pytest

from hub_tfx.cli import start
from hub_tfx.cli.start import fast_imports


def test_no_garbage_is_collected_during_imports_and_again_afterwards():
    with fast_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.unfreeze()


def left(script):
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


def test_what_was_printed_and_what_was_to_be_done_at_the_end_is_not_lost():
    done = left(
        "import atexit, sys; from hub_tfx.cli.start import leave\n"
        "atexit.register(lambda: print('last'))\n"
        "print('first'); print('told', file=sys.stderr)\n"
        "leave(3)"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("first\nlast\n", "told\n", 3)


@pytest.mark.parametrize(
    ("arguments", "environment", "starts_again"),
    [
        (["embed", "--module", "m"], {}, True),
        (["evaluate", "--module", "m"], {}, True),
        (["resolve", "m"], {}, False),
        ([], {}, False),
        (["embed"], {"HUB_TFX_MALLOC": "system"}, False),
        (["embed"], {"LD_PRELOAD": "mine.so"}, False),
        (["embed"], {"MALLOC_ARENA_MAX": "1"}, False),
    ],
)
def test_heavy_commands_run_under_tcmalloc_where_it_is_installed(
    monkeypatch, tmp_path, arguments, environment, starts_again
):
    library = tmp_path / "libtcmalloc_minimal.so.4"
    library.touch()
    started = []
    monkeypatch.setattr(start, "_TCMALLOC", str(library))
    monkeypatch.setattr(os, "execv", lambda path, given: started.append(given))
    monkeypatch.setattr(os, "environ", dict(environment))
    start.with_tcmalloc(arguments)
    assert bool(started) == starts_again
    if starts_again:
        assert os.environ["LD_PRELOAD"] == str(library)
        start.with_tcmalloc(arguments)  # In the process that was started.
        assert len(started) == 1


def test_without_it_nothing_is_started_again(monkeypatch, tmp_path):
    monkeypatch.setattr(start, "_TCMALLOC", str(tmp_path / "libtcmalloc*"))
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("started again"))
    start.with_tcmalloc(["embed"])
