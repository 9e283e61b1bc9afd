"""ModuleEvaluator: a verdict in ML Metadata that TFX's tools and ours read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tfx.v1 as tfx
from judged import labelled_rows
from tfx_helpers import examples_artifact

import hub_tfx
from hub_tfx._tfx import Channel
from hub_tfx.artifacts import HubModule, ModuleEvaluation, write_module
from hub_tfx.components.latest_module import LatestModuleStrategy
from hub_tfx.components.module_evaluator.component import ModuleEvaluator, ModuleEvaluatorSpec
from hub_tfx.components.module_evaluator.executor import Executor
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.errors import ConfigError, InputError, NotAModuleError
from hub_tfx.evaluate import job
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.output import read_evaluation
from hub_tfx.module.manifest import Manifest
from hub_tfx.testing.remote import RemoteFileSystem

CONFIG = EvaluateConfig(label="topic", slices=("lang",), replicates=200, folds=3)
Run = Callable[..., tuple[Any, Any]]


@pytest.fixture(autouse=True)
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves the second at which modules are called for their cost."""
    monkeypatch.setattr(job, "try_out", lambda *_: {})


@pytest.fixture(params=["here", "in a bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Where artifacts lie: as a folder of this machine, and as their URIs say it."""
    folder = tmp_path / "root"
    with RemoteFileSystem.at(folder):
        yield folder, str(folder) if request.param == "here" else "remote:/"


def located(kind: Any, root: Any, name: str, number: int) -> Any:
    artifact = kind()
    artifact.uri = f"{root[1]}/{name}/{number}"
    artifact.id = number
    if root[1] == str(root[0]):  # As TFX does.
        Path(artifact.uri).mkdir(parents=True, exist_ok=True)
    return artifact


def evaluate_in(root: Any, modules: dict[str, Path]) -> Run:
    """What runs the executor, and gives the artifacts of the evaluation and of the blessing."""

    def run(
        module: str,
        baseline: str | None = None,
        *,
        splits: tuple[str, ...] = ("eval",),
        config: EvaluateConfig = CONFIG,
        **more: Any,
    ) -> tuple[Any, Any]:
        shutil.rmtree(root[0], ignore_errors=True)
        rows = labelled_rows(90)
        given = examples_artifact(
            root[0] / "examples" / "1", {"train": rows[:6], "eval": rows[6:], "unused": []}
        )
        given.uri = f"{root[1]}/examples/1"
        inputs = {"examples": [given], **more}
        for key, name, number in (("module", module, 7), ("baseline", baseline, 5)):
            if name is not None:
                artifact = located(HubModule, root, "module", number)
                write_module(artifact, modules[name], {"handle": name})
                inputs[key] = [artifact]
        evaluation = located(ModuleEvaluation, root, "evaluation", 8)
        blessing = located(tfx.types.standard_artifacts.ModelBlessing, root, "blessing", 9)
        parameters = {
            "config": config.to_json(),
            "feeding": EmbedConfig().to_json(),
            "splits": json.dumps(splits),
        }
        Executor().Do(inputs, {"evaluation": [evaluation], "blessing": [blessing]}, parameters)
        return evaluation, blessing

    return run


@pytest.fixture
def evaluate(root: Any, judged_modules: dict[str, Path]) -> Run:
    return evaluate_in(root, judged_modules)


def stamped(artifact: Any) -> dict[str, Any]:
    return {
        name: value.string_value or value.int_value
        for name, value in artifact.mlmd_artifact.custom_properties.items()
    }


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_better_module_is_blessed_as_tfx_s_evaluator_blesses(
    evaluate: Run, root: Any, judged_modules: dict[str, Path]
) -> None:
    evaluation, blessing = evaluate("better", "worse")
    found = read_evaluation(evaluation.uri)
    assert found.rows.total == 84
    assert found.measure("probe_accuracy", "lang=de").n == 28
    digests = {name: Manifest.of_directory(path).digest for name, path in judged_modules.items()}
    primary = found.primary_measure
    assert stamped(evaluation) == {
        "verdict": "blessed",
        "reason": found.reasons[0],
        "primary": "probe_accuracy",
        "value": f"{primary.value:.6g}",
        "baseline_value": f"{primary.baseline:.6g}",
        "difference": f"{primary.difference:.6g}",
        "rows": 84,
        "module_digest": digests["better"],
        "module_handle": "better",
        "baseline_digest": digests["worse"],
        "baseline_handle": "worse",
    }
    assert stamped(blessing) == {
        "blessed": 1,
        "current_model": f"{root[1]}/module/7",
        "current_model_id": 7,
        "baseline_model": f"{root[1]}/module/5",
        "baseline_model_id": 5,
        "blessing_message": found.reasons[0],
    }
    assert files_below(root[0] / "blessing") == ["9/BLESSED"]
    assert files_below(root[0] / "evaluation") == ["8/evaluation.json", "8/report.html"]


@pytest.fixture
def here(tmp_path: Path) -> tuple[Path, str]:
    return tmp_path / "root", str(tmp_path / "root")


@pytest.fixture
def evaluate_here(here: Any, judged_modules: dict[str, Path]) -> Run:
    return evaluate_in(here, judged_modules)


def chosen(blessing: Any) -> list[int]:
    """Ids of what latest_module(blessed_by="ModuleEvaluator") takes of two modules."""
    modules = []
    for number in (5, 7):
        module = HubModule()
        module.id = number
        modules.append(module)
    strategy = LatestModuleStrategy()
    found = strategy.resolve_artifacts(None, {"module": modules, "blessing": [blessing]})
    return [module.id for module in found["module"]]


def test_latest_module_takes_what_it_has_blessed(evaluate_here: Run, here: Any) -> None:
    _, blessing = evaluate_here("better", splits=("train", "eval"))
    assert "baseline_model" not in stamped(blessing)
    assert chosen(blessing) == [7]
    evaluation, blessing = evaluate_here("worse", "better")
    assert stamped(evaluation)["verdict"] == "not blessed"
    assert stamped(blessing)["blessed"] == 0
    assert files_below(here[0] / "blessing") == ["9/NOT_BLESSED"]
    assert chosen(blessing) == []


def test_a_failure_publishes_nothing(evaluate_here: Run, here: Any) -> None:
    for splits, error, complaint in (
        (("eval", "test"), ConfigError, r"no split 'test': name one of train, eval, unused"),
        (("unused",), InputError, r"there is no row in .*Split-unused"),
    ):
        with pytest.raises(error, match=complaint):
            evaluate_here("better", splits=splits)
    with pytest.raises(ConfigError, match=r"no feature 'nothing' for the label"):
        evaluate_here("better", config=EvaluateConfig(label="nothing"))
    with pytest.raises(NotAModuleError, match=r"does not hold a whole module"):
        evaluate_here("better", preprocessor=[located(HubModule, here, "module", 3)])
    for output in ("evaluation", "blessing"):
        assert files_below(here[0] / output) == []


def channels() -> dict[str, Channel]:
    examples = tfx.types.standard_artifacts.Examples
    return {"examples": Channel(examples), "module": Channel(HubModule)}


def test_its_parameters_are_json_that_names_all_that_matters() -> None:
    node = ModuleEvaluator(**channels(), config=CONFIG.to_json(), splits=["test"])
    assert node.exec_properties == {
        "config": CONFIG.to_json(),
        "feeding": EmbedConfig().to_json(),
        "baseline_feeding": None,
        "splits": '["test"]',
        "hub_tfx_version": hub_tfx.__version__,
    }
    assert {key: channel.type for key, channel in node.outputs.items()} == {
        "evaluation": ModuleEvaluation,
        "blessing": tfx.types.standard_artifacts.ModelBlessing,
    }
    assert ModuleEvaluation.TYPE_NAME == "hub_tfx.ModuleEvaluation"
    assert hub_tfx.ModuleEvaluation is ModuleEvaluation
    names = [*node.inputs, *node.outputs, *ModuleEvaluatorSpec.PARAMETERS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"config": '{"labels": 1}'}, "labels"),
        ({"config": CONFIG, "feeding": "[]"}, "embed config is not an object"),
        ({"config": CONFIG, "baseline_feeding": "x"}, "embed config is not JSON"),
        ({"config": CONFIG, "splits": "eval"}, "splits takes a list of names of splits"),
        ({"config": CONFIG, "splits": []}, "splits takes a list of names of splits"),
    ],
)
def test_what_makes_no_sense_is_refused_where_the_pipeline_is_built(
    options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        ModuleEvaluator(**channels(), **options)
