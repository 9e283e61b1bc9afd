"""`hub-tfx publish --variant`: other formats lie beside the module, and module.json says how far
they are from it."""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from published import card

from hub_tfx import testing
from hub_tfx.cli.main import run
from hub_tfx.module.load import load
from hub_tfx.repository.facts import ModuleFacts, VariantFacts
from hub_tfx.repository.variants import start


def _in_this_process(
    name: str, arguments: Sequence[str], folder: str, timeout_s: float
) -> dict[str, Any]:
    """What ``run_child`` does, without the seconds that another process takes to begin."""
    result = Path(folder, "result.json")
    importlib.import_module(name).main(*arguments, str(result))
    found: dict[str, Any] = json.loads(result.read_text())
    return found


@pytest.mark.parametrize("has_child", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_module_is_published_in_two_more_formats(
    has_child: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not has_child:
        monkeypatch.setattr(start, "run_child", _in_this_process)
    monkeypatch.setenv("HUB_TFX_REPOSITORY", str(tmp_path / "repository"))
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    module = testing.text_module(tmp_path / "module")
    command = ["publish", str(module), "--name", "acme/words", "--card", str(card(tmp_path))]
    assert run([*command, "--variant", "tflite", "--variant", "serving"]) == 0
    version = tmp_path / "repository" / "acme" / "words" / "1"
    facts = ModuleFacts.from_json((version / "module.json").read_bytes())
    model = version / "variants" / "tflite" / "model.tflite"
    served = version / "variants" / "serving"
    size_bytes = sum(path.stat().st_size for path in served.rglob("*") if path.is_file())
    assert facts.variants == (
        VariantFacts("serving", "default", 0.0, size_bytes),
        VariantFacts("tflite", "default", 0.0, model.stat().st_size, needs_flex=True),
    )
    texts = tf.constant(["the cat", "a dog"])
    serve = tf.saved_model.load(str(served), tags=["serve"]).signatures["serving_default"]
    expected = load(module)({"default": texts})["default"]
    assert (serve(default=texts)["default"].numpy() == expected.numpy()).all()
    capsys.readouterr()
    assert run(["repo", "show", "acme/words", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["variants"] == ["serving", "tflite"]
    assert run(["repo", "show", "acme/words"]) == 0
    assert "tflite\tdefault\t0.0\tyes" in capsys.readouterr().out


def test_a_variant_that_cannot_be_made_publishes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This module has a signature and no graph behind it."""
    monkeypatch.setattr(start, "run_child", _in_this_process)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    module = testing.minimal_module(tmp_path / "module")
    of = [
        "--repository",
        str(tmp_path / "r"),
        "--name",
        "acme/words",
        "--card",
        str(card(tmp_path)),
    ]
    assert run(["publish", str(module), *of, "--variant", "serving"]) == 1
    why = "there is no serving variant of it: what was written cannot be loaded: "
    assert why in capsys.readouterr().err
    assert not (tmp_path / "r" / "acme").exists()
    assert run(["publish", str(module), *of]) == 0
    assert run(["publish", str(module), *of, "--variant", "serving"]) == 0
    assert "published without the variant serving" in capsys.readouterr().err
