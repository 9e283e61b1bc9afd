"""Retraining runs that are killed: see killed_retraining.py, which needs a process of its own.

Two deaths are in test_retrain_pipeline.py, which runs every day.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SWEEP = Path(__file__).parents[1] / "killed_retraining.py"


@pytest.mark.slow
def test_after_every_death_the_next_run_leaves_what_a_run_leaves_that_nobody_killed(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, SWEEP, tmp_path / "sweep"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one for one in found if one["wrong"]] == []
    steps = {one["step"] for one in found}
    assert {"RetrainGate", "ModuleTrainer", "ModuleEvaluator", "ModulePublisher"} < steps
    assert sum(one["step"] == "ModulePublisher" for one in found) > 10
