"""Does a module work elsewhere? It is copied, and another process loads the copy, and may run it.

Another process, because a module may end the one that runs it, and so that nothing of TensorFlow is
loaded into this one. It is not a sandbox.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import hub_tfx
from hub_tfx.errors import OutputError

_COPY = "a moved copy"  # A space in the path is part of the test.


def run_moved(
    path: str | os.PathLike[str],
    timeout_s: float,
    imports: Iterable[str] = (),
    tags: Iterable[str] = (),
) -> tuple[bool, str]:
    """Whether a copy of the module in another place loads and runs on a made-up input, and why.

    Args:
      path: the module's directory.
      timeout_s: how long loading and running may take together.
      imports: packages to import first, such as those that register the module's ops.
      tags: of the graph that is run; none for the one for inference.

    Raises:
      OutputError: the copy cannot be written.
    """
    return _try_moved(path, timeout_s, {"signatures": None, "imports": list(imports)})


def load_moved(
    path: str | os.PathLike[str],
    signatures: Iterable[str],
    timeout_s: float,
    imports: Iterable[str] = (),
) -> tuple[bool, str]:
    """Whether each of these signatures loads from a copy of the module in another place, and why;
    none is run. The other arguments and errors are those of ``run_moved``."""
    wanted = {"signatures": list(signatures), "imports": list(imports)}
    return _try_moved(path, timeout_s, wanted)


def _try_moved(
    path: str | os.PathLike[str], timeout_s: float, wanted: Mapping[str, Any]
) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory(prefix="hub_tfx-check-") as folder:
        try:
            shutil.copytree(path, Path(folder, _COPY), symlinks=True)
        except OSError as error:
            raise OutputError(
                f"{path} cannot be copied to {folder}: {error}; TMPDIR says where to"
            ) from error
        return _run(folder, timeout_s, wanted)


def _run(folder: str, timeout_s: float, wanted: Mapping[str, Any]) -> tuple[bool, str]:
    result = Path(folder, "result.json")
    arguments = [_COPY, json.dumps(wanted), str(result)]
    command = [sys.executable, "-m", "hub_tfx.module.check.try_out", *arguments]
    try:
        done = subprocess.run(
            command, cwd=folder, env=_environment(), capture_output=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return False, f"it was not done within {timeout_s:g} s"
    if not result.exists():
        return False, _ended(done)
    document = json.loads(result.read_text())
    return document["passed"], document["why"]


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
