"""Does a module work elsewhere? It is copied, and a child process loads the copy and may run it."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hub_tfx.errors import OutputError
from hub_tfx.module.child import run_child
from hub_tfx.module.confine import Sandbox

_COPY = "a moved copy"  # A space in the path is part of the test.


def run_moved(
    path: str | os.PathLike[str],
    timeout_s: float,
    imports: Iterable[str] = (),
    tags: Iterable[str] = (),
    sandbox: Sandbox | None = None,
) -> tuple[bool, str]:
    """Whether a copy of the module in another place loads and runs on a made-up input, and why.

    Args:
      path: the module's directory.
      timeout_s: how long loading and running may take together.
      imports: packages to import first, such as those that register the module's ops.
      tags: of the graph that is run; none for the one for inference.
      sandbox: what keeps it from the network, and from writing elsewhere.

    Raises:
      ConfigError: the sandbox is not installed.
      OutputError: the copy cannot be written.
    """
    wanted = {"signatures": None, "imports": list(imports), "tags": list(tags)}
    return _try_moved(path, timeout_s, wanted, sandbox)


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
    path: str | os.PathLike[str],
    timeout_s: float,
    wanted: Mapping[str, Any],
    sandbox: Sandbox | None = None,
) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory(prefix="hub_tfx-check-") as folder:
        try:
            shutil.copytree(path, Path(folder, _COPY), symlinks=True)
        except OSError as error:
            raise OutputError(
                f"{path} cannot be copied to {folder}: {error}; TMPDIR says where to"
            ) from error
        name = "hub_tfx.module.check.try_out"
        found = run_child(name, [_COPY, json.dumps(wanted)], folder, timeout_s, sandbox)
        return found["passed"], found["why"]
