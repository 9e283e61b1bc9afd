"""What Vertex AI, Argo, Kubernetes and Kubeflow take: a typo in a manifest is an AssertionError.

| check | of | by |
|---|---|---|
| ``check_pipeline_job`` | a PipelineJob in JSON | the protos of kfp-pipeline-spec |
| ``check_workflow`` | a Workflow of Argo | hera's models, and Kubernetes' schema of a pod |
| ``check_cron_job`` | a CronJob | Kubernetes' schemas, strict |
| ``check_scheduled_workflow`` | a ScheduledWorkflow, which is a CRD | a schema of our own |

Beyond the schemas, what a manifest refers to must be in it.
"""

import json
import re
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

import jsonschema
import kubernetes_validate
from google.protobuf import json_format
from hera.workflows.models import Workflow
from kfp.pipeline_spec import pipeline_spec_pb2 as kfp
from pydantic import ValidationError

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i)?")
_FIELD = r"[0-9*/,?LW#-]+|[A-Za-z]{3}(-[A-Za-z]{3})?"
_CRON_OF_KUBERNETES = re.compile(rf"(?:({_FIELD})( |$)){{5}}(?<! )|@[a-z]+")
_CRON_OF_KUBEFLOW = re.compile(rf"(?:({_FIELD})( |$)){{6}}(?<! )|@[a-z]+( .+)?")
_MAX_NAME_OF_CRON_JOB = 52
"""Kubernetes appends up to 11 characters to the name of each Job, which may have 63."""


# --- Vertex AI Pipelines --------------------------------------------------------------------------


def check_pipeline_job(job: Mapping[str, Any]) -> None:
    """A PipelineJob has no field that its protos lack, and its tasks refer to what is there."""
    _parsed(job, kfp.PipelineJob())
    spec = _parsed(job["pipelineSpec"], kfp.PipelineSpec())
    deployment = _parsed(job["pipelineSpec"]["deploymentSpec"], kfp.PipelineDeploymentConfig())
    tasks = spec.root.dag.tasks
    assert tasks, "the pipeline has no task"
    _check_order({name: task.dependent_tasks for name, task in tasks.items()})
    for name, task in tasks.items():
        _check_task(name, task, spec)
    labels = {component.executor_label for component in spec.components.values()}
    _check_same("executors", labels, deployment.executors)
    used = {task.component_ref.name for task in tasks.values()}
    _check_same("components", used, spec.components)
    for name, executor in deployment.executors.items():
        _check_container(name, executor.container)


def _parsed(document: Any, message: Any) -> Any:
    try:
        return json_format.ParseDict(document, message)
    except json_format.ParseError as error:
        raise AssertionError(f"{message.DESCRIPTOR.name}: {error}") from error


def _check_task(name: str, task: Any, spec: Any) -> None:
    _check_known(f"{name}: component", [task.component_ref.name], spec.components)
    component = spec.components[task.component_ref.name]
    given, takes = task.inputs, component.input_definitions
    _check_known(f"{name}: parameter", given.parameters, takes.parameters)
    _check_same(f"{name}: artifacts", given.artifacts, takes.artifacts)
    for artifact in given.artifacts.values():
        source = artifact.task_output_artifact
        _check_known(f"{name}: producer", [source.producer_task], task.dependent_tasks)
        producer = spec.components[spec.root.dag.tasks[source.producer_task].component_ref.name]
        outputs = producer.output_definitions.artifacts
        _check_known(f"{name}: output", [source.output_artifact_key], outputs)


def _check_container(name: str, container: Any) -> None:
    assert container.image, f"{name}: the container has no image"
    accelerator = container.resources.accelerator
    both = bool(accelerator.type) == (accelerator.count > 0)
    assert both, f"{name}: an accelerator has a type and a count"


# --- Argo -----------------------------------------------------------------------------------------


def check_workflow(workflow: Mapping[str, Any]) -> None:
    """A Workflow has no key that Argo's models lack, and its tasks refer to what is there."""
    kind = (workflow.get("apiVersion"), workflow.get("kind"))
    assert kind == ("argoproj.io/v1alpha1", "Workflow"), kind
    _check_metadata(workflow["metadata"])
    try:
        model = Workflow.model_validate(workflow)
    except ValidationError as error:
        raise AssertionError(f"Workflow: {error}") from error
    # hera leaves out what it does not know, without a word.
    again = model.model_dump(by_alias=True, exclude_unset=True, mode="json")
    _check_equal("Workflow", workflow, again)
    _check_templates(workflow["spec"])


def _check_templates(spec: Mapping[str, Any]) -> None:
    templates = spec["templates"]
    names = [template["name"] for template in templates]
    assert len({*names}) == len(names), "two templates have one name"
    _check_known("entrypoint", [spec["entrypoint"]], names)
    _check_known("onExit", [spec.get("onExit", names[0])], names)
    for template in templates:
        tasks = template.get("dag", {}).get("tasks", ())
        _check_known(f"{template['name']}: template", [task["template"] for task in tasks], names)
        _check_order({task["name"]: task.get("dependencies", ()) for task in tasks})
        if "container" in template:
            _check_pod(template, spec)


def _check_pod(template: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    """The pod that a template becomes is one to Kubernetes."""
    container = {"name": "main", **template["container"]}
    of_pod = ("nodeSelector", "tolerations", "serviceAccountName", "volumes", "securityContext")
    shared = {key: spec[key] for key in of_pod if key in spec}
    own = {key: template[key] for key in of_pod if key in template}
    pod = {"containers": [container], **shared, **own}
    _check_kubernetes({"apiVersion": "v1", "kind": "Pod", "spec": pod})
    _check_containers(template["name"], [container])


# --- Kubernetes -----------------------------------------------------------------------------------


def check_cron_job(manifest: Mapping[str, Any]) -> None:
    """A CronJob has no key that Kubernetes lacks, a name that is not too long, and five fields."""
    assert manifest.get("kind") == "CronJob", manifest.get("kind")
    _check_kubernetes(manifest)
    name, schedule = manifest["metadata"]["name"], manifest["spec"]["schedule"]
    assert len(name) <= _MAX_NAME_OF_CRON_JOB, f"{name} is too long"
    assert _CRON_OF_KUBERNETES.fullmatch(schedule), f"{schedule!r} does not have five fields"
    pod = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod.get("restartPolicy") in ("Never", "OnFailure"), "restartPolicy is not one of a Job"
    _check_containers(name, pod["containers"])


def _check_kubernetes(manifest: Mapping[str, Any]) -> None:
    version = kubernetes_validate.latest_version()
    try:
        kubernetes_validate.validate(dict(manifest), version, strict=True)
    except kubernetes_validate.SchemaNotFoundError as error:
        raise AssertionError(error.message) from error
    except kubernetes_validate.ValidationError as error:
        where = ".".join(map(str, error.absolute_path))
        raise AssertionError(f"{manifest['kind']}: {where}: {error.message}") from error


def _check_metadata(metadata: Any) -> None:
    _check_kubernetes({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def _check_containers(name: str, containers: Iterable[Mapping[str, Any]]) -> None:
    """What no schema says of containers: quantities, and one value a variable."""
    for container in containers:
        for amounts in container.get("resources", {}).values():
            for resource, amount in amounts.items():
                is_one = _QUANTITY.fullmatch(str(amount))
                assert is_one, f"{name}: {resource}: {amount!r} is not a quantity"
        values: dict[str, Any] = {}
        for variable in container.get("env", ()):
            first = values.setdefault(variable["name"], variable)
            assert first == variable, f"{name}: {variable['name']} has two values"


# --- Kubeflow -------------------------------------------------------------------------------------

_TIME = {"type": "string", "format": "date-time"}


def _object(required: Iterable[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": False,
    }


SCHEDULED_WORKFLOW = _object(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "kubeflow.org/v1beta1"},
    kind={"const": "ScheduledWorkflow"},
    metadata={"type": "object"},
    spec=_object(
        ("enabled", "trigger", "workflow"),
        enabled={"type": "boolean"},
        maxConcurrency={"type": "integer", "minimum": 1, "maximum": 10},
        maxHistory={"type": "integer", "minimum": 0, "maximum": 100},
        noCatchup={"type": "boolean"},
        trigger={
            **_object(
                (),
                cronSchedule=_object(
                    ("cron",),
                    startTime=_TIME,
                    endTime=_TIME,
                    cron={"type": "string", "pattern": f"^(?:{_CRON_OF_KUBEFLOW.pattern})$"},
                ),
                periodicSchedule=_object(
                    ("intervalSecond",),
                    startTime=_TIME,
                    endTime=_TIME,
                    intervalSecond={"type": "integer", "minimum": 1},
                ),
            ),
            "minProperties": 1,
            "maxProperties": 1,
        },
        workflow=_object(
            ("spec",),
            parameters={
                "type": "array",
                "items": _object(
                    ("name", "value"), name={"type": "string"}, value={"type": "string"}
                ),
            },
            pipelineRoot={"type": "string"},
            spec={"type": ["object", "string"]},
        ),
        experimentId={"type": "string"},
        pipelineId={"type": "string"},
        pipelineVersionId={"type": "string"},
        pipelineName={"type": "string"},
        serviceAccount={"type": "string"},
    ),
)
"""After kubeflow/pipelines, backend/src/crd/pkg/apis/scheduledworkflow/v1beta1/types.go. Its
controller reads cron by six fields, seconds first."""


def check_scheduled_workflow(manifest: Mapping[str, Any]) -> None:
    """A ScheduledWorkflow, and the workflow in it, which may be the JSON of one."""
    try:
        jsonschema.Draft202012Validator(
            SCHEDULED_WORKFLOW, format_checker=jsonschema.FormatChecker()
        ).validate(manifest)
    except jsonschema.ValidationError as error:
        raise AssertionError(f"ScheduledWorkflow: {error.json_path}: {error.message}") from error
    _check_metadata(manifest["metadata"])
    workflow = manifest["spec"]["workflow"]
    spec = workflow["spec"]
    spec = json.loads(spec) if isinstance(spec, str) else spec
    like = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": spec}
    check_workflow({**like, "metadata": {"generateName": "x-"}})
    takes = [one["name"] for one in spec.get("arguments", {}).get("parameters", ())]
    _check_known("parameter", [one["name"] for one in workflow.get("parameters", ())], takes)


# --- What they share ------------------------------------------------------------------------------


def _check_known(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    unknown = {*names} - {*known}
    assert not unknown, f"{what}: {unknown} is not among {sorted(known)}"


def _check_same(what: str, used: Iterable[str], there: Iterable[str]) -> None:
    assert {*used} == {*there}, f"{what}: {sorted(used)} are used, {sorted(there)} are there"


def _check_order(before: Mapping[str, Iterable[str]]) -> None:
    """Each task comes after others that are there, and none after itself."""
    for name, others in before.items():
        _check_known(f"{name}: dependency", others, before)
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        raise AssertionError(f"tasks wait for each other: {error.args[1]}") from error


def _check_equal(where: str, given: Any, again: Any) -> None:
    """Names the first key of two documents that is different."""
    if isinstance(given, Mapping) and isinstance(again, Mapping):
        _check_same(f"{where}: keys", given, again)
        for key in given:
            _check_equal(f"{where}.{key}", given[key], again[key])
    elif isinstance(given, list) and isinstance(again, list):
        assert len(given) == len(again), where
        for number, (one, other) in enumerate(zip(given, again, strict=True)):
            _check_equal(f"{where}[{number}]", one, other)
    else:
        assert given == again, f"{where}: {given!r} is read as {again!r}"
