"""A folder from which runs are scheduled."""

import json

import pytest
import yaml
from cards import write_card
from command_lines import GOLDEN
from schedules import RETRAIN, small_workflow


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a config file, its card, and two compiled pipelines."""
    (tmp_path / "retrain.yaml").write_text(RETRAIN)
    write_card(tmp_path)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small_workflow()))
    job = json.loads((GOLDEN / "embed_pipeline.json").read_text())
    job["pipelineSpec"] = {"root": {"dag": {"tasks": {}}}}
    (tmp_path / "small.json").write_text(json.dumps(job))
    monkeypatch.chdir(tmp_path)
    return tmp_path
