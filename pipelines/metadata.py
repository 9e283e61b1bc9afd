"""What ML Metadata says of a run and of an artifact's family."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from hub_tfx.errors import HubTfxError, InputError

_DONE = (mlmd.Execution.COMPLETE, mlmd.Execution.CACHED)
_OUTPUT_EVENTS = (mlmd.Event.OUTPUT, mlmd.Event.DECLARED_OUTPUT)
_INPUT_EVENTS = (mlmd.Event.INPUT, mlmd.Event.DECLARED_INPUT)


@dataclass(frozen=True)
class Node:
    """An artifact, the step that made it, and what that step was given.

    Attributes:
      name: the key under which the step gives it, such as `embeddings`.
      type_name: of the artifact.
      uri: of the artifact.
      properties: of the artifact, custom ones too.
      made_by: the step's id; None where ML Metadata knows of none.
      parents: the artifacts the step read.
    """

    name: str
    type_name: str
    uri: str
    properties: dict[str, str | int | float]
    made_by: str | None
    parents: tuple["Node", ...]


def open_sqlite(path: str) -> MetadataStore:
    """Opens an existing SQLite file of ML Metadata; raises InputError where there is none."""
    if not Path(path).is_file():
        raise InputError(f"there is no ML Metadata in {path}: give the sqlite file of a run")
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = path
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE
    return MetadataStore(config)


def latest_run(store: MetadataStore, pipeline_name: str) -> list[mlmd.Execution]:
    """The steps of a pipeline's newest run.

    Raises:
      InputError: ML Metadata knows no run of it.
    """
    pipeline = store.get_context_by_type_and_name("pipeline", pipeline_name)
    runs = store.get_children_contexts_by_context(pipeline.id) if pipeline else []
    runs = [run for run in runs if run.type == "pipeline_run"]
    if not runs:
        raise InputError(f"ML Metadata knows no run of the pipeline {pipeline_name!r}")
    newest = max(runs, key=lambda run: run.id)
    executions: list[mlmd.Execution] = store.get_executions_by_context(newest.id)
    return executions


def check_complete(executions: Sequence[mlmd.Execution], steps: int) -> None:
    """Raises unless every step of a run is complete or was taken from the cache.

    LocalDagRunner reports success also where an executor ended the process half-way.
    """
    open_steps = [e for e in executions if e.last_known_state not in _DONE]
    if open_steps or len(executions) < steps:
        states = ", ".join(
            f"{e.type} is {mlmd.Execution.State.Name(e.last_known_state)}" for e in open_steps
        )
        raise HubTfxError(
            f"the run is not complete: {states or 'steps are missing in ML Metadata'}; "
            "look at the log of that step and run the pipeline again"
        )


def outputs(store: MetadataStore, execution: mlmd.Execution) -> dict[str, mlmd.Artifact]:
    """What a step gave, by key: the last artifact of each."""
    events = store.get_events_by_execution_ids([execution.id])
    keys = {e.artifact_id: _key(e) for e in events if e.type in _OUTPUT_EVENTS}
    return {keys[artifact.id]: artifact for artifact in store.get_artifacts_by_id(list(keys))}


def lineage(store: MetadataStore, artifact: mlmd.Artifact) -> Node:
    """An artifact's family: the step that made it, what it read, and so on to the first inputs."""
    events = store.get_events_by_artifact_ids([artifact.id])
    made = [event for event in events if event.type in _OUTPUT_EVENTS]
    made_by, parents = None, ()
    if made:
        # A cached step names the artifact again: the first execution is the one that made it.
        first = min(made, key=lambda event: event.execution_id)
        execution = store.get_executions_by_id([first.execution_id])[0]
        made_by = execution.type.rsplit(".", 1)[-1]
        read = [
            event.artifact_id
            for event in store.get_events_by_execution_ids([execution.id])
            if event.type in _INPUT_EVENTS
        ]
        parents = tuple(lineage(store, parent) for parent in store.get_artifacts_by_id(read))
    return Node(
        name=_key(made[0]) if made else artifact.name,
        type_name=artifact.type,
        uri=artifact.uri,
        properties=properties(artifact),
        made_by=made_by,
        parents=parents,
    )


def properties(artifact: mlmd.Artifact) -> dict[str, Any]:
    """Properties and custom properties of an artifact as Python values."""
    return {
        name: getattr(value, value.WhichOneof("value"))
        for values in (artifact.properties, artifact.custom_properties)
        for name, value in sorted(values.items())
    }


def _key(event: mlmd.Event) -> str:
    return next((step.key for step in event.path.steps if step.WhichOneof("value") == "key"), "")
