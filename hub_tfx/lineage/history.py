"""The runs of pipelines that ML Metadata knows: what went in, what came out, and what failed.

A fixed number of queries for each run that is shown, and one for each kind of step, whatever else
ML Metadata holds.
"""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from ml_metadata.metadata_store import ListOptions, MetadataStore, OrderByField
from ml_metadata.proto import metadata_store_pb2 as mlmd

from hub_tfx.errors import InputError
from hub_tfx.lineage.store import event_key, is_input, is_output, properties_of

EXECUTION_RESULT = "__execution_result__"
"""The custom property in which TFX keeps how a step ended, a JSON document."""
_RUN, _PIPELINE, _NODE = "pipeline_run", "pipeline", "node"
_STATE = mlmd.Execution.State
_DONE = ("COMPLETE", "CACHED")
_NEAREST = 3
_DIGEST_CHARS = 12
_SKIPPED, _PUBLISHED = "skipped", "published"
_CORPUS = "CorpusExampleGen"  # Of the retraining pipeline.
_BASES = ("module_in_use", "base_module", "module")
"""Keys under which a step reads the module that it starts from, or uses as it is."""


@dataclass(frozen=True)
class Produced:
    """An artifact that a step produced, or took from the cache.

    Attributes:
      key: the key under which the step has it.
      id: id of the artifact in ML Metadata.
      type_name: name of the artifact's type.
      uri: where the artifact's files lie.
      properties: properties of the artifact, custom ones included.
    """

    key: str
    id: int
    type_name: str
    uri: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class RunStep:
    """A step of a run.

    Attributes:
      name: the step's name in the pipeline.
      id: id of the execution in ML Metadata.
      state: how far it came, as ML Metadata calls it: `COMPLETE`, `CACHED`, `FAILED`, `RUNNING`…
      seconds: from its begin to its last change.
      error: why it failed, where ML Metadata knows it.
      outputs: what it produced.
    """

    name: str
    id: int
    state: str
    seconds: float
    error: str | None
    outputs: tuple[Produced, ...]

    @property
    def is_done(self) -> bool:
        """Whether its outputs are there."""
        return self.state in _DONE


@dataclass(frozen=True)
class Run:
    """A run of a pipeline.

    Attributes:
      id: the runner's name of the run.
      pipeline: name of the pipeline.
      started: when its first step began, in UTC (ISO 8601).
      seconds: from then to the last change of a step.
      spans: the spans of its examples.
      rows: number of rows that it learned from or embedded.
      base: handle of the module that it started from, or the beginning of that module's digest.
      decided: why RetrainGate found that there is something to learn from.
      verdict: `blessed` or `not blessed`; `skipped` where there was nothing to learn from; `already
        published` or `outdated` where it was blessed, and another run has published meanwhile.
      reason: why.
      published: the version that it published, `publisher/model/3`, without the cache.
      embedded: number of rows that a module embedded in it, without the cache.
      reused: number of rows whose vectors it copied from an earlier run.
      steps: its steps, in the order in which they began.

    Each of these but the first four is empty, or None, where the run has no such thing.
    """

    id: str
    pipeline: str
    started: str
    seconds: float
    spans: tuple[int, ...]
    rows: int | None
    base: str | None
    decided: str | None
    verdict: str | None
    reason: str | None
    published: str | None
    embedded: int | None
    reused: int | None
    steps: tuple[RunStep, ...]

    @property
    def open_steps(self) -> tuple[RunStep, ...]:
        """The steps that failed, or that are not done."""
        return tuple(step for step in self.steps if not step.is_done)

    @property
    def is_cached(self) -> bool:
        """Whether every step was taken from the cache."""
        return bool(self.steps) and all(step.state == "CACHED" for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """What `hub-tfx history --json` prints of a run."""
        return asdict(self)


def runs_of(store: MetadataStore, pipeline: str | None = None, limit: int | None = 20) -> list[Run]:
    """The newest runs, the oldest of them first.

    Args:
      store: ML Metadata.
      pipeline: the pipeline's name; None for the runs of all pipelines.
      limit: the number of runs; None for all.

    Raises:
      InputError: ML Metadata has no such pipeline.
    """
    return _read(store, _newest(store, pipeline, limit))


def run_of(store: MetadataStore, run_id: str, pipeline: str | None = None) -> Run:
    """One run, by its id or by the beginning of that.

    Raises:
      InputError: there is no such run, or several begin like this.
    """
    contexts = _newest(store, pipeline, None)
    found = [c for c in contexts if c.name == run_id]
    found = found or [c for c in contexts if run_id and c.name.startswith(run_id)]
    if len(found) > 1:
        alike = ", ".join(c.name for c in found[-_NEAREST:])
        raise InputError(f"{len(found)} runs begin with {run_id}: give more of it ({alike})")
    if not found:
        names = [c.name for c in contexts]
        near = difflib.get_close_matches(run_id, names, _NEAREST, 0.4) or names[-_NEAREST:]
        known = f"the nearest: {', '.join(near)}" if near else "it has no run at all"
        raise InputError(f"ML Metadata has no run {run_id}; {known}")
    return _read(store, found)[0]


# --- What is asked of ML Metadata ----------------------------------------------------------------


def _newest(store: MetadataStore, pipeline: str | None, limit: int | None) -> list[mlmd.Context]:
    """The contexts of the newest runs, the oldest first."""
    if pipeline is None:
        found = _of_all_pipelines(store, limit)
    else:
        context = store.get_context_by_type_and_name(_PIPELINE, pipeline)
        if context is None:
            raise InputError(_no_pipeline(store, pipeline))
        children = store.get_children_contexts_by_context(context.id)
        found = [child for child in children if child.type == _RUN]
    found = sorted(found, key=lambda run: run.id)
    return found if limit is None else found[-limit:]


def _of_all_pipelines(store: MetadataStore, limit: int | None) -> list[mlmd.Context]:
    if limit is None:
        return list(store.get_contexts_by_type(_RUN))
    kind = store.get_context_type(_RUN) if _has_runs(store) else None
    if kind is None:
        return []
    options = ListOptions(
        limit=limit, order_by=OrderByField.ID, is_asc=False, filter_query=f"type_id = {kind.id}"
    )
    return list(store.get_contexts(options))


def _has_runs(store: MetadataStore) -> bool:
    return any(kind.name == _RUN for kind in store.get_context_types())


def _no_pipeline(store: MetadataStore, pipeline: str) -> str:
    known = sorted(context.name for context in store.get_contexts_by_type(_PIPELINE))
    near = difflib.get_close_matches(pipeline, known, _NEAREST) or known[:_NEAREST]
    has = f"it has {', '.join(near)}" if near else "it has no pipeline at all"
    return f"ML Metadata has no pipeline {pipeline}; {has}"


def _read(store: MetadataStore, contexts: Sequence[mlmd.Context]) -> list[Run]:
    executions = {run.id: store.get_executions_by_context(run.id) for run in contexts}
    pipelines = {run.id: _pipeline_of(store, run) for run in contexts}
    ids = [execution.id for of_run in executions.values() for execution in of_run]
    events = store.get_events_by_execution_ids(ids) if ids else []
    artifacts = _artifacts(store, events)
    by_execution: dict[int, list[mlmd.Event]] = {}
    for event in events:
        by_execution.setdefault(event.execution_id, []).append(event)
    names = _names(store, set(pipelines.values()), ids)
    return [
        _run(
            run,
            pipelines[run.id],
            [
                _Execution(e, names.get(e.id), by_execution.get(e.id, []), artifacts)
                for e in sorted(executions[run.id], key=lambda e: e.id)
            ],
        )
        for run in contexts
    ]


def _pipeline_of(store: MetadataStore, run: mlmd.Context) -> str:
    parents = store.get_parent_contexts_by_context(run.id)
    return next((parent.name for parent in parents if parent.type == _PIPELINE), "")


def _artifacts(store: MetadataStore, events: Iterable[mlmd.Event]) -> dict[int, mlmd.Artifact]:
    ids = sorted({event.artifact_id for event in events})
    return {a.id: a for a in store.get_artifacts_by_id(ids)} if ids else {}


def _names(store: MetadataStore, pipelines: set[str], ids: Sequence[int]) -> dict[int, str]:
    """Execution -> name of its step, which only the step's context knows.

    One query for each step of the pipelines, for as many executions as there are in between.
    """
    if not ids or not _has_runs(store):
        return {}
    options = ListOptions(filter_query=f"id >= {min(ids)} AND id <= {max(ids)}")
    wanted, names = set(ids), {}
    for node in store.get_contexts_by_type(_NODE):
        pipeline = next((p for p in pipelines if node.name.startswith(f"{p}.")), None)
        if pipeline is not None:
            for execution in store.get_executions_by_context(node.id, options):
                if execution.id in wanted:
                    names[execution.id] = node.name.removeprefix(f"{pipeline}.")
    return names


# --- What that says of a run ---------------------------------------------------------------------


class _Execution:
    """An execution with what it read and produced."""

    def __init__(
        self,
        execution: mlmd.Execution,
        name: str | None,
        events: Sequence[mlmd.Event],
        artifacts: Mapping[int, mlmd.Artifact],
    ):
        self._execution = execution
        self.name = name or execution.type.rpartition(".")[2]
        known = [event for event in events if event.artifact_id in artifacts]
        read = [(event_key(e), artifacts[e.artifact_id]) for e in known if is_input(e)]
        made = [(event_key(e), artifacts[e.artifact_id]) for e in known if is_output(e)]
        self.read = {key: properties_of(artifact) for key, artifact in read}
        self.outputs = tuple(
            Produced(key, a.id, a.type, a.uri, properties_of(a)) for key, a in made
        )
        self.is_cached = execution.last_known_state == mlmd.Execution.CACHED
        self.began_ms = execution.create_time_since_epoch
        self.ended_ms = max(execution.last_update_time_since_epoch, self.began_ms)

    def step(self) -> RunStep:
        return RunStep(
            name=self.name,
            id=self._execution.id,
            state=_STATE.Name(self._execution.last_known_state),
            seconds=(self.ended_ms - self.began_ms) / 1000,
            error=_error(self._execution),
            outputs=self.outputs,
        )


def _error(execution: mlmd.Execution) -> str | None:
    """Why a step failed, where somebody wrote it down."""
    if EXECUTION_RESULT not in execution.custom_properties:
        return None
    try:
        result = json.loads(execution.custom_properties[EXECUTION_RESULT].string_value)
        return str(result["resultMessage"]) or None
    except (ValueError, LookupError, TypeError):
        return None


def _run(context: mlmd.Context, pipeline: str, executions: Sequence[_Execution]) -> Run:
    began = min((e.began_ms for e in executions), default=context.create_time_since_epoch)
    ended = max((e.ended_ms for e in executions), default=began)
    made = {p.key: p.properties for e in executions for p in e.outputs}
    new = {p.key: p.properties for e in executions if not e.is_cached for p in e.outputs}
    decision = made.get("decision", {})
    evaluation, embeddings = made.get("evaluation", {}), new.get("embeddings", {})
    embedded, reused = _number(embeddings, "rows"), _number(embeddings, "reused")
    learned, is_skipped = _rows_learned(_tuned(executions)), _number(decision, "learn") == 0
    verdict, reason = _verdict(decision, evaluation, made.get("published", {}))
    return Run(
        id=context.name,
        pipeline=pipeline,
        started=datetime.fromtimestamp(began / 1000, timezone.utc).isoformat(timespec="seconds"),
        seconds=(ended - began) / 1000,
        spans=_spans(executions),
        rows=_number(made.get("embeddings", {}), "rows") if learned is None else learned,
        base=_base(executions),
        decided=None if is_skipped else decision.get("reason"),
        verdict=verdict,
        reason=reason,
        published=_published(new.get("published", {})),
        embedded=None if embedded is None else embedded - (reused or 0),
        reused=reused,
        steps=tuple(execution.step() for execution in executions),
    )


def _verdict(
    decision: Mapping[str, Any], evaluation: Mapping[str, Any], published: Mapping[str, Any]
) -> tuple[str | None, str | None]:
    """The verdict of the step that had the last word, and its reason."""
    if published.get("outcome", _PUBLISHED) != _PUBLISHED:
        return published["outcome"], published.get("why")
    if _number(decision, "learn") == 0:
        return _SKIPPED, decision.get("reason")
    return evaluation.get("verdict"), evaluation.get("reason")


def _spans(executions: Iterable[_Execution]) -> tuple[int, ...]:
    """Those of the examples; where a run only embeds, those of the embeddings.

    Rows that are embedded and not learned from, of a window of their own, do not count.
    """
    spans: dict[str, set[int]] = {"examples": set(), "embeddings": set()}
    for execution in executions:
        for made in execution.outputs:
            if made.key in spans and execution.name != _CORPUS:
                span = _number(made.properties, "span")
                listed = made.properties.get("spans", "[]")
                spans[made.key] |= {*_numbers(listed), *(() if span is None else (span,))}
    return tuple(sorted(spans["examples"] or spans["embeddings"]))


def _numbers(listed: Any) -> list[int]:
    try:
        return [int(number) for number in json.loads(listed)]
    except (ValueError, TypeError):
        return []


def _number(properties: Mapping[str, Any], name: str) -> int | None:
    try:
        return int(properties[name])
    except (LookupError, ValueError, TypeError):
        return None


def _tuned(executions: Iterable[_Execution]) -> Mapping[str, Any]:
    """The properties of the module that was trained."""
    made = (p for e in executions for p in e.outputs if p.key == "module")
    return next((p.properties for p in made if "rows_train" in p.properties), {})


def _rows_learned(trained: Mapping[str, Any]) -> int | None:
    counts = [_number(trained, name) for name in ("rows_train", "rows_eval")]
    return None if counts[0] is None else sum(count or 0 for count in counts)


def _base(executions: Sequence[_Execution]) -> str | None:
    """The module that was tuned, otherwise the one that was used as it is."""
    read = [e.read[key] for key in _BASES for e in executions if key in e.read]
    found = [p.properties for e in executions for p in e.outputs if p.key == "module"]
    parents = {properties.get("parent_digest") for properties in found}
    read.sort(key=lambda properties: properties.get("digest") not in parents)
    for properties in (*read, *found):
        digest = str(properties.get("digest", ""))[:_DIGEST_CHARS]
        if known := properties.get("handle") or digest:
            return str(known)
    return None


def _published(properties: Mapping[str, Any]) -> str | None:
    if properties.get("outcome", _PUBLISHED) != _PUBLISHED:
        return None
    name, version = properties.get("name"), properties.get("version")
    return f"{name}/{version}" if name and version is not None else None
