"""What ML Metadata says about a run: its steps, their states, and what they produced."""

from collections.abc import Sequence

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from hub_tfx.errors import HubTfxError, InputError
from hub_tfx.lineage.store import event_key, is_output

_DONE = (mlmd.Execution.COMPLETE, mlmd.Execution.CACHED)


def latest_run(store: MetadataStore, pipeline_name: str) -> list[mlmd.Execution]:
    """The steps of a pipeline's newest run.

    Raises:
      InputError: ML Metadata has no run of the pipeline.
    """
    pipeline = store.get_context_by_type_and_name("pipeline", pipeline_name)
    runs = store.get_children_contexts_by_context(pipeline.id) if pipeline else []
    runs = [run for run in runs if run.type == "pipeline_run"]
    if not runs:
        raise InputError(f"ML Metadata has no run of the pipeline {pipeline_name!r}")
    return _steps_of(store, max(runs, key=lambda run: run.id))


def run(store: MetadataStore, run_id: str) -> list[mlmd.Execution]:
    """The steps of a run, by its id; of several that overlap the newest is not always one's own.

    Raises:
      InputError: ML Metadata has no such run.
    """
    found = store.get_context_by_type_and_name("pipeline_run", run_id)
    if found is None:
        raise InputError(f"ML Metadata has no run {run_id!r}")
    return _steps_of(store, found)


def _steps_of(store: MetadataStore, run: mlmd.Context) -> list[mlmd.Execution]:
    executions: list[mlmd.Execution] = store.get_executions_by_context(run.id)
    return executions


def check_complete(executions: Sequence[mlmd.Execution], steps: int) -> None:
    """Raises HubTfxError unless every step of a run is complete or was taken from the cache.

    LocalDagRunner reports success even where an executor ended the process half-way.
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
    """The artifacts that a step produced: the last one of each key."""
    events = store.get_events_by_execution_ids([execution.id])
    keys = {e.artifact_id: event_key(e) for e in events if is_output(e)}
    return {keys[artifact.id]: artifact for artifact in store.get_artifacts_by_id(list(keys))}
