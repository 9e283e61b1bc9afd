"""The report of an embedding job, and files for TensorBoard's projector: read from its output."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems

from hub_tfx.embed.dead_letters import DEAD_LETTERS, KEY, REASON
from hub_tfx.embed.manifest import OutputManifest
from hub_tfx.embed.output.described import remove_description, write_description
from hub_tfx.embed.output.layout import EMBEDDINGS, PROJECTOR, REPORT, OutputLayout, read_manifest
from hub_tfx.embed.output.read_back import as_text, read_parts, vectors_of
from hub_tfx.embed.report.page import RejectedRows, render
from hub_tfx.embed.report.survey import VectorStats, choose_sample, measure_vectors

REPORT_PAGE, REPORT_JSON = "report.html", "report.json"
_REASONS = 20
_LABEL_LENGTH = 80


def write_reports(layout: OutputLayout, output: str, *, report: bool, projector: bool) -> None:
    """Writes ``report/`` and ``projector/`` into an output's directory, if wanted.

    Those of an earlier output are removed, but for files in them that are not ours.
    """
    for name, wanted, write in (
        (REPORT, report, write_report),
        (PROJECTOR, projector, write_projector),
    ):
        remove_description(output, name)
        if wanted:
            write(layout, FileSystems.join(output, name))


def write_report(layout: OutputLayout, folder: str) -> str:
    """Writes ``report.html`` and ``report.json`` about a committed output.

    Args:
      layout: where the output is.
      folder: where the two files go, on any Beam filesystem.

    Returns:
      The path of the page.
    """
    manifest = read_manifest(layout)
    rejected = _rejected(layout)
    surveys = {
        name: measure_vectors(_vectors(layout, manifest, name), manifest.rows)
        for name in _vector_columns(manifest)
    }
    labels = _labels(layout, manifest)
    document = {
        **manifest.to_dict(),
        "rejected": [asdict(of_reason) for of_reason in rejected],
        "vectors": {name: _numbers(found) for name, found in surveys.items()},
    }
    page = render(manifest, rejected, surveys, labels)
    files = {REPORT_JSON: json.dumps(document, indent=2), REPORT_PAGE: page}
    write_description(folder, {name: text.encode() for name, text in files.items()})
    return f"{folder}/{REPORT_PAGE}"


def write_projector(layout: OutputLayout, folder: str) -> str:
    """Writes a sample of the output for `tensorboard --logdir`: vectors, labels and a config.

    The format is that of TensorBoard's projector plugin: tab-separated vectors, and metadata with a
    header where it has more than one column.

    Returns:
      The folder.
    """
    manifest = read_manifest(layout)
    rows = choose_sample(manifest.rows)
    metadata = {"row": [str(row) for row in rows], **_sampled_texts(layout, manifest, rows)}
    config, files = [], {}
    for name in _vector_columns(manifest):
        file = f"{name.replace('/', '_')}.tsv"
        vectors = np.concatenate([*_sampled(layout, manifest, name, rows)])
        norms = {"norm": [f"{norm:.4g}" for norm in np.linalg.norm(vectors, axis=1)]}
        lines = ("\t".join(f"{value:.6g}" for value in vector) for vector in vectors)
        files[file] = "".join(f"{line}\n" for line in lines)
        files[f"metadata-{file}"] = _tsv(metadata | norms)
        config.append(
            f'embeddings {{\n  tensor_name: "{name}"\n  tensor_path: "{file}"\n'
            f'  metadata_path: "metadata-{file}"\n}}\n'
        )
    files["projector_config.pbtxt"] = "".join(config)
    write_description(folder, {name: text.encode() for name, text in files.items()})
    return folder


def _vector_columns(manifest: OutputManifest) -> list[str]:
    """Columns with one vector a row, all of one length; none if there is no row."""
    return [
        name
        for name, about in manifest.columns.items()
        if manifest.rows
        and about.dtype in ("float32", "float16", "int8")
        and about.shape
        and min(about.shape) > 0
    ]


def _vectors(layout: OutputLayout, manifest: OutputManifest, name: str) -> Iterator[Any]:
    """Batches of vectors, each ``[n, dimensions]`` float32."""
    about = manifest.columns[name]
    names = [name, about.scale] if about.scale else [name]
    for batch in read_parts(layout, EMBEDDINGS, names):
        vectors = vectors_of(pa.Table.from_batches([batch]), name, about)
        yield vectors.reshape(batch.num_rows, -1)


def _sampled(layout: OutputLayout, manifest: OutputManifest, name: str, rows: Any) -> Iterator[Any]:
    """The rows of ``_vectors`` with these ascending indices."""
    seen = 0
    for batch in _vectors(layout, manifest, name):
        first, last = np.searchsorted(rows, [seen, seen + len(batch)])
        yield batch[rows[first:last] - seen]
        seen += len(batch)


def _labels(layout: OutputLayout, manifest: OutputManifest) -> dict[int, str]:
    """Labels of the rows of the sample: their first kept feature, otherwise their number."""
    rows = choose_sample(manifest.rows)
    texts = next(iter(_sampled_texts(layout, manifest, rows).values()), [])
    return dict(zip(rows.tolist(), texts or (f"row {row}" for row in rows), strict=True))


def _sampled_texts(
    layout: OutputLayout, manifest: OutputManifest, rows: Any
) -> dict[str, list[str]]:
    """Kept features of some rows (ascending indices), shortened to a few words."""
    keep = manifest.config["keep"]
    texts: dict[str, list[str]] = {name: [] for name in keep}
    seen = 0
    for batch in read_parts(layout, EMBEDDINGS, keep) if keep else ():
        first, last = np.searchsorted(rows, [seen, seen + batch.num_rows])
        chosen = pa.array(rows[first:last] - seen)
        for name, column in zip(keep, batch.columns, strict=True):
            texts[name] += map(_in_words, column.take(chosen).to_pylist())
        seen += batch.num_rows
    return texts


def _in_words(value: Any) -> str:
    text = " ".join(as_text(value).split())
    return text if len(text) <= _LABEL_LENGTH else f"{text[:_LABEL_LENGTH]}…"


def _tsv(columns: Mapping[str, Sequence[str]]) -> str:
    """Tab-separated lines. Values do not hold tabs: ``_in_words`` has made spaces of them."""
    lines = ["\t".join(columns), *map("\t".join, zip(*columns.values(), strict=True))]
    return "".join(f"{line}\n" for line in lines)


def _rejected(layout: OutputLayout) -> list[RejectedRows]:
    """Dead letters by reason, the most frequent first."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for batch in read_parts(layout, DEAD_LETTERS, [KEY, REASON]):
        keys, reasons = ([_in_words(v) for v in column.to_pylist()] for column in batch.columns)
        counts.update(reasons)
        for key, reason in zip(keys, reasons, strict=True):
            examples.setdefault(reason, key)
    return [
        RejectedRows(rows, reason, examples[reason])
        for reason, rows in counts.most_common(_REASONS)
    ]


def _numbers(found: VectorStats) -> dict[str, Any]:
    return {
        "dimensions": found.dimensions,
        "norm_percentiles": found.norm_percentiles,
        "zero_rows": found.zero_rows,
        "dead_dimensions": found.dead_dimensions,
        "sample_rows": len(found.sample),
        "duplicate_rows_in_sample": found.duplicate_rows,
        "mean_cosine": float(found.cosines.mean()) if len(found.cosines) else None,
        "explained_variance": found.explained_variance,
    }
