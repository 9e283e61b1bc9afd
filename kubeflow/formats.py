"""The formats that a pipeline can be compiled to, chosen by the ending of the output file.

| ending | what it is | extra |
|---|---|---|
| `.json` | a PipelineJob of Vertex AI Pipelines | `kubeflow` |
| `.yaml`, `.yml` | a Workflow of Argo, for Kubeflow Pipelines | `kfp` |
"""

import importlib
import json
import tempfile
from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_tfx.errors import HubTfxError, UsageError
from hub_tfx_kubeflow.metadata import metadata_config
from hub_tfx_kubeflow.module_files import check_module_files
from hub_tfx_kubeflow.output import write_file
from hub_tfx_kubeflow.platform import check_steps, put_into_job, put_into_workflow
from hub_tfx_pipelines.platform import PlatformConfig

if TYPE_CHECKING:
    from hub_tfx.lineage.connection import Connection

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


def is_of_kubeflow(output: str) -> bool:
    """Whether a file is for Kubeflow Pipelines, by its ending."""
    return output.endswith(_YAML)


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


_NO_PLATFORM = PlatformConfig()


def write_pipeline(
    pipeline: Any,
    image: str,
    output: str,
    metadata: "Connection | None" = None,
    platform: PlatformConfig = _NO_PLATFORM,
) -> None:
    """Compiles a pipeline; equal pipelines make equal bytes.

    Steps that read what changes outside of the pipeline are never taken from the cache, unless they
    have a driver on a platform that runs it: see hub_tfx.components.remote_state.

    Args:
      pipeline: a tfx.dsl.Pipeline without a connection to ML Metadata: the platform brings its own.
      image: container image that the steps run in.
      output: a local file; its ending says what to write.
      metadata: where the steps find ML Metadata instead, on Kubeflow Pipelines.
      platform: what the steps get; its own image is that of a step only.

    Raises:
      UsageError, HubTfxError: as ``check_output`` and ``vertex_job``.
      ConfigError: a step has a ``module_file``, or the platform does not have what a step is given.
      OutputError: the file cannot be written.
    """
    from hub_tfx.components.remote_state import without_run_ids

    check_module_files(pipeline)
    check_steps(pipeline, platform)
    check_output(output)
    without_run_ids(pipeline.components)
    if is_of_kubeflow(output):
        text = argo_workflow(pipeline, image, metadata, platform)
    else:
        text = vertex_job(pipeline, image, platform)
    write_file(output, text)


def vertex_job(pipeline: Any, image: str, platform: PlatformConfig = _NO_PLATFORM) -> str:
    """A PipelineJob of Vertex AI Pipelines in JSON.

    Raises:
      UsageError: a node looks for what the last run made, which Vertex AI Pipelines cannot do.
      ConfigError: a step is given what Vertex AI Pipelines does not have.
    """
    import tfx.v1 as tfx

    from hub_tfx.components.remote_state import readers_of_remote_state

    _check_no_latest(pipeline)
    experimental = tfx.orchestration.experimental
    runner = experimental.KubeflowV2DagRunner(
        config=experimental.KubeflowV2DagRunnerConfig(default_image=image)
    )
    job = runner.run(pipeline, write_out=False)
    tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
    for step in readers_of_remote_state(pipeline.components):
        tasks[step]["cachingOptions"] = {"enableCache": False}
    put_into_job(job, platform)
    return json.dumps(job, sort_keys=True)


def _check_no_latest(pipeline: Any) -> None:
    from tfx.dsl.components.common.resolver import RESOLVER_STRATEGY_CLASS

    from hub_tfx.components.latest_embeddings import LatestOrNoneStrategy
    from hub_tfx.components.latest_module import LatestModuleStrategy

    unknown = {
        LatestModuleStrategy: ("module", "name it by its handle (--module)"),
        LatestOrNoneStrategy: ("results", "name them in a state directory (--state-dir)"),
    }
    for node in pipeline.components:
        if strategy := unknown.get(node.exec_properties.get(RESOLVER_STRATEGY_CLASS)):
            made, instead = strategy
            raise UsageError(
                f"{node.id}: Vertex AI Pipelines cannot look for the {made} of the last run; "
                f"compile a .yaml for Kubeflow Pipelines, or {instead}"
            )


def argo_workflow(
    pipeline: Any,
    image: str,
    metadata: "Connection | None" = None,
    platform: PlatformConfig = _NO_PLATFORM,
) -> str:
    """A Workflow of Argo in YAML, without the time at which kfp made it.

    Args:
      pipeline, image, platform: as ``write_pipeline`` takes them.
      metadata: where the steps find ML Metadata; None for where the environment says that is, which
        Kubeflow's metadata-grpc-configmap sets.
    """
    import tfx.v1 as tfx
    from kfp.components._yaml_utils import dump_yaml, load_yaml

    from hub_tfx.components.remote_state import readers_of_remote_state, without_driver

    experimental = tfx.orchestration.experimental
    config = experimental.KubeflowDagRunnerConfig(
        tfx_image=image, kubeflow_metadata_config=metadata and metadata_config(metadata)
    )
    readers = readers_of_remote_state(without_driver(pipeline.components))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pipeline.yaml")
        experimental.KubeflowDagRunner(folder, file.name, config).run(pipeline)
        workflow = load_yaml(file.read_text())
    del workflow["metadata"]["annotations"][_COMPILATION_TIME]
    for template in workflow["spec"]["templates"]:
        if "container" in template:
            container = template["container"]
            container["args"] = _arguments(container["args"], readers)
    put_into_workflow(workflow, platform)
    return str(dump_yaml(workflow))


def _arguments(given: Sequence[str], readers: Set[str]) -> list[str]:
    """The arguments of a step, which is taken from the cache only if it is none of the readers."""
    arguments = list(given)
    if _argument(given, "--node_id") in readers:
        ir = json.loads(_argument(given, "--tfx_ir"))
        options = ir["nodes"][0]["pipelineNode"].setdefault("executionOptions", {})
        options["cachingOptions"] = {"enableCache": False}
        arguments[given.index("--tfx_ir") + 1] = json.dumps(ir, indent=2)
    return [_in_order(argument) for argument in arguments]


def _argument(arguments: Sequence[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]


def _in_order(argument: str) -> str:
    """JSON with its keys sorted, since TFX prints maps of protos as they come."""
    if not argument.startswith("{\n"):
        return argument
    return json.dumps(json.loads(argument), sort_keys=True, indent=2)
