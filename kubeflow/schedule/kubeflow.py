"""Recurring runs of Kubeflow Pipelines: a ScheduledWorkflow, and a call of the SDK that makes one.

A ScheduledWorkflow of kubeflow.org/v1beta1 is what the API server of Kubeflow Pipelines makes of a
recurring run, and what its controller starts Workflows of. One that is applied by kubectl goes past
the API server; so what that adds to every Workflow is added here.
"""

import copy
from dataclasses import dataclass
from typing import Any

from hub_tfx_kubeflow.schedule.cron import Cron

_INJECT = "sidecar.istio.io/inject"
"""Annotation: a proxy beside a step would not end with it, and the step would never be done."""
_WRITTEN_BY_TFX = ("mlpipeline-ui-metadata", "mlpipeline-metrics")


@dataclass(frozen=True)
class Recurring:
    """A recurring run of Kubeflow Pipelines.

    Attributes:
      name: its name.
      cron: when runs start, in the time zone of the cluster's controller.
      max_concurrency: runs that may be going on at one time, from 1 to 10.
      namespace: namespace that it belongs to; None for the one that kubectl or the SDK is set to.
    """

    name: str
    cron: Cron
    max_concurrency: int = 1
    namespace: str | None = None


def scheduled_workflow(workflow: dict[str, Any], recurring: Recurring) -> dict[str, Any]:
    """The ScheduledWorkflow that runs a compiled Workflow again and again."""
    metadata = {"name": recurring.name}
    if recurring.namespace is not None:
        metadata["namespace"] = recurring.namespace
    spec = copy.deepcopy(workflow["spec"])
    for template in spec.get("templates", ()):
        _as_api_server(template)
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "ScheduledWorkflow",
        "metadata": metadata,
        "spec": {
            "enabled": True,
            "maxConcurrency": recurring.max_concurrency,
            "noCatchup": True,
            "trigger": {"cronSchedule": {"cron": recurring.cron.with_seconds}},
            "workflow": {"parameters": _parameters(spec), "spec": spec},
        },
    }


def _as_api_server(template: dict[str, Any]) -> None:
    """Makes artifacts optional that a step does not always write, and keeps proxies away."""
    for artifact in template.get("outputs", {}).get("artifacts", ()):
        if artifact.get("name") in _WRITTEN_BY_TFX:
            artifact["optional"] = True
    template.setdefault("metadata", {}).setdefault("annotations", {}).setdefault(_INJECT, "false")


def _parameters(spec: dict[str, Any]) -> list[dict[str, str]]:
    """The parameters of a run, with their defaults."""
    given = spec.get("arguments", {}).get("parameters", ())
    return [{"name": p["name"], "value": str(p["value"])} for p in given if "value" in p]


_SDK = '''"""Makes the recurring run {name} in Kubeflow Pipelines; needs kfp 1.8.

python {file} [URL of Kubeflow Pipelines; without it, the one that kubectl reaches]
"""

import sys

import kfp

NAME = {name!r}
NAMESPACE = {namespace!r}

client = kfp.Client(host=sys.argv[1] if len(sys.argv) > 1 else None)
experiment = client.create_experiment({experiment!r}, namespace=NAMESPACE)

token = ""
while token is not None:
    page = client.list_recurring_runs(
        page_token=token, page_size=100, experiment_id=experiment.id
    )
    for job in page.jobs or ():
        if job.name == NAME:
            sys.exit(f"{{NAME}} is there already, as {{job.id}}: delete it, or give another name")
    token = page.next_page_token or None

job = client.create_recurring_run(
    experiment_id=experiment.id,
    job_name=NAME,
    cron_expression={cron!r},
    max_concurrency={max_concurrency},
    no_catchup=True,
    pipeline_package_path={package!r},
)
print(job.id)
'''


def sdk_call(package: str, experiment: str, recurring: Recurring) -> str:
    """A script of Python that makes a recurring run with Kubeflow's SDK.

    Args:
      package: path of the compiled pipeline, which the script reads when it runs.
      experiment: name of the experiment for the runs, which is made if it is missing.
      recurring: the recurring run.
    """
    return _SDK.format(
        name=recurring.name,
        namespace=recurring.namespace,
        file=f"{recurring.name}.py",
        experiment=experiment,
        cron=recurring.cron.with_seconds,
        max_concurrency=recurring.max_concurrency,
        package=package,
    )
