"""The main job on real input: `make demo`.

The docstrings of the standard library become a corpus, word vectors, a TF Hub module at a URL,
and embeddings made by a TFX pipeline; three questions are asked of them, and ML Metadata says where
they came from. Then a second pipeline fine-tunes the module: the label is the package that a
docstring comes from, and its accuracy is that on texts which it never saw. It is judged on these
texts as well, and published as a version if it is better than the one before: a worse one is
refused. All of it is left in demo/out to look at.
"""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demo.console import console, timed
from demo.corpus import Document, read_docstrings, write_tfrecord
from demo.labelled import labelled
from demo.publishing import NAME, gate, publication, show_versions
from demo.start import begin
from demo.unseen import accuracy

OUT = Path(__file__).parent / "out"
_MODULE_URL_PATH = "/demo/docstrings/1"
_SPLIT = "all"
_UNSEEN = "test"


def main() -> None:
    """Runs the demo."""
    started_s = time.monotonic()
    begin(OUT)
    documents = _write_corpus()
    module = _write_module(documents)
    from hub_tfx.testing import serve

    with serve({_MODULE_URL_PATH: module}) as url:
        result = _run_pipeline(url + _MODULE_URL_PATH)
        _show_rate(result)
        _answer_queries(documents, result)
        _show_lineage("demo", "EmbeddingGenerator", "embeddings")
        tuned = _fine_tune(labelled(documents), url + _MODULE_URL_PATH)
    _show_lineage_of(tuned["published"])
    console.print(
        f"\nDone in {time.monotonic() - started_s:.0f} s; everything is in {os.path.relpath(OUT)}/:"
    )
    console.print(f"  embeddings  {os.path.relpath(result['embeddings'])}")
    console.print(f"  module      {os.path.relpath(tuned['module'])}/module")
    console.print(f"  versions    {os.path.relpath(OUT / 'modules')}")
    console.print(f"  metadata    {os.path.relpath(OUT / 'metadata.sqlite')}")
    console.print("Your own files: see the five-minute tour in README.md.")


def _write_corpus() -> list[Document]:
    with timed("Reading the docstrings of the standard library"):
        documents = read_docstrings()
        write_tfrecord(documents, OUT / "corpus")
    packages = len({document.package for document in documents})
    console.print(f"  {len(documents):,} texts from {packages} packages")
    return documents


def _write_module(documents: Sequence[Document]) -> Path:
    from demo.vectors import learn

    with timed("Learning word vectors from them (PPMI, truncated SVD)"):
        words = learn([document.text for document in documents])
    console.print(f"  {len(words.words):,} words, {words.vectors.shape[1]} dimensions")
    with timed("Authoring a text module in TF1 hub format and packing it"):
        from hub_tfx.module.create import text_embedding_module
        from hub_tfx.store.archive import pack

        created = text_embedding_module(words.words, words.vectors, OUT / "module")
        pack(created.path, OUT / "docstrings.tar.gz")
    console.print(f"  digest {created.digest}")
    return OUT / "docstrings.tar.gz"


def _run_pipeline(handle: str) -> dict[str, Any]:
    with timed(f"Running the TFX pipeline with {handle}"):
        import tfx.v1 as tfx

        from hub_tfx.embed.config import EmbedConfig
        from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig
        from hub_tfx_pipelines.run_local import run_embed

        one_split = tfx.proto.Output(
            split_config=tfx.proto.SplitConfig(
                splits=[tfx.proto.SplitConfig.Split(name=_SPLIT, hash_buckets=1)]
            )
        )
        config = EmbedPipelineConfig(
            pipeline_name="demo",
            pipeline_root=str(OUT / "artifacts"),
            data_root=str(OUT / "corpus"),
            module=handle,
            embed=EmbedConfig(keep=("location", "package")),
            output_config=one_split,
            metadata_path=str(OUT / "metadata.sqlite"),
        )
        result = run_embed(config)
    console.print("  ImportExampleGen → ModuleResolver → EmbeddingGenerator: complete")
    return result


def _show_rate(result: dict[str, Any]) -> None:
    manifest = json.loads(Path(result["embeddings"], f"manifest-{_SPLIT}.json").read_text())
    rate = manifest["rows"] / manifest["working_s"]
    console.print(
        f"  {manifest['rows']:,} rows embedded, {manifest['dead_letters']} rejected, "
        f"{manifest['working_s']:.1f} s without imports and module load, {rate:,.0f} rows/s"
    )


def _answer_queries(documents: Sequence[Document], result: dict[str, Any]) -> None:
    from demo.nearest import QUERIES, nearest, print_answers
    from hub_tfx.data.readers import READERS
    from hub_tfx.module.load import load

    reader = READERS["tfrecord"]
    by_location = {document.location: document for document in documents}
    rows: list[dict[str, Any]] = []
    for path in sorted(Path(result["embeddings"], f"Split-{_SPLIT}").iterdir()):
        for batch in reader.read(str(path), reader.infer_schema(str(path)), 4096):
            rows += batch.to_pylist()
    embedded = [by_location[row["location"][0].decode()] for row in rows]
    module = load(OUT / "module")
    key = next(iter(module.signature_spec.inputs))
    queries = module({key: list(QUERIES)})["default"].numpy()
    print_answers(QUERIES, embedded, *nearest(queries, [row["embedding"] for row in rows], 4))


def _fine_tune(documents: Sequence[Document], handle: str) -> dict[str, Any]:
    write_tfrecord(documents, OUT / "labelled")
    packages = len({document.package for document in documents})
    console.print(
        f"\n{len(documents):,} texts come from the {packages} largest packages: the label to learn"
    )
    with timed("Training a head on the frozen module, and publishing it as a first version"):
        frozen = _run_finetune(handle, freeze=True)
    with timed("Fine-tuning the module, the first steps taken from TFX's cache"):
        tuned = _run_finetune(handle, freeze=False)
    with timed("Spoiling it, with a learning rate that is far too high"):
        spoilt = _run_finetune(handle, freeze=False, learning_rate=100.0, steps=100)
    runs = {"frozen": frozen, "tuned": tuned, "spoilt": spoilt}
    for name, result in runs.items():
        console.print(
            f"  {name:<8}accuracy {result['unseen']:.3f} on {result['rows_unseen']:,} texts that "
            f"neither trained it nor chose it ({float(result['metric_accuracy']):.3f} on those "
            "that chose the best evaluation)"
        )
    show_versions(OUT / "modules", runs)
    return tuned


def _run_finetune(
    handle: str, *, freeze: bool, learning_rate: float = 0.01, steps: int = 600
) -> dict[str, Any]:
    """The new module, its accuracy on the split that the training does not read, its verdict."""
    import tfx.v1 as tfx

    from hub_tfx.finetune.config import FineTuneConfig
    from hub_tfx_pipelines.finetune_pipeline import FineTunePipelineConfig
    from hub_tfx_pipelines.run_local import run_finetune

    config = FineTunePipelineConfig(
        pipeline_name="demo-finetune",
        pipeline_root=str(OUT / "artifacts-finetune"),
        data_root=str(OUT / "labelled"),
        module=handle,
        output_config=tfx.proto.Output(
            split_config=tfx.proto.SplitConfig(
                splits=[
                    tfx.proto.SplitConfig.Split(name=name, hash_buckets=buckets)
                    for name, buckets in {"train": 6, "eval": 2, _UNSEEN: 2}.items()
                ]
            )
        ),
        fine_tune=FineTuneConfig(
            label="package",
            freeze=freeze,
            steps=steps,
            batch_size=128,
            learning_rate=learning_rate,
            eval_every=200,
        ),
        gate=gate("package", _UNSEEN),
        publication=publication(OUT / "modules"),
        metadata_path=str(OUT / "metadata.sqlite"),
    )
    result = run_finetune(config)
    model, examples = _latest("ModuleTrainer", "model"), _latest("ImportExampleGen", "examples")
    unseen, rows = accuracy(
        Path(model, "Format-Serving"), Path(examples, f"Split-{_UNSEEN}"), "package"
    )
    return result | {"unseen": unseen, "rows_unseen": rows}


def _latest(step: str, output: str) -> str:
    """Where an output of the fine-tuning pipeline's last run lies."""
    from hub_tfx.lineage.store import open_sqlite
    from hub_tfx_pipelines import metadata

    store = open_sqlite(str(OUT / "metadata.sqlite"))
    executions = metadata.latest_run(store, "demo-finetune")
    execution = next(e for e in executions if e.type.endswith(step))
    return str(metadata.outputs(store, execution)[output].uri)


def _show_lineage(pipeline: str, step: str, output: str) -> None:
    from hub_tfx.lineage.store import open_sqlite
    from hub_tfx_pipelines import metadata

    store = open_sqlite(str(OUT / "metadata.sqlite"))
    executions = metadata.latest_run(store, pipeline)
    execution = next(e for e in executions if e.type.endswith(step))
    _draw(f"the {output}", store, metadata.outputs(store, execution)[output])


def _show_lineage_of(handle: str) -> None:
    """That of a published version."""
    from hub_tfx.lineage.graph import MODULE_TYPE
    from hub_tfx.lineage.store import open_sqlite, properties_of

    store = open_sqlite(str(OUT / "metadata.sqlite"))
    for artifact in store.get_artifacts_by_type(MODULE_TYPE):
        if {"handle": handle, "name": NAME}.items() <= properties_of(artifact).items():
            _draw(handle, store, artifact)


def _draw(what: str, store: Any, artifact: Any) -> None:
    from hub_tfx.lineage import draw
    from hub_tfx.lineage.graph import ancestors_of

    console.print(f"\n[bold]Lineage of {what}, from ML Metadata[/bold]")
    console.print(draw.as_text(ancestors_of(store, [artifact])), markup=False)


if __name__ == "__main__":
    main()
