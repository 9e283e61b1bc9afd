"""Reads files of a module that nobody has looked at yet in a child process with limits.

A saved_model.pb of a few megabytes may have its reader take gigabytes, or hours: the child is ended
then, and the parent says which limit was met. The child imports a few light modules of Python only,
so it costs a tenth of a second. It is not a sandbox: it may read what its user may read.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from hub_tfx import errors
from hub_tfx.errors import HubTfxError, NotAModuleError, UnsafeModuleError
from hub_tfx.module.files import SAVED_MODEL, SAVED_MODEL_TEXT

_MIB = 1 << 20
_SMALL_BYTES = 128 << 10
"""A graph of this size is read in a second and 64 MiB, whatever is in it."""
_START = (
    "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given['path']; "
    "from hub_tfx.module.limited import answer; answer(given)"
)
# Python's own switches off: no site, no environment. What the child needs is given to it.
_SWITCHES = ("-S", "-E")
_KEPT = ("LD_LIBRARY_PATH", "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "LANG", "LC_ALL")
_NO_MEMORY = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGKILL)


@dataclass(frozen=True)
class Limits:
    """What reading a module's graphs may take.

    Attributes:
      file_bytes: size of its saved_model.pb; TensorFlow itself reads no larger one.
      memory_bytes: memory of a child that reads an empty file.
      memory_per_byte: more of it for each byte of the file, in which graphs of real modules stay
        far below; at most ``extra_bytes`` and four times the file.
      cpu_s, wall_s: seconds.
      answer_bytes: size of what the child answers.
    """

    file_bytes: int = (1 << 31) - 1
    memory_bytes: int = 320 * _MIB
    memory_per_byte: int = 40
    extra_bytes: int = 2048 * _MIB
    cpu_s: int = 120
    wall_s: float = 300
    answer_bytes: int = 64 * _MIB

    def memory_for(self, size_bytes: int) -> int:
        """Memory of a child that reads a file of this size."""
        more = min(self.memory_per_byte * size_bytes, self.extra_bytes + 4 * size_bytes)
        return self.memory_bytes + more


LIMITS = Limits()


def run_limited(
    work: str,
    path: str | os.PathLike[str],
    *,
    is_trusted: bool = False,
    limits: Limits = LIMITS,
    **arguments: Any,
) -> dict[str, Any]:
    """Calls a function of ours with a module's directory, in a child process with limits.

    Args:
      work: ``package.module:function``; it takes a Path and gives a document for JSON.
      path: the module's directory.
      is_trusted: whether a module whose graph is small is read in this process.
      limits: of the child.
      arguments: more for the function, by name.

    Raises:
      UnsafeModuleError: a limit was met; the message names it.
      HubTfxError: what the function raises.
    """
    path = Path(path)
    size_bytes = _size_bytes(path)
    if size_bytes > limits.file_bytes:
        _refuse(path, f"it is larger than {limits.file_bytes:,} bytes")
    if is_trusted and size_bytes <= _SMALL_BYTES:
        return _function(work)(path, **arguments)
    memory_bytes = limits.memory_for(size_bytes)
    given = {
        "path": _importable(),
        "work": work,
        "directory": str(path),
        "arguments": arguments,
        "memory_bytes": memory_bytes,
        "cpu_s": limits.cpu_s,
        "answer_bytes": limits.answer_bytes,
    }
    return _told(path, _run(path, given, limits), limits, memory_bytes)


def answer(given: Mapping[str, Any]) -> None:
    """What the child does: sets its limits, calls the function and prints a document."""
    _set_limits(given["memory_bytes"], given["cpu_s"])
    try:
        work = partial(_function(given["work"]), Path(given["directory"]))
        text = json.dumps({"answer": work(**given["arguments"])})
        if len(text) > given["answer_bytes"]:
            text = json.dumps({"limit": "answer"})
    except MemoryError:
        text = json.dumps({"limit": "memory"})
    except HubTfxError as error:
        text = json.dumps({"error": type(error).__name__, "message": str(error)})
    sys.stdout.write(text)
    sys.stdout.flush()
    os._exit(0)  # Taking large messages apart takes long, and nobody needs it.


def _set_limits(memory_bytes: int, cpu_s: int) -> None:
    for kind, limit, last in (
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),  # At the last one it is killed without a word.
        (resource.RLIMIT_CORE, 0, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            limit, last = min(limit, hard), min(last, hard)
        resource.setrlimit(kind, (limit, last))


def _run(
    path: Path, given: Mapping[str, Any], limits: Limits
) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, *_SWITCHES, "-c", _START, json.dumps(given)]
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        return subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limits.wall_s,
        )
    except subprocess.TimeoutExpired:
        _refuse(path, f"reading it takes more than {limits.wall_s:g} s")
    except OSError as error:
        raise HubTfxError(
            f"{path}: no process can be started to read it ({error}): end others, or free memory"
        ) from error


def _told(
    path: Path, done: "subprocess.CompletedProcess[bytes]", limits: Limits, memory_bytes: int
) -> dict[str, Any]:
    """The answer of a child, or the error that it came to."""
    document: dict[str, Any] = {}
    if done.returncode == 0 and done.stdout:
        document = json.loads(done.stdout)
    elif done.returncode == -signal.SIGXCPU:
        _refuse(path, f"reading it takes more than {limits.cpu_s} s of processor time")
    if "answer" in document:
        found: dict[str, Any] = document["answer"]
        return found
    if document.get("limit") == "answer":
        _refuse(path, f"its signatures take more than {limits.answer_bytes >> 20:,} MiB")
    if document.get("limit") == "memory" or -done.returncode in _NO_MEMORY:
        _refuse(path, f"reading it takes more than {memory_bytes >> 20:,} MiB of memory")
    if "error" in document:
        kind = getattr(errors, document["error"], NotAModuleError)
        raise kind(document["message"])
    raise HubTfxError(
        f"{path}: the process that reads it ended with {done.returncode}: see that "
        f"`{sys.executable} -c 'import hub_tfx'` works"
    )


def _refuse(path: Path, why: str) -> NoReturn:
    raise UnsafeModuleError(
        f"{path}: its {SAVED_MODEL} is not read: {why}, which no real module needs; do not use it, "
        "or ask its author for one that was exported again"
    )


def _size_bytes(path: Path) -> int:
    sizes = [0]
    for name in (SAVED_MODEL, SAVED_MODEL_TEXT):
        try:
            sizes.append(os.stat(path / name).st_size)
        except OSError:
            continue  # It is told by what reads it.
    return max(sizes)


def _function(work: str) -> Callable[..., dict[str, Any]]:
    module, _, name = work.partition(":")
    function: Callable[..., dict[str, Any]] = getattr(import_module(module), name)
    return function


def _importable() -> list[str]:
    """What this process imports from, this very hub_tfx first."""
    own = str(Path(errors.__file__).parents[1])
    return list(dict.fromkeys([own, *(os.path.abspath(entry) for entry in sys.path)]))
