"""Runs a module of ours in a process of its own, with a time limit; what it finds is a document.

Another process, because a module or a converter may end the one that runs it, and so that nothing
of TensorFlow is loaded into this one. It is not a sandbox.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hub_tfx
from hub_tfx.errors import HubTfxError
from hub_tfx.module.confine import Sandbox, confined

_RESULT = "result.json"
_MAX_CHARS = 500


def run_child(
    name: str,
    arguments: Sequence[str],
    folder: str | os.PathLike[str],
    timeout_s: float,
    sandbox: Sandbox | None = None,
) -> dict[str, Any]:
    """Runs ``python -m NAME ARGUMENTS… RESULT_FILE`` in a folder.

    Args:
      name: of a module of Python that writes a JSON object with ``passed`` and ``why``.
      arguments: what it gets before the name of that file.
      folder: its working directory, where the file is written.
      timeout_s: how long it may take, its imports included.
      sandbox: what keeps it from the network, and from writing elsewhere than in the folder.

    Returns:
      What it wrote. Where it wrote nothing, ``passed`` is False and ``why`` says how it ended.

    Raises:
      ConfigError: the sandbox is not installed.
    """
    result = Path(folder, _RESULT)
    command = [sys.executable, "-m", name, *arguments, str(result)]
    command = [*confined(sandbox, folder), *command]
    try:
        done = subprocess.run(
            command, cwd=folder, env=_environment(), capture_output=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return {"passed": False, "why": f"it was not done within {timeout_s:g} s"}
    if not result.exists():
        return {"passed": False, "why": _ended(done)}
    document: dict[str, Any] = json.loads(result.read_text())
    return document


def answer(result_file: str, work: Callable[[], dict[str, Any]]) -> None:
    """What a child does: writes what the work gives, or its error, which is a result as well."""
    try:
        result = {"passed": True, "why": ""} | work()
    except Exception as error:  # noqa: BLE001 (whatever a module may raise)
        words = " ".join(str(error).split())[:_MAX_CHARS]
        ours = isinstance(error, HubTfxError) and words
        result = {"passed": False, "why": words if ours else f"{type(error).__name__}: {words}"}
    Path(result_file).write_text(json.dumps(result))


def _environment() -> dict[str, str]:
    """That of this process, with all that it can import, this very hub_tfx included: the child
    runs in another directory."""
    own = str(Path(hub_tfx.__file__).parents[1])
    paths = [os.path.abspath(entry) for entry in [*sys.path, own]]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _ended(done: "subprocess.CompletedProcess[bytes]") -> str:
    if done.returncode < 0:
        return f"it ended the process with {signal.Signals(-done.returncode).name}"
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"the process ended with {done.returncode}: {lines[-1] if lines else 'it says nothing'}"
