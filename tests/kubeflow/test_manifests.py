"""The checks of manifests themselves: what is right passes, and a typo anywhere does not."""

import copy
import json
from typing import Any

import pytest
import yaml
from command_lines import GOLDEN
from manifests import check_cron_job, check_pipeline_job, check_scheduled_workflow, check_workflow

PARAMETERS = [{"name": "pipeline-root", "value": "gs://bucket/other"}]


def golden_job() -> Any:
    return json.loads((GOLDEN / "embed_pipeline.json").read_text())


def golden_workflow() -> Any:
    return yaml.safe_load((GOLDEN / "embed_pipeline.yaml").read_text())


def scheduled_workflow() -> Any:
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "ScheduledWorkflow",
        "metadata": {"generateName": "embed-", "namespace": "kubeflow"},
        "spec": {
            "enabled": True,
            "maxConcurrency": 1,
            "noCatchup": True,
            "trigger": {
                "cronSchedule": {"cron": "0 0 2 * * MON-FRI", "startTime": "2026-11-29T00:00:00Z"}
            },
            "workflow": {"parameters": PARAMETERS, "spec": golden_workflow()["spec"]},
        },
    }


def cron_job() -> Any:
    pod = {
        "restartPolicy": "Never",
        "containers": [
            {
                "name": "run",
                "image": "hub-tfx:1",
                "args": ["run", "embed"],
                "resources": {"limits": {"cpu": "500m", "memory": "2Gi"}},
                "env": [{"name": "A", "value": "1"}],
            }
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "embed"},
        "spec": {
            "schedule": "*/15 2 * * *",
            "jobTemplate": {"spec": {"template": {"spec": pod}}},
        },
    }


def changed(document: Any, path: str, value: Any) -> Any:
    """With a value in the place of what is at a path, or added; None removes it."""
    document = copy.deepcopy(document)
    *above, last = path.split("/")
    node = document
    for name in above:
        node = node[int(name)] if isinstance(node, list) else node.setdefault(name, {})
    if value is None:
        del node[last]
    else:
        node[int(last) if isinstance(node, list) else last] = value
    return document


def test_what_is_right_passes() -> None:
    check_pipeline_job(golden_job())
    check_workflow(golden_workflow())
    check_cron_job(cron_job())
    check_scheduled_workflow(scheduled_workflow())
    text = json.dumps(golden_workflow()["spec"])
    check_scheduled_workflow(changed(scheduled_workflow(), "spec/workflow/spec", text))


TASK = "pipelineSpec/root/dag/tasks/EmbeddingGenerator"
CONTAINER = "pipelineSpec/deploymentSpec/executors/EmbeddingGenerator_executor/container"


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("runtimeConfigs", {}, 'PipelineJob.* no field named "runtimeConfigs"'),
        (f"{TASK}/retriesPolicy", {}, 'no field named "retriesPolicy"'),
        (f"{TASK}/retryPolicy", {"backoffDuration": "30m"}, "Duration"),
        (f"{CONTAINER}/resources", {"cpuLimits": 4}, 'no field named "cpuLimits"'),
        (f"{CONTAINER}/resources", {"accelerator": {"type": "T4"}}, "a type and a count"),
        (f"{CONTAINER}/image", "", "has no image"),
        (f"{TASK}/componentRef/name", "Embeder", "component: {'Embeder'} is not among"),
        (f"{TASK}/dependentTasks", ["ModuleResolver", "Gen"], "dependency: {'Gen'} is not among"),
        (f"{TASK}/dependentTasks", ["ModuleResolver"], "producer: {'ImportExampleGen'} is not"),
        (f"{TASK}/inputs/artifacts/modul", {}, "artifacts: "),
        (f"{TASK}/inputs/parameters/confg", {}, "parameter: {'confg'} is not among"),
        (
            f"{TASK}/inputs/artifacts/module/taskOutputArtifact/outputArtifactKey",
            "modul",
            "output: {'modul'} is not among",
        ),
        ("pipelineSpec/deploymentSpec/executors/Other", {}, "executors: .*'Other'"),
        ("pipelineSpec/root/dag/tasks/ModuleResolver", None, "{'ModuleResolver'} is not among"),
    ],
)
def test_a_typo_in_a_pipeline_job_fails(path: str, value: Any, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_pipeline_job(changed(golden_job(), path, value))


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("kind", "Workflows", "Workflows"),
        ("metadata/annotation", {}, "'annotation' was unexpected"),
        ("spec/nodeSelectors", {"a": "b"}, "keys: .*nodeSelectors"),
        ("spec/templates/1/tolerations", [{"effects": "NoSchedule"}], "keys: .*effects"),
        ("spec/templates/1/retryStrategy", {"backoff": {"durations": "1"}}, "keys: .*durations"),
        ("spec/templates/1/activeDeadlineSeconds", {}, "activeDeadlineSeconds"),
        ("spec/templates/1/container/resources", {"limits": {"cpu": "4 cores"}}, "not a quantity"),
        ("spec/templates/1/container/resources", {"limit": {}}, "keys: .*limit"),
        ("spec/templates/1/container/env/0", {"name": "A", "value": 1}, "env"),
        ("spec/templates/1/container/env/1", {"name": "WORKFLOW_ID"}, "WORKFLOW_ID has two values"),
        ("spec/templates/1/name", "embed", "two templates have one name"),
        ("spec/templates/1/name", "other", "{'embeddinggenerator'} is not among"),
        ("spec/entrypoint", "embedd", "entrypoint: {'embedd'} is not among"),
        ("spec/onExit", "embedd", "onExit: {'embedd'} is not among"),
    ],
)
def test_a_typo_in_a_workflow_fails(path: str, value: Any, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_workflow(changed(golden_workflow(), path, value))


def test_tasks_that_wait_for_each_other_fail() -> None:
    workflow = golden_workflow()
    (dag,) = [t["dag"] for t in workflow["spec"]["templates"] if "dag" in t]
    dag["tasks"][0]["dependencies"] = [dag["tasks"][0]["name"]]
    with pytest.raises(AssertionError, match="tasks wait for each other"):
        check_workflow(workflow)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("kind", "CronJobs", "CronJobs"),
        ("apiVersion", "batch/v2", "batch"),
        ("spec/schedules", "", "'schedules' was unexpected"),
        ("spec/schedule", "0 0 2 * * *", "does not have five fields"),
        ("metadata/name", "a" * 53, "is too long"),
        ("spec/jobTemplate/spec/template/spec/restartPolicy", "Sometimes", "restartPolicy"),
        ("spec/jobTemplate/spec/template/spec/containers/0/arg", [], "'arg' was unexpected"),
    ],
)
def test_a_typo_in_a_cron_job_fails(path: str, value: Any, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_cron_job(changed(cron_job(), path, value))


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("kind", "ScheduledWorkflows", "kind"),
        ("metadata/label", {}, "'label' was unexpected"),
        ("spec/noCatchUp", True, "'noCatchUp' was unexpected"),
        ("spec/maxConcurrency", 11, "maximum"),
        ("spec/trigger", {}, "trigger"),
        ("spec/trigger/cronSchedule/cron", "0 2 * * *", "cron"),
        ("spec/trigger/cronSchedule/startTimes", "", "'startTimes' was unexpected"),
        ("spec/workflow/spec/templates/0/retries", 3, "keys: .*retries"),
        ("spec/workflow/spec", '{"entrypoints": "a"}', "Workflow"),
        ("spec/workflow/parameters/0/name", "pipeline-rot", "parameter: {'pipeline-rot'}"),
        ("spec/workflow/parameters/0/value", 1, "is not of type 'string'"),
    ],
)
def test_a_typo_in_a_scheduled_workflow_fails(path: str, value: Any, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_scheduled_workflow(changed(scheduled_workflow(), path, value))
