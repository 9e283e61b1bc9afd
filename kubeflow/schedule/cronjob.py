"""A CronJob of Kubernetes that runs a pipeline in a container, without Kubeflow.

The config file and the card are in a ConfigMap, mounted as the working directory, where the paths
of a config start. What the container gets is what the section `platform` of the config says of all
steps, since all of them run in it. It runs as nobody, and can write to its volumes, /tmp and the
module cache only.
"""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hub_tfx._files import read_regular
from hub_tfx.cli.evaluate import NOT_BLESSED
from hub_tfx.errors import ConfigError, RefusedError, UsageError
from hub_tfx_kubeflow.platform import account_of_cluster, pod_of
from hub_tfx_kubeflow.schedule.cron import Cron
from hub_tfx_kubeflow.schedule.run_file import RunFile
from hub_tfx_pipelines.platform import PlatformConfig, StepPlatform, seconds

_NOBODY = 65532
"""User and group of the container, as in the images of kubeflow/Dockerfile."""
_CONFIG_DIR, _CACHE_DIR = "/etc/hub-tfx", "/var/cache/hub-tfx"
_CONFIG_FILE = "config.yaml"
_CARD = "card-"
_CONTAINER = "run"
_FINAL_CODES = sorted((UsageError.exit_code, NOT_BLESSED, RefusedError.exit_code))
"""Exit codes of `hub-tfx run` that another try would end with, too."""
_VARIABLES = {"HOME": "/tmp", "TFHUB_CACHE_DIR": _CACHE_DIR}
_CPU, _MEMORY, _RETRIES = "2", "8Gi", 2
"""Where the config says nothing of them."""
_NO_STEP = ""
_LATE_S = 3600
"""Seconds after which a run that could not be started in time is left out."""
_KEPT = 3


@dataclass(frozen=True)
class CronRun:
    """When and where a pipeline runs.

    Attributes:
      name: name of the CronJob and its ConfigMap.
      cron: when runs start.
      timezone: the time zone in which they do.
      namespace: namespace of both; None for the one that kubectl is set to.
      claims: absolute path -> the PersistentVolumeClaim that is mounted there.
    """

    name: str
    cron: Cron
    timezone: str
    namespace: str | None = None
    claims: Mapping[str, str] = field(default_factory=dict)

    @property
    def metadata(self) -> dict[str, Any]:
        labels = {"app.kubernetes.io/name": "hub-tfx", "app.kubernetes.io/instance": self.name}
        namespace = {} if self.namespace is None else {"namespace": self.namespace}
        return {"name": self.name, **namespace, "labels": labels}


def cron_job(run: RunFile, of: CronRun) -> Iterator[dict[str, Any]]:
    """The ConfigMap with the config file, and the CronJob that runs it.

    Raises:
      ConfigError: the config says something of the platform that a CronJob does not have.
    """
    _check_platform(run)
    data = {_CONFIG_FILE: read_regular(run.file).decode()}
    items = [{"key": _CONFIG_FILE, "path": _CONFIG_FILE}]
    for number, (path, text) in enumerate(run.files.items()):
        data[f"{_CARD}{number}"] = text
        items.append({"key": f"{_CARD}{number}", "path": posixpath.normpath(path)})
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": of.metadata, "data": data}
    yield {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": of.metadata,
        "spec": {
            "schedule": str(of.cron),
            "timeZone": of.timezone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": _LATE_S,
            "successfulJobsHistoryLimit": _KEPT,
            "failedJobsHistoryLimit": _KEPT,
            "jobTemplate": {"spec": _job(run, of, items)},
        },
    }


def _check_platform(run: RunFile) -> None:
    platform = run.config.platform
    for key, given, why in (
        ("steps", platform.steps, "its container runs all steps: say it of all, under defaults"),
        ("defaults.retry_delay", platform.defaults.retry_delay, "Kubernetes chooses the delay"),
    ):
        if given:
            raise ConfigError(
                f"{run.file}: a CronJob does not have platform.{key}: {why}, or take it out with "
                f"--set platform.{key}={'{}' if key == 'steps' else 'null'}"
            )


def _job(run: RunFile, of: CronRun, config_items: list[dict[str, str]]) -> dict[str, Any]:
    given = run.config.platform.defaults
    final = {"containerName": _CONTAINER, "operator": "In", "values": _FINAL_CODES}
    limit = {"activeDeadlineSeconds": seconds(given.timeout)} if given.timeout else {}
    return {
        "backoffLimit": _RETRIES if given.retries is None else given.retries,
        "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": final}]},
        "template": {
            "metadata": {"labels": of.metadata["labels"]},
            "spec": {**limit, **_pod(run, of, config_items)},
        },
    }


def _pod(run: RunFile, of: CronRun, config_items: list[dict[str, str]]) -> dict[str, Any]:
    account = account_of_cluster(run.config.platform)
    parts, of_pod = pod_of(_given(run.config.platform))
    config = {"name": of.name, "items": config_items}
    volumes: list[dict[str, Any]] = [{"name": "config", "configMap": config}]
    volumes += [{"name": name, "emptyDir": {}} for name in ("tmp", "cache")]
    volumes += [
        {"name": name, "persistentVolumeClaim": {"claimName": claim}}
        for name, claim in zip(_volume_names(of), of.claims.values(), strict=True)
    ]
    return {
        "restartPolicy": "Never",
        **({} if account is None else {"serviceAccountName": account}),
        "automountServiceAccountToken": account is not None,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "runAsGroup": _NOBODY,
            "fsGroup": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **of_pod,
        "containers": [{**_container(run, of), **parts}],
        "volumes": volumes,
    }


def _given(platform: PlatformConfig) -> StepPlatform:
    """What the container gets; variables of the config win over ours."""
    given = platform.of(_NO_STEP)
    own = {name: value for name, value in _VARIABLES.items() if name not in given.secrets}
    return replace(
        given,
        env={**own, **given.env},
        cpu=given.cpu or _CPU,
        memory=given.memory or _MEMORY,
    )


def _container(run: RunFile, of: CronRun) -> dict[str, Any]:
    mounts: list[dict[str, Any]] = [{"name": "config", "mountPath": _CONFIG_DIR, "readOnly": True}]
    mounts += [{"name": "tmp", "mountPath": "/tmp"}, {"name": "cache", "mountPath": _CACHE_DIR}]
    mounts += [
        {"name": name, "mountPath": path}
        for name, path in zip(_volume_names(of), of.claims, strict=True)
    ]
    return {
        "name": _CONTAINER,
        "command": run.command("hub-tfx", _CONFIG_FILE),
        "workingDir": _CONFIG_DIR,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _volume_names(of: CronRun) -> list[str]:
    return [f"data-{number}" for number in range(len(of.claims))]
