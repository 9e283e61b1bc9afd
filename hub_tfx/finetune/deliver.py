"""How what a training made is handed over: whole, checked, and on the disk."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from hub_tfx._files import replacing
from hub_tfx.module.create.export import staged

_METRICS = "metrics.json"
_ROWS = "rows.json"


def deliver(made: Path, destination: Path, check: Callable[[Path], None] | None = None) -> None:
    """Copies a directory out of a trainer's work directory, in the place of what is there.

    Args:
      made: the directory.
      destination: what the copy becomes, once it is complete.
      check: called with the copy before that; where it raises, nothing is delivered.

    Raises:
      OutputError: the copy cannot be written.
    """
    with staged(destination, replace=True) as directory:
        shutil.copytree(made, directory, dirs_exist_ok=True)
        if check is not None:
            check(directory)


def write_metrics(folder: Path, metrics: Mapping[str, float]) -> None:
    """Leaves the evaluation of the module in a run_fn's ``model_run_dir``, for ModuleTrainer."""
    with replacing(folder / _METRICS) as temporary:
        temporary.write_text(json.dumps({name: float(value) for name, value in metrics.items()}))


def write_rows(folder: Path, rows: Mapping[str, int]) -> None:
    """Leaves the numbers of rows in a run_fn's ``model_run_dir``, for ModuleTrainer."""
    with replacing(folder / _ROWS) as temporary:
        temporary.write_text(json.dumps(dict(rows)))


def read_rows(folder: Path) -> dict[str, int]:
    """Numbers of rows that a run_fn left in ``folder``; empty where it left none."""
    path = folder / _ROWS
    rows: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    return rows


def read_metrics(folder: Path) -> dict[str, float]:
    """Evaluation of the module that a run_fn left in ``folder``; empty where it left none."""
    path = folder / _METRICS
    metrics: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    return metrics
