"""Which training a work directory belongs to: a run that was cut off resumes that one only."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub_tfx.errors import OutputError
from hub_tfx.finetune.training import TrainingJob

MAY_CHANGE = ("steps", "eval_every", "eval_steps", "patience", "allow_signature_changes", "threads")
"""What of a config may differ where a run resumes: how long it trains, and when it looks."""

_IN_WORDS = {"examples": "set of rows", "module_fn": "code of module_fn", "base": "base module"}


def identity_of(job: TrainingJob) -> dict[str, Any]:
    """What must be the same for a run to resume in a directory, as JSON gives it back."""
    config = json.loads(job.config.to_json())
    identity = {key: value for key, value in config.items() if key not in MAY_CHANGE}
    classes = list(job.head.classes)
    return {**identity, **job.digests, "signature": job.signature, "classes": classes}


def check_same(found: Mapping[str, Any], wanted: Mapping[str, Any], work_dir: Path) -> None:
    """Raises OutputError where a work directory's identity is not that of the job."""
    for key, value in wanted.items():
        if key not in found or found[key] != value:
            raise OutputError(
                f"{work_dir} belongs to another training, whose {_IN_WORDS.get(key, repr(key))} "
                "differs: name a new directory, or remove it to train from the start"
            )
