"""Does a module work elsewhere? It is copied, and the copy loaded and run by another process.

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
from collections.abc import Sequence
from pathlib import Path

from hub_tfx.errors import OutputError

_COPY = "a moved copy"  # A space in the path is part of the test.


def run_moved(
    path: str | os.PathLike[str],
    timeout_s: float,
    imports: Sequence[str] = (),
    tags: Sequence[str] = (),
) -> tuple[bool, str]:
    """Whether a copy of the module in another place loads and runs on a made-up input, and why.

    Args:
      path: the module's directory.
      timeout_s: how long loading and running may take together.
      imports: packages that are imported before.
      tags: of the graph that is run; none for the one for inference.

    Raises:
      OutputError: the copy cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="hub_tfx-check-") as folder:
        try:
            shutil.copytree(path, Path(folder, _COPY), symlinks=True)
        except OSError as error:
            raise OutputError(
                f"{path} cannot be copied to {folder}: {error}; TMPDIR says where to"
            ) from error
        return _run(folder, timeout_s, json.dumps({"imports": [*imports], "tags": [*tags]}))


def _run(folder: str, timeout_s: float, options: str) -> tuple[bool, str]:
    result = Path(folder, "result.json")
    command = [sys.executable, "-m", "hub_tfx.module.check.try_out", _COPY, str(result), options]
    try:
        done = subprocess.run(
            command, cwd=folder, env=_environment(), capture_output=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return False, f"it was not done after {timeout_s:g} s"
    if not result.exists():
        return False, _ended(done)
    document = json.loads(result.read_text())
    return document["passed"], document["why"]


def _environment() -> dict[str, str]:
    """Ours, with this very hub_tfx where the child looks first, since it runs elsewhere."""
    source = str(Path(__file__).resolve().parents[2])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _ended(done: "subprocess.CompletedProcess[bytes]") -> str:
    if done.returncode < 0:
        return f"it ended the process with {signal.Signals(-done.returncode).name}"
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"the process ended with {done.returncode}: {lines[-1] if lines else 'it says nothing'}"
