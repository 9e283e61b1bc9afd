"""Starting a command quickly, and ending it: what a short job waits for otherwise."""

import atexit
import gc
import glob
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from hub_tfx._malloc import CHOSEN, is_settled

_HEAVY = ("embed", "fine-tune", "evaluate", "run")
_TCMALLOC = "/usr/lib/*/libtcmalloc_minimal.so.4"
"""Where Debian, Ubuntu and their images have it (package libtcmalloc-minimal4)."""


@contextmanager
def fast_imports() -> Iterator[None]:
    """Does not look for garbage during imports, which make millions of objects and none of it.

    What they made is left out of later collections, too.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def with_tcmalloc(arguments: Sequence[str]) -> None:
    """Starts the command again under tcmalloc, where that is installed and the command is heavy.

    TensorFlow on a CPU allocates large tensors for each call, for which glibc's malloc is slow
    (docs/adr/0008-memory-that-stays.md). HUB_TFX_MALLOC=system, settings of malloc, or an
    LD_PRELOAD of the user's own leave things as they are.
    """
    is_heavy = bool(arguments) and arguments[0] in _HEAVY
    if not is_heavy or is_settled() or os.environ.get("LD_PRELOAD"):
        return
    if found := sorted(glob.glob(_TCMALLOC)):
        os.environ.update({"LD_PRELOAD": found[0], CHOSEN: "tcmalloc"})
        with suppress(OSError):
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def leave(exit_code: int) -> NoReturn:
    """Ends the process now: taking down an interpreter full of libraries takes a second or more."""
    with suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # Its reader is gone, or it is closed.
            stream.flush()
    os._exit(exit_code)
