"""Plays Argo and Vertex AI Pipelines: runs the commands of compiled pipelines as processes.

`hub-tfx compile` for Kubeflow Pipelines runs in .venv-kfp, since kfp does not go with the rest.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
from built import ROOT

KFP = ROOT / ".venv-kfp"
_COMPILE = """
import json, sys
from hub_tfx.cli.main import run_command
from hub_tfx_kubeflow.cli import compile_
for arguments in json.loads(sys.argv[1]):
    if code := run_command(compile_, arguments, "hub-tfx compile"):
        sys.exit(code)
"""
_AT_ONCE = 2
Document = dict[str, Any]


def kfp_python() -> Path:
    """The Python that has the SDK of Kubeflow Pipelines."""
    if not (KFP / ".complete").exists():
        message = "no .venv-kfp, which has the SDK of Kubeflow Pipelines: make kfp"
        if os.environ.get("HUB_TFX_REQUIRE_KFP") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return KFP / "bin" / "python"


def compile_in_kfp(
    arguments: Mapping[str, Sequence[str]], folder: Path, **environment: str
) -> dict[str, str]:
    """The YAML that each of several commands writes; importing TFX is what takes the time.

    Args:
      arguments: by a name whose first word is the pipeline.
      folder: where the files go.
      environment: more variables.
    """
    made = {name: folder / f"{name}.yaml" for name in arguments}
    commands = [
        [name.partition(" ")[0], "--output", str(made[name]), *given]
        for name, given in arguments.items()
    ]
    done = subprocess.run(
        [kfp_python(), "-c", _COMPILE, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | environment,
    )
    told = "".join(f"{path}\n" for path in made.values())
    assert (done.returncode, done.stdout) == (0, told), done.stderr
    assert all(line.startswith("hub-tfx: ") for line in done.stderr.splitlines())
    return {name: path.read_text() for name, path in made.items()}


def this_environment() -> dict[str, str]:
    """Variables under which `python` is the one that runs the tests."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path}


def run_in_order(before: Mapping[str, Iterable[str]], run: Callable[[str], object]) -> None:
    """Runs steps, a few at once, each after those that it depends on."""
    order = TopologicalSorter(before)
    order.prepare()
    running = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while order.is_active():
            running |= {pool.submit(run, step): step for step in order.get_ready()}
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                future.result()
                order.done(running.pop(future))


def run_process(step: str, command: Sequence[str], environment: Mapping[str, str]) -> str:
    """What a process that succeeds prints."""
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=environment.get("HOME")
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, f"{step}: {told[-4000:]}"
    return told


# --- Argo -----------------------------------------------------------------------------------------


def steps_of(workflow: Document) -> dict[str, Document]:
    """Templates of the containers by step."""
    templates = [template for template in workflow["spec"]["templates"] if "container" in template]
    return {argument(template["container"], "--node_id"): template for template in templates}


def argument(container: Document, option: str) -> str:
    arguments: list[str] = container["args"]
    return arguments[arguments.index(option) + 1]


def dependencies(workflow: Document) -> dict[str, set[str]]:
    """For each step, those that end before it begins."""
    (dag,) = [t["dag"] for t in workflow["spec"]["templates"] if "dag" in t]
    step = {template["name"]: step for step, template in steps_of(workflow).items()}
    return {
        step[task["template"]]: {step[name] for name in task.get("dependencies", [])}
        for task in dag["tasks"]
    }


def run_workflow(
    workflow: Document, run_id: str, folder: Path, environment: Mapping[str, str]
) -> str:
    """Runs a workflow as Argo does, without its pods.

    Args:
      workflow: a Workflow of Argo.
      run_id: its name.
      folder: for what a pod keeps in itself.
      environment: that of each container, with what says where ML Metadata is.

    Returns:
      What the containers print.
    """
    (parameter,) = workflow["spec"]["arguments"]["parameters"]
    told = []

    def run(step: str) -> None:
        container = steps_of(workflow)[step]["container"]
        replaced = {
            f"{{{{inputs.parameters.{parameter['name']}}}}}": parameter["value"],
            "/mlpipeline-ui-metadata.json": str(folder / f"{run_id}-{step}.json"),
        }
        command = [*container["command"], *container["args"]]
        for old, new in replaced.items():
            command = [part.replace(old, new) for part in command]
        variables = {"WORKFLOW_ID": run_id, "KFP_POD_NAME": f"{run_id}-{step.lower()}"}
        told.append(run_process(step, command, {**environment, **variables}))

    run_in_order(dependencies(workflow), run)
    return "".join(told)


# --- Vertex AI Pipelines --------------------------------------------------------------------------

Artifact = Document
"""A RuntimeArtifact as JSON."""


@dataclass(frozen=True)
class Vertex:
    """Runs a job as Vertex AI Pipelines does, whose driver speaks to ML Metadata for the steps.

    The outputs of a step are artifacts before it runs, with a type and a URI. They get the
    properties that the step reports in `executor_output.json`; one that it leaves out stays as it
    is. Nothing is taken from a cache.

    Attributes:
      job: a PipelineJob.
      folder: where artifacts go, a folder for each run.
      environment: that of each container.
    """

    job: Document
    folder: Path
    environment: Mapping[str, str]

    def run(self, run_id: str) -> dict[str, dict[str, Artifact]]:
        """Runs all steps; the artifacts by step and output."""
        tasks = self.job["pipelineSpec"]["root"]["dag"]["tasks"]
        made: dict[str, dict[str, Artifact]] = {}

        def run(step: str) -> None:
            sources = {
                name: source["taskOutputArtifact"]
                for name, source in tasks[step]["inputs"].get("artifacts", {}).items()
            }
            inputs = {
                name: made[source["producerTask"]][source["outputArtifactKey"]]
                for name, source in sources.items()
            }
            made[step] = self.drive(step, inputs, run_id)

        run_in_order({step: task.get("dependentTasks", ()) for step, task in tasks.items()}, run)
        return made

    def drive(
        self, step: str, inputs: Mapping[str, Artifact], run_id: str = "run"
    ) -> dict[str, Artifact]:
        """Runs one step; its artifacts by output."""
        spec = self.job["pipelineSpec"]
        task, component = spec["root"]["dag"]["tasks"][step], spec["components"][step]
        folder = self.folder / run_id / step
        outputs = {
            name: {
                "name": f"{run_id}/{step}/{name}",
                "uri": str(folder / name),
                "type": definition["artifactType"],
            }
            for name, definition in component["outputDefinitions"]["artifacts"].items()
        }
        parameters = {
            name: value["runtimeValue"]["constantValue"]
            for name, value in task["inputs"].get("parameters", {}).items()
        }
        container = spec["deploymentSpec"]["executors"][f"{step}_executor"]["container"]
        result = folder / "executor_output.json"
        invoked = _Invoked(step, parameters, inputs, outputs, result, self.environment)
        if (hook := container.get("lifecycle", {}).get("preCacheCheck")) is not None:
            invoked.run(hook)
            _take_over(json.loads(result.read_text()), parameters, outputs)
        invoked.run(container)
        _take_over(json.loads(result.read_text()), {}, outputs)
        return outputs


@dataclass(frozen=True)
class _Invoked:
    step: str
    parameters: Mapping[str, Document]
    inputs: Mapping[str, Artifact]
    outputs: Mapping[str, Artifact]
    result: Path
    environment: Mapping[str, str]

    def run(self, container: Document) -> None:
        """Runs a command with this as the ExecutorInput for which `{{$}}` stands."""
        invocation = {
            "inputs": {"parameters": self.parameters, "artifacts": _lists(self.inputs)},
            "outputs": {"artifacts": _lists(self.outputs), "outputFile": str(self.result)},
        }
        command = [*container["command"], *container["args"]]
        command = [json.dumps(invocation) if part == "{{$}}" else part for part in command]
        run_process(self.step, command, self.environment)


def _lists(artifacts: Mapping[str, Artifact]) -> Document:
    return {name: {"artifacts": [artifact]} for name, artifact in artifacts.items()}


def _take_over(
    reported: Document, parameters: dict[str, Document], outputs: dict[str, Artifact]
) -> None:
    """Has what a step, or the hook before it, reports replace what was prepared."""
    for name, value in reported.get("parameterValues", {}).items():
        kind = "stringValue" if isinstance(value, str) else "intValue"
        parameters[name] = {kind: value if isinstance(value, str) else str(int(value))}
    for name, artifacts in reported.get("artifacts", {}).items():
        outputs[name] = outputs[name] | artifacts["artifacts"][0]
