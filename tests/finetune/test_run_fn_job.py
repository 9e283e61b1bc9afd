"""`fine_tune_with`: a run_fn's module is taken and checked, without any TFX."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hub_tfx import testing
from hub_tfx.errors import AuthoringError
from hub_tfx.finetune import checks
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.deliver import write_metrics
from hub_tfx.finetune.run_fn_job import TunedModule, fine_tune_with
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.resolved import ResolvedModule

CONFIG = FineTuneConfig("label", steps=2, imports=("json",))


def keep_base(fn_args: Any) -> None:
    """A run_fn that learns nothing."""
    assert FineTuneConfig.from_json(fn_args.custom_config["fine_tune"]) == CONFIG
    shutil.copytree(fn_args.base_model, fn_args.custom_config["module_dir"])
    write_metrics(Path(fn_args.model_run_dir), {"loss": 1})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ResolvedModule:
    path = testing.text_module(tmp_path_factory.mktemp("base") / "1", "saved_model")
    return ResolvedModule.of_directory(path)


def tune(base: ResolvedModule, folder: Path, run_fn: Any = keep_base) -> TunedModule:
    run_dir = folder / "run"
    run_dir.mkdir()
    fn_args = SimpleNamespace(model_run_dir=str(run_dir), custom_config={"mine": 1})
    (folder / "work").mkdir()
    tuned = fine_tune_with(run_fn, fn_args, base, CONFIG, folder / "work")
    assert fn_args.custom_config["mine"] == 1
    return tuned


def test_the_module_is_not_where_run_fn_left_it_when_it_is_checked(
    base: ResolvedModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a module which names that place does not load."""
    left: list[Path] = []

    def keep(fn_args: Any) -> None:
        keep_base(fn_args)
        left.append(Path(fn_args.custom_config["module_dir"]))

    def check(tuned: Path, imports: Any) -> None:
        assert imports == ("json",)
        assert not left[0].exists()
        assert Manifest.of_directory(tuned).digest == base.digest

    monkeypatch.setattr(checks, "check_hermetic", check)
    tuned = tune(base, tmp_path, keep)
    assert tuned.metrics == {"loss": 1.0}
    assert Manifest.of_directory(tuned.path).digest == base.digest


def test_a_module_that_does_not_load_elsewhere_is_refused(
    base: ResolvedModule, tmp_path: Path
) -> None:
    def damage(fn_args: Any) -> None:
        keep_base(fn_args)
        for asset in Path(fn_args.custom_config["module_dir"], "assets").iterdir():
            asset.unlink()

    with pytest.raises(AuthoringError, match=r"loads only where it was made: .*cannot load it"):
        tune(base, tmp_path, damage)
