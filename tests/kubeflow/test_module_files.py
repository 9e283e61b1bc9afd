"""`module_file` of a step: no container has it; what to name instead is told for both targets."""

import json
from pathlib import Path
from typing import Any

import pytest
import tfx.v1 as tfx
from command_lines import IMAGE, parameters

from hub_tfx.components.module_trainer.component import ModuleTrainer
from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx_kubeflow.formats import write_pipeline

INSTEAD = {
    "ModuleTrainer": "the function: run_fn='package.module:run_fn'",
    "Trainer": "the function: run_fn='package.module.run_fn'",
    "Transform": "the function: preprocessing_fn='package.module.preprocessing_fn'",
    "Tuner": "the function: tuner_fn='package.module.tuner_fn'",
    "Evaluator": "the module: module_path='package.module'",
}
OF_TFX = [*INSTEAD][1:]
both_targets = pytest.mark.parametrize("output", ["out.json", "out.yaml"])


def pipeline(step: str, **code: Any) -> Any:
    """A pipeline with one step, besides those that it needs, that is given code."""
    examples = tfx.components.ImportExampleGen("gs://bucket/records")
    rows = examples.outputs["examples"]
    schema = tfx.components.ImportSchemaGen("gs://bucket/schema.pbtxt")
    steps = {"train_args": tfx.proto.TrainArgs(), "eval_args": tfx.proto.EvalArgs()}
    made = {
        "ModuleTrainer": lambda: ModuleTrainer(rows, config=FineTuneConfig("topic"), **code),
        "Trainer": lambda: tfx.components.Trainer(examples=rows, **steps, **code),
        "Transform": lambda: tfx.components.Transform(rows, schema.outputs["schema"], **code),
        "Tuner": lambda: tfx.components.Tuner(rows, **steps, **code),
        "Evaluator": lambda: tfx.components.Evaluator(rows, **code),
    }[step]()
    return tfx.dsl.Pipeline(
        pipeline_name="mine",
        pipeline_root="gs://bucket/root",
        components=[examples, schema, made],
    )


@both_targets
@pytest.mark.parametrize("step", INSTEAD)
def test_a_file_of_this_machine_is_refused_with_what_to_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").touch()
    for file in ("mine.py", f"{tmp_path}/mine.py"):
        with pytest.raises(ConfigError) as raised:
            write_pipeline(pipeline(step, module_file=file), IMAGE, output)
        assert str(raised.value) == (
            f"the containers of a compiled pipeline cannot reach {file}: it is the module_file of "
            f"{step}; put its code into a package of the image and name {INSTEAD[step]}"
        )
    assert not Path(output).exists()


@both_targets
@pytest.mark.parametrize("step", OF_TFX)
def test_a_file_that_tfx_would_package_is_refused_with_what_to_name(
    tmp_path: Path, step: str, output: str
) -> None:
    """It would fetch the file, and write a wheel into the root, while compiling."""
    for file in ("gs://bucket/mine.py", "/in/the/image/mine.py"):
        with pytest.raises(ConfigError) as raised:
            write_pipeline(pipeline(step, module_file=file), IMAGE, str(tmp_path / output))
        assert str(raised.value) == (
            f"{step}: TFX would package its module_file {file} while compiling, and install it in "
            f"the container: put its code into a package of the image and name {INSTEAD[step]}"
        )


def test_a_file_that_the_container_of_our_trainer_reaches_is_a_parameter(tmp_path: Path) -> None:
    for file in ("gs://bucket/mine.py", "/in/the/image/mine.py"):
        write_pipeline(
            pipeline("ModuleTrainer", module_file=file), IMAGE, str(tmp_path / "out.json")
        )
        job = json.loads((tmp_path / "out.json").read_text())
        assert parameters(job, "ModuleTrainer")["module_file"] == file


@pytest.mark.parametrize("step", OF_TFX)
def test_what_is_named_instead_compiles(tmp_path: Path, step: str) -> None:
    name, _, path = INSTEAD[step].partition(": ")[2].partition("=")
    code = {name: path.strip("'")}
    write_pipeline(pipeline(step, **code), IMAGE, str(tmp_path / "out.json"))
    job = json.loads((tmp_path / "out.json").read_text())
    assert parameters(job, step)[name] == code[name]
