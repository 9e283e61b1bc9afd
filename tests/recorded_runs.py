"""Runs of pipelines written into ML Metadata as TFX writes them, in milliseconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from hub_tfx.lineage.connection import Connection
from hub_tfx.lineage.history import EXECUTION_RESULT

Properties = Mapping[str, str | int]


def new_sqlite(path: str) -> MetadataStore:
    """A new SQLite file of ML Metadata."""
    return MetadataStore(Connection.sqlite(path).config())


@dataclass
class RecordedRun:
    """A run of a pipeline, to which steps are added."""

    store: MetadataStore
    pipeline: str
    id: str
    contexts: list[mlmd.Context] = field(init=False)

    def __post_init__(self) -> None:
        pipeline = self._context("pipeline", self.pipeline)
        run = self._context("pipeline_run", self.id)
        self.store.put_parent_contexts([mlmd.ParentContext(child_id=run.id, parent_id=pipeline.id)])
        self.contexts = [pipeline, run]

    def step(
        self,
        name: str,
        outputs: Mapping[str, tuple[str, Properties]] | None = None,
        inputs: Mapping[str, mlmd.Artifact] | None = None,
        state: str = "COMPLETE",
        type_name: str | None = None,
        error: str | None = None,
    ) -> dict[str, mlmd.Artifact]:
        """Records a step, with a new artifact for each output, of a type and with properties."""
        made = {key: self._artifact(name, key, *given) for key, given in (outputs or {}).items()}
        self.record(name, made, inputs or {}, state, type_name, error)
        return made

    def record(
        self,
        name: str,
        outputs: Mapping[str, mlmd.Artifact],
        inputs: Mapping[str, mlmd.Artifact],
        state: str = "COMPLETE",
        type_name: str | None = None,
        error: str | None = None,
    ) -> None:
        """Records a step with artifacts that are there, as from the cache."""
        kind = mlmd.ExecutionType(name=f"hub_tfx.{type_name or name}")
        execution = mlmd.Execution(
            type_id=self.store.put_execution_type(kind),
            last_known_state=mlmd.Execution.State.Value(state),
        )
        if error is not None:
            execution.custom_properties[EXECUTION_RESULT].string_value = error
        pairs = [(a, _event(mlmd.Event.INPUT, key)) for key, a in inputs.items()]
        pairs += [(a, _event(mlmd.Event.OUTPUT, key)) for key, a in outputs.items()]
        node = self._context("node", f"{self.pipeline}.{name}")
        self.store.put_execution(execution, pairs, [*self.contexts, node])

    def _artifact(self, step: str, key: str, kind: str, properties: Properties) -> mlmd.Artifact:
        type_id = self.store.put_artifact_type(mlmd.ArtifactType(name=kind))
        artifact = mlmd.Artifact(type_id=type_id, uri=f"/{self.pipeline}/{step}/{key}/{self.id}")
        for name, value in properties.items():
            if isinstance(value, int):
                artifact.custom_properties[name].int_value = value
            else:
                artifact.custom_properties[name].string_value = value
        [artifact_id] = self.store.put_artifacts([artifact])
        return self.store.get_artifacts_by_id([artifact_id])[0]

    def _context(self, kind: str, name: str) -> mlmd.Context:
        known = self.store.get_context_by_type_and_name(kind, name)
        if known is None:
            type_id = self.store.put_context_type(mlmd.ContextType(name=kind))
            self.store.put_contexts([mlmd.Context(type_id=type_id, name=name)])
            known = self.store.get_context_by_type_and_name(kind, name)
        assert known is not None
        return known


def _event(kind: int, key: str) -> mlmd.Event:
    event = mlmd.Event(type=kind)
    event.path.steps.add().key = key
    event.path.steps.add().index = 0
    return event


def tune(run: RecordedRun, span: int, verdict: str, reason: str, version: int | None) -> None:
    """Records what the fine-tuning pipeline leaves."""
    examples = run.step("ImportExampleGen", {"examples": ("Examples", {"span": span})})
    base = run.step(
        "ModuleResolver",
        {"module": ("hub_tfx.HubModule", {"handle": f"repo+/r//acme/words/{span}", "digest": "a"})},
    )
    trained = {"rows_train": 8, "rows_eval": 4, "digest": f"{span}" * 64, "parent_digest": "a"}
    tuned = run.step(
        "ModuleTrainer",
        {"module": ("hub_tfx.HubModule", trained)},
        {"examples": examples["examples"], "base_module": base["module"]},
    )
    evaluation = run.step(
        "ModuleEvaluator",
        {"evaluation": ("hub_tfx.ModuleEvaluation", {"verdict": verdict, "reason": reason})},
        {"module": tuned["module"]},
    )
    published: Properties = {"name": "acme/words", "version": version or 0, "digest": "b"}
    outputs = {} if version is None else {"published": ("hub_tfx.HubModule", published)}
    run.step("ModulePublisher", outputs, {**tuned, **evaluation})
