"""Trainings that are cut off at a certain place."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hub_tfx.finetune import job


@contextmanager
def cut_off(monkeypatch: pytest.MonkeyPatch, function: str) -> Iterator[None]:
    """Interrupts the training in the body where it comes to a function of ``finetune.job``."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job, function, interrupt)
        with pytest.raises(KeyboardInterrupt):
            yield
