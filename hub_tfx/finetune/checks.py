"""What a tuned module must be before anybody gets it: complete, compatible, and on its own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hub_tfx.errors import AuthoringError
from hub_tfx.module.inspect import inspect
from hub_tfx.module.spec import ModuleSpec, TensorInfo

_LOAD_TIMEOUT_S = 600.0
_LOAD = """
import json, sys
from hub_tfx._quiet import quiet_libraries
quiet_libraries()
from hub_tfx.module.load import load
for signature in json.loads(sys.argv[2]):
    load(sys.argv[1], signature)
"""


def check_compatible(tuned: str | os.PathLike[str], parent: ModuleSpec) -> None:
    """Raises AuthoringError unless every signature of the parent is there: keys, dtypes, shapes."""
    spec = inspect(tuned)
    for name, signature in parent.signatures.items():
        mine = spec.signatures.get(name)
        if mine is None:
            raise AuthoringError(f"the tuned module lost the signature {name!r} of its parent")
        for side in ("inputs", "outputs"):
            _check_same(name, side, getattr(mine, side), getattr(signature, side))
    for tags in parent.tags:
        if tags not in spec.tags:
            raise AuthoringError(f"the tuned module lost the graph variant {set(tags) or '{}'}")


def check_hermetic(tuned: Path) -> None:
    """Loads a moved copy of the module in a child process, with nothing of ours at hand.

    Raises:
      AuthoringError: it does not load; it points at something outside its own directory.
    """
    signatures = list(inspect(tuned).signatures)
    with tempfile.TemporaryDirectory() as folder:
        moved = Path(folder, "moved")
        shutil.copytree(tuned, moved)
        hidden = tuned.with_name(tuned.name + ".hidden")
        tuned.rename(hidden)
        try:
            child = subprocess.run(
                [sys.executable, "-c", _LOAD, str(moved), json.dumps(signatures)],
                capture_output=True,
                text=True,
                timeout=_LOAD_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise AuthoringError(
                f"the tuned module did not load within {_LOAD_TIMEOUT_S:.0f} s from another place"
            ) from error
        finally:
            hidden.rename(tuned)
    if child.returncode:
        reason = (child.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise AuthoringError(
            f"the tuned module does not load away from where it was made: {reason}"
        )


def _check_same(
    name: str, side: str, mine: Mapping[str, TensorInfo], parents: Mapping[str, TensorInfo]
) -> None:
    for key, info in parents.items():
        if key not in mine:
            raise AuthoringError(f"signature {name!r} of the tuned module lost {side} {key!r}")
        if mine[key] != info:
            raise AuthoringError(
                f"{side} {key!r} of signature {name!r} was {info}, in the tuned module {mine[key]}"
            )
