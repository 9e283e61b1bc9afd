"""A run_fn that costs nothing, alone in a folder that a container's PYTHONPATH can name."""

import os
import shutil
from pathlib import Path
from typing import Any

LEARNS = "TEST_LEARNS"
"""The variable with the directory of the module that training makes."""


def run_fn(fn_args: Any) -> None:
    """Learns what the test says: what is tested is around it."""
    tuned = Path(fn_args.custom_config["module_dir"])
    shutil.copytree(os.environ[LEARNS], tuned)
    shutil.copytree(tuned, fn_args.serving_model_dir)
