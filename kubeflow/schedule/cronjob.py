"""A CronJob of Kubernetes that runs a pipeline in a container, without Kubeflow.

The config file and the card are in a ConfigMap, mounted as the working directory, where the paths
of a config start. The container runs as nobody, and can write to its volumes, /tmp and the module
cache only.
"""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub_tfx._files import read_regular
from hub_tfx.cli.evaluate import NOT_BLESSED
from hub_tfx.errors import RefusedError, UsageError
from hub_tfx_kubeflow.schedule.cron import Cron
from hub_tfx_kubeflow.schedule.run_file import RunFile

_NOBODY = 65532
"""User and group of the container, as in the images of kubeflow/Dockerfile."""
_CONFIG_DIR, _CACHE_DIR = "/etc/hub-tfx", "/var/cache/hub-tfx"
_CONFIG_FILE = "config.yaml"
_CARD = "card-"
_CONTAINER = "run"
_FINAL_CODES = sorted((UsageError.exit_code, NOT_BLESSED, RefusedError.exit_code))
"""Exit codes of `hub-tfx run` that another try would end with, too."""
_RETRIES = 2
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
      image: container image, which has hub_tfx installed.
      namespace: namespace of both; None for the one that kubectl is set to.
      service_account: service account of the pods; None for none.
      cpu, memory: what a run needs, as Kubernetes writes it: ``2``, ``8Gi``.
      claims: absolute path -> the PersistentVolumeClaim that is mounted there.
      secrets: environment variable -> name of a Secret and key in it.
    """

    name: str
    cron: Cron
    timezone: str
    image: str
    namespace: str | None = None
    service_account: str | None = None
    cpu: str = "2"
    memory: str = "8Gi"
    claims: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def metadata(self) -> dict[str, Any]:
        labels = {"app.kubernetes.io/name": "hub-tfx", "app.kubernetes.io/instance": self.name}
        namespace = {} if self.namespace is None else {"namespace": self.namespace}
        return {"name": self.name, **namespace, "labels": labels}


def cron_job(run: RunFile, of: CronRun) -> Iterator[dict[str, Any]]:
    """The ConfigMap with the config file, and the CronJob that runs it."""
    data = {_CONFIG_FILE: read_regular(run.file).decode()}
    items = [{"key": _CONFIG_FILE, "path": _CONFIG_FILE}]
    for number, (path, text) in enumerate(run.cards.items()):
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
            "jobTemplate": {"spec": _job(run.pipeline, of, items)},
        },
    }


def _job(pipeline: str, of: CronRun, config_items: list[dict[str, str]]) -> dict[str, Any]:
    final = {"containerName": _CONTAINER, "operator": "In", "values": _FINAL_CODES}
    return {
        "backoffLimit": _RETRIES,
        "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": final}]},
        "template": {
            "metadata": {"labels": of.metadata["labels"]},
            "spec": _pod(pipeline, of, config_items),
        },
    }


def _pod(pipeline: str, of: CronRun, config_items: list[dict[str, str]]) -> dict[str, Any]:
    account = {} if of.service_account is None else {"serviceAccountName": of.service_account}
    config = {"name": of.name, "items": config_items}
    volumes: list[dict[str, Any]] = [{"name": "config", "configMap": config}]
    volumes += [{"name": name, "emptyDir": {}} for name in ("tmp", "cache")]
    volumes += [
        {"name": name, "persistentVolumeClaim": {"claimName": claim}}
        for name, claim in zip(_volume_names(of), of.claims.values(), strict=True)
    ]
    return {
        "restartPolicy": "Never",
        **account,
        "automountServiceAccountToken": of.service_account is not None,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "runAsGroup": _NOBODY,
            "fsGroup": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(pipeline, of)],
        "volumes": volumes,
    }


def _container(pipeline: str, of: CronRun) -> dict[str, Any]:
    mounts: list[dict[str, Any]] = [{"name": "config", "mountPath": _CONFIG_DIR, "readOnly": True}]
    mounts += [{"name": "tmp", "mountPath": "/tmp"}, {"name": "cache", "mountPath": _CACHE_DIR}]
    mounts += [
        {"name": name, "mountPath": path}
        for name, path in zip(_volume_names(of), of.claims, strict=True)
    ]
    return {
        "name": _CONTAINER,
        "image": of.image,
        "command": ["hub-tfx", "run", pipeline, "--config", _CONFIG_FILE],
        "workingDir": _CONFIG_DIR,
        "env": [*_variables(of)],
        "resources": {
            "requests": {"cpu": of.cpu, "memory": of.memory},
            "limits": {"memory": of.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _variables(of: CronRun) -> Iterator[dict[str, Any]]:
    yield {"name": "HOME", "value": "/tmp"}
    yield {"name": "TFHUB_CACHE_DIR", "value": _CACHE_DIR}
    for name, (secret, key) in of.secrets.items():
        yield {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _volume_names(of: CronRun) -> list[str]:
    return [f"data-{number}" for number in range(len(of.claims))]
