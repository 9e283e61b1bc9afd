"""One training by a run_fn, as TFX's Trainer runs it, to the module that it leaves."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_tfx.errors import AuthoringError
from hub_tfx.finetune.checks import check_tuned
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.deliver import read_metrics, read_rows
from hub_tfx.finetune.new_module import NewModule
from hub_tfx.finetune.tf1_hub.exports import newest_export
from hub_tfx.module.resolved import ResolvedModule


@dataclass(frozen=True)
class TunedModule:
    """What a run_fn left.

    Attributes:
      path: directory of the module, checked.
      metrics: its evaluation by name; empty where run_fn wrote none.
      rows: numbers of rows by name, ``left_out`` among them; empty where run_fn wrote none.
    """

    path: Path
    metrics: Mapping[str, float]
    rows: Mapping[str, int]


def fine_tune_with(
    run_fn: Callable[[Any], None],
    fn_args: Any,
    base: ResolvedModule | NewModule | None,
    config: FineTuneConfig,
    folder: Path,
    preprocessor: ResolvedModule | None = None,
) -> TunedModule:
    """Runs a run_fn, takes the module that it leaves, and checks it as ``fine_tune_files`` does.

    Args:
      run_fn: see hub_tfx.finetune.run_fn, which says what it gets and what it leaves.
      fn_args: TFX's FnArgs; ``base_model`` and ``custom_config`` are set here.
      base: the module to start from, or how to make one; None for a run_fn that needs none.
      config: what to learn, and how.
      folder: an empty directory, for the module that is left and for a new base.
      preprocessor: a module that takes the features and feeds the base; run_fn finds its directory
        in ``custom_config["preprocessor"]``.

    Raises:
      AuthoringError: run_fn left no module, or what it left lacks something of the base module, or
        does not load by itself.
      HubTfxError: run_fn raised it.
    """
    if isinstance(base, NewModule):
        base = base.create(folder, config.seed)
    left = folder / "left"
    fn_args.base_model = str(base.path) if base else None
    fn_args.custom_config = (fn_args.custom_config or {}) | {
        "fine_tune": config.to_json(),
        "module_dir": str(left),
        **({"preprocessor": str(preprocessor.path)} if preprocessor else {}),
    }
    run_fn(fn_args)
    run_dir = Path(fn_args.model_run_dir)
    tuned = folder / "module"
    _take(left, run_dir, tuned)
    parent = base.spec if base and not config.allow_signature_changes else None
    check_tuned(tuned, parent, config.imports)
    return TunedModule(tuned, read_metrics(run_dir), read_rows(run_dir))


def _take(left: Path, run_dir: Path, destination: Path) -> None:
    """Takes what run_fn left itself, or the newest module that a LatestModuleExporter exported."""
    if left.is_dir():
        os.rename(left, destination)  # Whatever still names the old place is found by the check.
        return
    exported = newest_export(run_dir)
    if exported is None:
        raise AuthoringError(
            "run_fn left no module: it copies one to custom_config['module_dir'], or registers it "
            "with hub.register_module_for_export, in PREDICT mode too, and uses a "
            "hub.LatestModuleExporter below model_run_dir"
        )
    shutil.copytree(exported, destination)
