"""What `hub-tfx history` and `hub-tfx lineage` take where ML Metadata has seen many runs.

    python -m benchmarks.history_scale [--executions 1000 10000] [--metadata URL]

Each run tunes the module that the one before published, and embeds with it: ten steps. Times are
those of whole commands, the median of five, and that of their part after the start of Python and
its imports. Without a URL, ML Metadata is a SQLite file; with one, an empty database is filled.
"""

import argparse
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from hub_tfx._quiet import quiet_libraries

quiet_libraries()  # Before ML Metadata, which reads the environment at its import.

from ml_metadata.metadata_store import MetadataStore  # noqa: E402
from ml_metadata.proto import metadata_store_pb2 as mlmd  # noqa: E402

from hub_tfx.lineage.connection import Connection  # noqa: E402
from hub_tfx.lineage.find import find_roots  # noqa: E402
from hub_tfx.lineage.graph import lineage_of  # noqa: E402
from hub_tfx.lineage.history import runs_of  # noqa: E402
from hub_tfx.lineage.store import open_store  # noqa: E402

_REPEATS = 5
_PIPELINE = "tune"
_MODULE = "hub_tfx.HubModule"
_STEPS: Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "ImportExampleGen": ((), {"examples": "Examples"}),
    "StatisticsGen": (("examples",), {"statistics": "ExampleStatistics"}),
    "SchemaGen": (("statistics",), {"schema": "Schema"}),
    "ExampleValidator": (("statistics", "schema"), {"anomalies": "ExampleAnomalies"}),
    "Transform": (("examples", "schema"), {"transformed_examples": "Examples"}),
    "ModuleResolver": ((), {"base_module": _MODULE}),
    "ModuleTrainer": (("transformed_examples", "base_module"), {"module": _MODULE}),
    "ModuleEvaluator": (("module", "examples"), {"evaluation": "hub_tfx.ModuleEvaluation"}),
    "ModulePublisher": (("module", "evaluation"), {"published": _MODULE}),
    "EmbeddingGenerator": (("published", "examples"), {"embeddings": "Examples"}),
}
"""Name of a step -> what it reads, and what it produces with its type."""


def digest_of(run: int) -> str:
    """The digest of the module that a run makes."""
    return hashlib.sha256(str(run).encode()).hexdigest()


class Filler:
    """Writes runs as TFX does, in as few calls as ML Metadata allows."""

    def __init__(self, store: MetadataStore):
        self._store = store
        self._types: dict[tuple[str, str], int] = {}
        self._pipeline = self._context("pipeline", _PIPELINE)
        self._nodes = {name: self._context("node", f"{_PIPELINE}.{name}") for name in _STEPS}

    def add(self, run: int) -> None:
        context = self._context("pipeline_run", f"run-{run:05}")
        self._store.put_parent_contexts(
            [mlmd.ParentContext(child_id=context.id, parent_id=self._pipeline.id)]
        )
        made: dict[str, mlmd.Artifact] = {}
        for name, (reads, makes) in _STEPS.items():
            kind = self._type("execution", f"hub_tfx.{name}")
            execution = mlmd.Execution(type_id=kind, last_known_state=mlmd.Execution.COMPLETE)
            pairs = [(made[key], _event(mlmd.Event.INPUT, key)) for key in reads]
            new = {key: self._artifact(run, key, of_type) for key, of_type in makes.items()}
            pairs += [(artifact, _event(mlmd.Event.OUTPUT, key)) for key, artifact in new.items()]
            contexts = [self._pipeline, context, self._nodes[name]]
            _, ids, _ = self._store.put_execution(execution, pairs, contexts)
            for artifact, artifact_id in zip(new.values(), ids[len(reads) :], strict=True):
                artifact.id = artifact_id
            made |= new

    def _artifact(self, run: int, key: str, of_type: str) -> mlmd.Artifact:
        artifact = mlmd.Artifact(type_id=self._type("artifact", of_type), uri=f"/{key}/{run}")
        stamps: dict[str, str | int] = {
            "examples": {"span": run},
            "base_module": {"digest": digest_of(run - 1), "handle": f"repo+/r//a/b/{run}"},
            "module": {"digest": digest_of(run), "rows_train": 900, "rows_eval": 100}
            | {"parent_digest": digest_of(run - 1)},
            "evaluation": {"verdict": "blessed", "reason": "accuracy rose by 0.03"},
            "published": {"digest": digest_of(run), "name": "a/b", "version": run + 1},
            "embeddings": {"rows": 1000, "reused": 0, "module_digest": digest_of(run)},
        }.get(key, {})
        for name, value in stamps.items():
            if isinstance(value, int):
                artifact.custom_properties[name].int_value = value
            else:
                artifact.custom_properties[name].string_value = value
        return artifact

    def _context(self, kind: str, name: str) -> mlmd.Context:
        context = mlmd.Context(type_id=self._type("context", kind), name=name)
        [context.id] = self._store.put_contexts([context])
        return context

    def _type(self, kind: str, name: str) -> int:
        if (kind, name) not in self._types:
            made = getattr(mlmd, f"{kind.capitalize()}Type")(name=name)
            self._types[kind, name] = getattr(self._store, f"put_{kind}_type")(made)
        return self._types[kind, name]


def _event(kind: int, key: str) -> mlmd.Event:
    event = mlmd.Event(type=kind)
    event.path.steps.add().key = key
    event.path.steps.add().index = 0
    return event


def _command(arguments: list[str]) -> float:
    """Seconds of a command, as a person types it."""
    program = str(Path(sys.executable).with_name("hub-tfx"))
    started = time.perf_counter()
    subprocess.run([program, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def measure(connection: Connection, executions: int) -> None:
    """Prints what both commands take."""
    digest = digest_of(executions // len(_STEPS) // 2)
    place = ["--metadata", str(connection)]

    def lineage() -> None:
        store = open_store(connection, read_only=True)
        lineage_of(store, find_roots(store, digest, "")[1])

    def history() -> None:
        runs_of(open_store(connection, read_only=True))

    for name, arguments, call in (
        ("history", ["history"], history),
        ("history --pipeline", ["history", "--pipeline", _PIPELINE], history),
        ("lineage", ["lineage", digest], lineage),
    ):
        whole = statistics.median(_command([*arguments, *place]) for _ in range(_REPEATS))
        started = time.perf_counter()
        call()
        alone = time.perf_counter() - started
        print(f"{executions:>8}  {name:<20}{whole:>8.2f} s {alone:>8.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--executions", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--metadata", help="fill this empty ML Metadata  [a SQLite file]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        connection = Connection.parse(options.metadata or str(Path(folder, "metadata.sqlite")))
        filler, runs = Filler(_new(connection)), 0
        print("executions  command            whole    without its start")
        for executions in sorted(options.executions):
            while runs < executions // len(_STEPS):
                filler.add(runs)
                runs += 1
            measure(connection, executions)


def _new(connection: Connection) -> MetadataStore:
    """An empty ML Metadata."""
    if connection.backend == "sqlite":
        return MetadataStore(connection.config())
    return open_store(connection)


if __name__ == "__main__":
    main()
