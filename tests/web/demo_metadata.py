"""ML Metadata of the pipeline that made the first module of the demo repository."""

from pathlib import Path

from recorded_runs import RecordedRun, new_sqlite

from hub_tfx.lineage.connection import Connection
from hub_tfx.repository.names import Reference
from hub_tfx.repository.storage import Storage
from hub_tfx.repository.versions import find

MODULE = "hub_tfx.HubModule"


def make_metadata(folder: Path, storage: Storage) -> Connection:
    """Version 3 of search/headlines was tuned from version 2, evaluated, and used five times."""
    digest = find(storage, Reference.parse("search/headlines/3")).digest
    path = str(folder / "metadata.sqlite")
    run = RecordedRun(new_sqlite(path), "retrain", "run-1")
    handle = f"repo+{storage.url}//search/headlines/2"
    base = run.step("ModuleResolver", {"module": (MODULE, {"handle": handle, "digest": "c" * 64})})
    examples = run.step("ImportExampleGen", {"examples": ("Examples", {"span": 3})})
    tuned = run.step(
        "ModuleTrainer",
        {"module": (MODULE, {"digest": digest, "parent_digest": "c" * 64})},
        {"base_module": base["module"], "examples": examples["examples"]},
    )
    verdict = {"evaluation": ("hub_tfx.ModuleEvaluation", {"verdict": "blessed"})}
    run.step("ModuleEvaluator", verdict, tuned)
    for rows in range(10, 15):
        made = ("hub_tfx.Embeddings", {"rows": rows, "module_digest": digest})
        name = f"EmbeddingGenerator.{rows}"
        run.step(name, {"embeddings": made}, tuned, type_name="EmbeddingGenerator")
    return Connection.sqlite(path)
