"""The trainers of both formats keep the contract of trainers."""

from pathlib import Path

import pytest

from hub_tfx.finetune.saved_model import trainer as saved_model
from hub_tfx.finetune.tf1_hub import trainer as tf1_hub
from hub_tfx.finetune.training import Trained, TrainingJob
from hub_tfx.module.manifest import Manifest
from hub_tfx.testing.trainers import TrainerContract

pytestmark = pytest.mark.long


class TestSavedModelTrainer(TrainerContract):
    module_format = "saved_model"

    def train(self, job: TrainingJob) -> Trained:
        return saved_model.train(job)

    def report_often(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(saved_model, "_REPORT_EVERY_S", 0)


class TestTf1HubTrainer(TrainerContract):
    module_format = "tf1_hub"

    def train(self, job: TrainingJob) -> Trained:
        return tf1_hub.train(job)

    def report_often(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(tf1_hub, "_REPORT_EVERY_S", 0)

    def fingerprint(self, module: Path) -> str:
        """All of its bytes: nothing in this format is numbered by the process that wrote it."""
        return Manifest.of_directory(module).digest
