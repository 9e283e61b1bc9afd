"""Which of the modules that a hub.LatestModuleExporter left is the newest."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from hub_tfx.module.files import TF1_HUB_MARKER

_log = logging.getLogger(__name__)


def newest_export(folder: Path) -> Path | None:
    """The newest module that was exported below a folder; None where there is none.

    hub names exports by the clock, which may have been set back, and writes no step into them. The
    Estimator's checkpoints are in the order in which they were saved, so the newest export is the
    one that has the weights of the newest checkpoint. Where the weights of exports are not those of
    any checkpoint that is left, such as moving averages, the largest time decides after all.

    Args:
      folder: the ``model_dir`` of the Estimator, or one above it.
    """
    exported = [
        marker.parent
        for marker in folder.glob(f"**/export/*/*/*/{TF1_HUB_MARKER}")
        if marker.parent.parent.name.isdigit()  # Not temp-*, which a killed export leaves.
    ]
    exported.sort(key=lambda path: int(path.parent.name), reverse=True)
    if len(exported) < 2:
        return next(iter(exported), None)
    return _of_newest_checkpoint(exported) or exported[0]


def _of_newest_checkpoint(exported: Sequence[Path]) -> Path | None:
    model_dir = exported[0].parents[3]
    state = tf.train.get_checkpoint_state(os.fspath(model_dir))
    checkpoints = reversed(state.all_model_checkpoint_paths) if state else ()
    for number, checkpoint in enumerate(checkpoints):
        for path in exported:
            if path.parents[3] == model_dir and _has_weights_of(path, checkpoint):
                if number:
                    _log.warning("%s is the newest export, but not of the last checkpoint", path)
                return path
    _log.warning("no export in %s has the weights of a checkpoint: the clock decides", model_dir)
    return None


def _has_weights_of(module: Path, checkpoint: str) -> bool:
    """Whether every variable of a module has its value in a checkpoint, under whatever scope."""
    held = tf.train.load_checkpoint(checkpoint)
    names = held.get_variable_to_shape_map()
    exported = tf.train.load_checkpoint(os.fspath(module / "variables" / "variables"))

    def is_held(name: str) -> bool:
        value = exported.get_tensor(name)
        scoped = (other for other in names if other == name or other.endswith(f"/{name}"))
        return any(np.array_equal(held.get_tensor(other), value) for other in scoped)

    return all(map(is_held, exported.get_variable_to_shape_map()))
