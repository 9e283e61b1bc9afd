"""The first look at a module: its signatures and whether it may be loaded, within limits."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_tfx.module.inspect import spec_of
from hub_tfx.module.limited import LIMITS, Limits, run_limited
from hub_tfx.module.proto import damage_reported, read_graphs
from hub_tfx.module.safety import Verdict, judge_graphs
from hub_tfx.module.spec import ModuleSpec


@dataclass(frozen=True)
class Examined:
    """What a module takes and gives, and what was found in it."""

    spec: ModuleSpec
    verdict: Verdict


def examine(
    path: str | os.PathLike[str], *, is_trusted: bool = False, limits: Limits = LIMITS
) -> Examined:
    """Reads the module in a directory once, for both; runs nothing.

    Args:
      path: the directory.
      is_trusted: whether a small graph is read in this process; see run_limited.
      limits: of the process that reads it.

    Raises:
      NotAModuleError: the directory holds no SavedModel, or one that cannot be read.
      UnsafeModuleError: reading it takes more than the limits allow.
    """
    found = run_limited("hub_tfx.module.examine:read", path, is_trusted=is_trusted, limits=limits)
    return Examined(ModuleSpec.from_json(found["spec"]), Verdict.from_dict(found["verdict"]))


def read(path: Path) -> dict[str, Any]:
    """The same as a document for JSON, in this process."""
    stored: list[Any] = []

    def graphs() -> Iterator[Any]:
        stored.extend(read_graphs(path))
        yield from stored

    with damage_reported(path):
        spec = spec_of(path, graphs())
        return {"spec": spec.to_json(), "verdict": judge_graphs(path, stored).to_dict()}
