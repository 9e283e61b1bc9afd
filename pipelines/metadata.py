"""What ML Metadata says of a run and of an artifact's family."""

from collections.abc import Sequence
from dataclasses import dataclass

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from hub_tfx.errors import HubTfxError, InputError
from hub_tfx.lineage.store import (
    event_key,
    is_output,
)

_DONE = (mlmd.Execution.COMPLETE, mlmd.Execution.CACHED)


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
    keys = {e.artifact_id: event_key(e) for e in events if is_output(e)}
    return {keys[artifact.id]: artifact for artifact in store.get_artifacts_by_id(list(keys))}


def lineage(store: MetadataStore, artifact: mlmd.Artifact) -> Node:
    """An artifact's ancestors: the step that made it, what it read, and so on to the first inputs.

    No further than family.MAX_GENERATIONS. An artifact that several steps read is one Node.
    """
    from hub_tfx.lineage.graph import ancestors

    family = ancestors(store, [artifact])
    nodes: dict[int, Node] = {}

    def node(artifact_id: int, children: frozenset[int]) -> Node:
        if artifact_id not in nodes:
            member = family.artifacts[artifact_id]
            # A circle, which ML Metadata does not forbid, ends where it began.
            step = None if artifact_id in children else family.maker(artifact_id)
            inputs = () if step is None else step.inputs
            nodes[artifact_id] = Node(
                name=member.name,
                type_name=member.type_name,
                uri=member.uri,
                properties=dict(member.properties),
                made_by=None if step is None else step.name,
                parents=tuple(node(use.artifact, children | {artifact_id}) for use in inputs),
            )
        return nodes[artifact_id]

    return node(artifact.id, frozenset())
