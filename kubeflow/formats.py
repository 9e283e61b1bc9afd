"""The formats that a pipeline can be compiled to, chosen by the ending of the output file.

| ending | what it is | extra |
|---|---|---|
| `.json` | a PipelineJob of Vertex AI Pipelines | `kubeflow` |
| `.yaml`, `.yml` | a Workflow of Argo, for Kubeflow Pipelines | `kfp` |
"""

import importlib
import json
import tempfile
from pathlib import Path
from typing import Any

from hub_tfx._files import replacing, why
from hub_tfx.errors import HubTfxError, OutputError, UsageError

_YAML = (".yaml", ".yml")
TARGETS = {"kfp": _YAML, "vertex": (".json",)}
"""What to compile for -> endings of its files, the usual one first."""
_COMPILATION_TIME = "pipelines.kubeflow.org/pipeline_compilation_time"


def check_output(output: str) -> None:
    """Refuses what ``write_pipeline`` would refuse, before TFX is imported.

    Raises:
      UsageError: the ending does not stand for a format.
      HubTfxError: the package that compiles the format is not installed.
    """
    suffix = Path(output).suffix
    if suffix in _YAML:
        # Not in kfp 2, which TFX 1.15 cannot use.
        _require("kfp.gcp", f"{output}: YAML for Kubeflow Pipelines needs kfp 1.8", _KFP_ADVICE)
    elif suffix == ".json":
        advice = "install hub-tfx[kubeflow]"
        _require("kfp.pipeline_spec", f"{output}: JSON for Vertex needs kfp-pipeline-spec", advice)
    else:
        raise UsageError(
            f"{output}: name a .json for Vertex AI Pipelines or a .yaml for Kubeflow Pipelines"
        )


def check_target(target: str, output: str) -> None:
    """Raises UsageError where the ending of a file is not for a target."""
    if Path(output).suffix not in TARGETS[target]:
        endings = " or ".join(TARGETS[target])
        raise UsageError(f"{output}: --target {target} is a {endings}: name one of them only")


_KFP_ADVICE = (
    "install hub-tfx[kfp] in an environment of its own; in a checkout, run `make kfp` and then "
    "`.venv-kfp/bin/hub-tfx compile …`"
)


def _require(module: str, need: str, advice: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise HubTfxError(f"{need}, and it cannot be imported ({error}): {advice}") from error


def write_pipeline(pipeline: Any, image: str, output: str) -> None:
    """Compiles a pipeline; equal pipelines make equal bytes.

    Args:
      pipeline: a tfx.dsl.Pipeline without a connection to ML Metadata: the platform brings its own.
      image: container image that the steps run in.
      output: a local file; its ending says what to write.

    Raises:
      UsageError, HubTfxError: as ``check_output`` and ``vertex_job``.
      ConfigError: a step has a ``module_file`` that its container does not reach.
      OutputError: the file cannot be written.
    """
    check_output(output)
    _check_module_files(pipeline)
    compiled = argo_workflow if output.endswith(_YAML) else vertex_job
    text = compiled(pipeline, image)
    path = Path(output)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(text)
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {why(error)}") from error


def _check_module_files(pipeline: Any) -> None:
    """Refuses what TFX's own components package in a wheel, and others do not."""
    from hub_tfx.beam.staging import check_reach_of_containers

    for node in pipeline.components:
        file = node.exec_properties.get("module_file")
        if isinstance(file, str) and file:
            check_reach_of_containers(
                [file],
                f"it is the module_file of {node.id}; put its code into a package of the image and "
                "name the function: run_fn='package.module:run_fn'",
            )


def vertex_job(pipeline: Any, image: str) -> str:
    """A PipelineJob of Vertex AI Pipelines in JSON.

    Raises:
      UsageError: a node looks for what the last run made, which Vertex AI Pipelines cannot do.
    """
    import tfx.v1 as tfx

    _check_no_latest(pipeline)
    experimental = tfx.orchestration.experimental
    runner = experimental.KubeflowV2DagRunner(
        config=experimental.KubeflowV2DagRunnerConfig(default_image=image)
    )
    return json.dumps(runner.run(pipeline, write_out=False), sort_keys=True)


def _check_no_latest(pipeline: Any) -> None:
    from tfx.dsl.components.common.resolver import RESOLVER_STRATEGY_CLASS

    from hub_tfx.components.latest_embeddings import LatestOrNoneStrategy
    from hub_tfx.components.latest_module import LatestModuleStrategy

    unknown = {
        LatestModuleStrategy: (
            "module",
            "name it by its handle, to start from (--module) or to compare with (--baseline)",
        ),
        LatestOrNoneStrategy: ("embeddings", "name them in a state directory (--state-dir)"),
    }
    for node in pipeline.components:
        if strategy := unknown.get(node.exec_properties.get(RESOLVER_STRATEGY_CLASS)):
            made, instead = strategy
            raise UsageError(
                f"{node.id}: Vertex AI Pipelines cannot look for the {made} of the last run; "
                f"compile a .yaml for Kubeflow Pipelines, or {instead}"
            )


def argo_workflow(pipeline: Any, image: str) -> str:
    """A Workflow of Argo in YAML, without the time at which kfp made it.

    The steps find ML Metadata by the environment that Kubeflow's metadata-grpc-configmap sets.
    """
    import tfx.v1 as tfx
    from kfp.components._yaml_utils import dump_yaml, load_yaml

    experimental = tfx.orchestration.experimental
    config = experimental.KubeflowDagRunnerConfig(tfx_image=image)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pipeline.yaml")
        experimental.KubeflowDagRunner(folder, file.name, config).run(pipeline)
        workflow = load_yaml(file.read_text())
    del workflow["metadata"]["annotations"][_COMPILATION_TIME]
    for template in workflow["spec"]["templates"]:
        if "container" in template:
            container = template["container"]
            container["args"] = [_in_order(argument) for argument in container["args"]]
    return str(dump_yaml(workflow))


def _in_order(argument: str) -> str:
    """JSON with its keys sorted, since TFX prints maps of protos as they come."""
    if not argument.startswith("{\n"):
        return argument
    return json.dumps(json.loads(argument), sort_keys=True, indent=2)
