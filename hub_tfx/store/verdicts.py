"""What was found in a module, kept beside it in the cache for its next use.

<digest>/verdict-<version>.json   see hub_tfx.module.safety.Verdict; the version is that of the list
"""

import json
from contextlib import suppress
from pathlib import Path

from hub_tfx._files import read_regular, replacing
from hub_tfx.module.examine import examine
from hub_tfx.module.ops import op_list
from hub_tfx.module.safety import Verdict


def write_verdict(directory: Path, verdict: Verdict) -> None:
    """Keeps a verdict in the directory of an entry that is not in its place yet."""
    _path(directory).write_text(json.dumps(verdict.to_dict()))


def verdict_of(directory: Path, module: Path) -> Verdict:
    """The verdict on a module of the cache, which is judged where that was not done yet.

    Args:
      directory: of the entry.
      module: of the module's files.

    Raises:
      NotAModuleError, UnsafeModuleError: the module cannot be read.
    """
    kept = _path(directory)
    try:
        document = json.loads(read_regular(kept, follow_link=False))
        if document["version"] == op_list().version:
            return Verdict.from_dict(document)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass  # There is none, or it is damaged: the module itself is what counts.
    verdict = examine(module).verdict
    with suppress(OSError), replacing(kept) as temporary:  # The cache may be somebody else's.
        temporary.write_text(json.dumps(verdict.to_dict()))
    return verdict


def _path(directory: Path) -> Path:
    return directory / f"verdict-{op_list().version}.json"
