"""Tuned modules that no child process loads."""

import pytest


def trust_tuned(patch: pytest.MonkeyPatch) -> None:
    """Saves the child process that loads every tuned module, where that is not what is tested."""
    patch.setattr("hub_tfx.finetune.checks.check_hermetic", lambda tuned, imports: None)
