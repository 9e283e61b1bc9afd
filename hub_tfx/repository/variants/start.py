"""Starts the child process that makes and tries a variant; what it made appears complete."""

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hub_tfx._files import MAKE_ROOM, check_output_name, staged_directory, why
from hub_tfx.errors import OutputError, VariantError
from hub_tfx.module.child import run_child
from hub_tfx.module.resolved import ResolvedModule

DEFAULT_TIMEOUT_S = 1800.0
_CHILD = "hub_tfx.repository.variants.child"


def made_by_child(
    kind: str,
    module: ResolvedModule,
    directory: str | os.PathLike[str],
    signature: str | None,
    imports: Iterable[str],
    timeout_s: float,
    **options: Any,
) -> dict[str, Any]:
    """What the child says about the variant that is now in ``directory``.

    Raises:
      VariantError: it could not be made, or does not do what the module does.
      OutputError: the directory is not empty or cannot be written.
    """
    check_output_name(directory)
    wanted = {"signature": signature, "imports": list(imports), **options}
    final = Path(os.path.abspath(directory))
    try:
        if final.is_dir() and any(final.iterdir()):
            raise OutputError(f"{final} is not empty: name another directory for the variant")
        with staged_directory(final) as staged, tempfile.TemporaryDirectory() as scratch:
            arguments = [kind, os.path.abspath(module.path), str(staged), json.dumps(wanted)]
            found = run_child(_CHILD, arguments, scratch, timeout_s)
            if not found["passed"]:
                raise VariantError(
                    f"{module.handle}: there is no {kind} variant of it: {found['why']}; publish "
                    f"it without that variant, or change the module"
                )
    except OSError as error:
        raise OutputError(f"{final} cannot be written: {why(error)}; {MAKE_ROOM}") from error
    return found
