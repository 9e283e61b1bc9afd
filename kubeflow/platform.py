"""Puts what a config says about the platform into what is compiled for it.

| key | Kubeflow Pipelines, a Workflow of Argo | Vertex AI Pipelines, a PipelineJob |
|---|---|---|
| `image`, `env` | of the container | of the container |
| `cpu`, `memory` | limits of the container | limits, by which the machine is chosen |
| `gpu`, `gpu_type` | limit `nvidia.com/gpu`, node selector | accelerator |
| `retries`, `retry_delay` | `retryStrategy` | `retryPolicy` |
| `timeout` | `activeDeadlineSeconds` | refused |
| `node_pool`, `node_selector`, `tolerations` | of the template | refused |
| `secrets` | `secretKeyRef` | refused |
| `service_account` | `serviceAccountName` | given when the job is submitted |
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from hub_tfx.errors import ConfigError, UsageError
from hub_tfx_pipelines.platform import (
    GPU_TYPE,
    NODE_POOL,
    PlatformConfig,
    StepPlatform,
    bytes_of,
    cpus,
    seconds,
)

if TYPE_CHECKING:
    from hub_tfx.lineage.connection import Connection
    from hub_tfx_pipelines.configs import PipelineConfig

_Config = TypeVar("_Config", bound="PipelineConfig")
_GPU = "nvidia.com/gpu"
_DELAY = "1m"
_FACTOR = 2
_GIGABYTE = 10**9
_NODES = "its machines are chosen by cpu, memory and gpu_type"
_NOT_ON_VERTEX: Mapping[str, str] = {
    "timeout": "a PipelineJob has no limit on the time of a step",
    "node_pool": _NODES,
    "node_selector": _NODES,
    "tolerations": _NODES,
    "secrets": "a PipelineJob refers to no secret, so let the service account read it there",
}


def with_image(config: _Config, image: str | None) -> _Config:
    """The config, with an image that an option names over that of the file.

    Raises:
      ConfigError: the image is not a name of one.
      UsageError: neither names an image.
    """
    if image is not None:
        return replace(config, platform=replace(config.platform, image=image))
    if config.platform.image is None:
        raise UsageError(
            "the container image of the steps is missing: give --image, or image under platform in "
            "the file of --config"
        )
    return config


def check_steps(pipeline: Any, platform: PlatformConfig) -> None:
    """Raises ConfigError for the id of a step that a tfx.dsl.Pipeline does not have."""
    platform.check_steps([node.id for node in pipeline.components])


def missing_password(metadata: "Connection | None", platform: PlatformConfig) -> Sequence[str]:
    """What people should know about a password of ML Metadata that no step is given."""
    if metadata is None or metadata.password_env in (None, *platform.secrets):
        return ()
    name = metadata.password_env
    return (
        f"the steps read the password of ML Metadata from {name}, which has to be in their image: "
        f"write {name}: NAME/KEY under platform.secrets to take it from a Secret",
    )


# --- Kubeflow Pipelines ---------------------------------------------------------------------------


def put_into_workflow(workflow: dict[str, Any], platform: PlatformConfig) -> None:
    """Changes a Workflow of Argo.

    Raises:
      ConfigError: the service account is not one of Kubernetes, or a variable is Kubeflow's own.
    """
    if (account := account_of_cluster(platform)) is not None:
        workflow["spec"]["serviceAccountName"] = account
    for template in workflow["spec"]["templates"]:
        if "container" in template:
            arguments = template["container"]["args"]
            step = arguments[arguments.index("--node_id") + 1]
            _put_into_template(template, step, platform)


def _put_into_template(template: dict[str, Any], step: str, platform: PlatformConfig) -> None:
    given, container = platform.of(step), template["container"]
    container |= _given(image=_own_image(step, platform), resources=_limits(given))
    if variables := [*_variables(given.env), *_references(given)]:
        known = {variable["name"] for variable in container["env"]}
        if taken := [variable["name"] for variable in variables if variable["name"] in known]:
            raise ConfigError(
                f"platform: {step}: {taken[0]} is a variable that Kubeflow Pipelines sets: give "
                "yours another name"
            )
        container["env"] = [*container["env"], *variables]
    template |= _given(
        nodeSelector=_selector(given),
        tolerations=_tolerations(given),
        retryStrategy=_retry_strategy(given),
        activeDeadlineSeconds=seconds(given.timeout) if given.timeout else None,
    )


def account_of_cluster(platform: PlatformConfig) -> str | None:
    """The service account, which has to be one of Kubernetes.

    Raises:
      ConfigError: it is one of a cloud.
    """
    if platform.service_account is not None and "@" in platform.service_account:
        raise ConfigError(
            f"platform.service_account: {platform.service_account} is not one of Kubernetes: "
            "on a cluster, name the one that workload identity binds to it"
        )
    return platform.service_account


def pod_of(given: StepPlatform) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a container gets of Kubernetes itself, without Argo, and what its pod gets."""
    variables = [*_variables(given.env), *_references(given)]
    container = _given(image=given.image, env=variables, resources=_limits(given))
    return container, _given(nodeSelector=_selector(given), tolerations=_tolerations(given))


def _limits(given: StepPlatform) -> dict[str, Any]:
    """Requests are not named: Kubernetes takes the limits for them."""
    gpu = str(given.gpu) if given.gpu else None
    limits = _given(cpu=given.cpu, memory=given.memory, **{_GPU: gpu})
    return _given(limits=limits)


def _selector(given: StepPlatform) -> dict[str, str]:
    gpu_type = given.gpu_type.lower().replace("_", "-") if given.gpu and given.gpu_type else None
    return {**given.node_selector, **_given(**{NODE_POOL: given.node_pool, GPU_TYPE: gpu_type})}


def _tolerations(given: StepPlatform) -> list[dict[str, Any]]:
    return [
        _given(key=t.key, operator=t.operator, value=t.value, effect=t.effect)
        for t in given.tolerations
    ]


def _retry_strategy(given: StepPlatform) -> dict[str, Any] | None:
    if not given.retries:
        return None
    delay = f"{seconds(given.retry_delay or _DELAY)}s"
    # By default Argo does not retry what a lost node ends.
    return {
        "limit": given.retries,
        "retryPolicy": "Always",
        "backoff": {"duration": delay, "factor": _FACTOR},
    }


def _references(given: StepPlatform) -> Iterable[dict[str, Any]]:
    for name, secret in given.secrets.items():
        reference = {"name": secret.name, "key": secret.key}
        yield {"name": name, "valueFrom": {"secretKeyRef": reference}}


# --- Vertex AI Pipelines --------------------------------------------------------------------------


def put_into_job(job: dict[str, Any], platform: PlatformConfig) -> None:
    """Changes a PipelineJob of Vertex AI Pipelines.

    Raises:
      ConfigError: a step is given what a PipelineJob does not have.
    """
    if platform.service_account is not None and "@" not in platform.service_account:
        raise ConfigError(
            f"platform.service_account: {platform.service_account} is not the address of one of "
            "Google Cloud: for Vertex AI Pipelines write NAME@PROJECT.iam.gserviceaccount.com"
        )
    spec = job["pipelineSpec"]
    # With an exit handler, the other tasks are in a component of their own.
    for part in (spec["root"], *spec["components"].values()):
        for step, task in part.get("dag", {}).get("tasks", {}).items():
            component = spec["components"][task["componentRef"]["name"]]
            if label := component.get("executorLabel"):
                executor = spec["deploymentSpec"]["executors"][label]
                _put_into_task(task, executor, step, platform)


def _put_into_task(
    task: dict[str, Any], executor: dict[str, Any], step: str, platform: PlatformConfig
) -> None:
    given = platform.of(step)
    _check_vertex(step, given)
    task |= _given(retryPolicy=_retry_policy(given))
    if "container" in executor:  # An importer or a resolver has none.
        executor["container"] |= _given(
            image=_own_image(step, platform),
            env=_variables(given.env),
            resources=_resources(given),
        )


def _check_vertex(step: str, given: StepPlatform) -> None:
    for key, why in _NOT_ON_VERTEX.items():
        if getattr(given, key):
            raise ConfigError(
                f"platform: {step} has {key}, which Vertex AI Pipelines does not have: {why}; "
                "leave it out, or compile a .yaml for Kubeflow Pipelines"
            )
    if given.gpu and given.gpu_type is None:
        raise ConfigError(
            f"platform: {step} has gpu, but no gpu_type, which Vertex AI Pipelines needs: give "
            "both, such as gpu_type: NVIDIA_TESLA_T4"
        )


def _resources(given: StepPlatform) -> dict[str, Any]:
    accelerator = None
    if given.gpu and given.gpu_type:
        accelerator = {"type": given.gpu_type.upper().replace("-", "_"), "count": str(given.gpu)}
    return _given(
        cpuLimit=cpus(given.cpu) if given.cpu else None,
        memoryLimit=bytes_of(given.memory) / _GIGABYTE if given.memory else None,
        accelerator=accelerator,
    )


def _retry_policy(given: StepPlatform) -> dict[str, Any] | None:
    if not given.retries:
        return None
    delay = f"{seconds(given.retry_delay or _DELAY)}s"
    return {"maxRetryCount": given.retries, "backoffDuration": delay, "backoffFactor": _FACTOR}


# --- What they share ------------------------------------------------------------------------------


def _own_image(step: str, platform: PlatformConfig) -> str | None:
    return platform.steps[step].image if step in platform.steps else None


def _variables(env: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in env.items()]


def _given(**values: Any) -> dict[str, Any]:
    """What is not None or empty."""
    return {name: value for name, value in values.items() if value not in (None, {}, [])}
