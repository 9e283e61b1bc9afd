"""Modules that no child process loads or reads."""

from typing import Any

import pytest

from hub_tfx.module import examine


def trust_tuned(patch: pytest.MonkeyPatch) -> None:
    """Saves the child process that loads every tuned module, where that is not what is tested."""
    patch.setattr("hub_tfx.finetune.checks.check_hermetic", lambda tuned, imports: None)


def examine_here(patch: pytest.MonkeyPatch) -> None:
    """Saves the child process that reads every module from elsewhere, where that is not tested."""
    run_limited = examine.run_limited

    def here(*arguments: Any, **options: Any) -> dict[str, Any]:
        return run_limited(*arguments, **{**options, "is_trusted": True})

    patch.setattr(examine, "run_limited", here)
