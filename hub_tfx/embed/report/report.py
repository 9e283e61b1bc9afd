"""The report of an embedding job, and files for TensorBoard's projector: read from its output."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from hub_tfx._text import printable, shortened
from hub_tfx.beam.metrics import Distribution
from hub_tfx.embed.dead_letters import DEAD_LETTERS, KEY, REASON
from hub_tfx.embed.manifest import OutputManifest
from hub_tfx.embed.output.described import remove_description, write_description
from hub_tfx.embed.output.layout import EMBEDDINGS, PROJECTOR, REPORT, OutputLayout, read_manifest
from hub_tfx.embed.output.read_back import as_text, read_parts, vectors_of
from hub_tfx.embed.report.page import Labels, RejectedRows, render
from hub_tfx.embed.report.survey import VectorStats, choose_sample, measure_vectors

REPORT_PAGE, REPORT_JSON = "report.html", "report.json"
_CONFIG = "projector_config.pbtxt"
_REASONS = 20
_LABEL_LENGTH = 80
_HELD_LENGTH = 1000
_MAX_GROUPS = 10
_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9._-]")
_FILE_NAME_LENGTH = 100


def write_reports(
    layout: OutputLayout,
    output: str,
    calls: Distribution | None = None,
    *,
    report: bool,
    projector: bool,
) -> None:
    """Writes ``report/`` and ``projector/`` into an output's directory, if wanted.

    Those of an earlier output are removed, but for files in them that are not ours. For ``calls``
    see ``write_report``.
    """
    for name, wanted, write in (
        (REPORT, report, partial(write_report, calls=calls)),
        (PROJECTOR, projector, write_projector),
    ):
        remove_description(output, name)
        if wanted:
            write(layout, FileSystems.join(output, name))


def write_report(layout: OutputLayout, folder: str, calls: Distribution | None = None) -> str:
    """Writes ``report.html`` and ``report.json`` about a committed output.

    Args:
      layout: where the output is.
      folder: where the two files go, on any Beam filesystem.
      calls: rows of the calls of the module, where there were any in this run.

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
        "calls": None if calls is None else asdict(calls),
        "rejected": [asdict(of_reason) for of_reason in rejected],
        "vectors": {name: _numbers(found) for name, found in surveys.items()},
    }
    page = render(manifest, rejected, surveys, labels, calls)
    files = {REPORT_JSON: json.dumps(document, indent=2).encode(), REPORT_PAGE: page.encode()}
    write_description(folder, [*files], files.items())
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
    texts = _texts_of(_sampled_values(layout, manifest, rows))
    metadata = {"row": [str(row) for row in rows], **texts}
    config = ProjectorConfig()
    columns = _file_names(_vector_columns(manifest))
    for name, file in columns.items():
        config.embeddings.add(tensor_name=name, tensor_path=file, metadata_path=f"metadata-{file}")

    def files() -> Iterator[tuple[str, bytes]]:
        for name, file in columns.items():
            chosen = choose_sample(manifest.rows, math.prod(manifest.columns[name].shape))
            vectors = np.concatenate([*_sampled(layout, manifest, name, chosen)])
            places = np.searchsorted(rows, chosen).tolist()
            about = {key: [values[n] for n in places] for key, values in metadata.items()}
            norms = {"norm": [f"{norm:.4g}" for norm in np.linalg.norm(vectors, axis=1)]}
            yield file, _lines(vectors)
            yield f"metadata-{file}", _tsv(about | norms).encode()
        yield _CONFIG, text_format.MessageToString(config, as_utf8=True).encode()

    listed = [path for e in config.embeddings for path in (e.tensor_path, e.metadata_path)]
    write_description(folder, [*listed, _CONFIG], files())
    return folder


def _lines(vectors: Any) -> bytes:
    lines = ("\t".join(f"{value:.6g}" for value in vector) for vector in vectors)
    return "".join(f"{line}\n" for line in lines).encode()


def _file_names(columns: Sequence[str]) -> dict[str, str]:
    """A file for each column, whose name a module may have made up of any characters."""
    names: dict[str, str] = {}
    for column in columns:
        name = _NOT_IN_FILE_NAMES.sub("_", column)[:_FILE_NAME_LENGTH]
        taken = {other.lower() for other in names.values()}
        same = sum(f"{name}{n}.tsv".lower() in taken for n in ("", *range(2, len(columns) + 1)))
        names[column] = f"{name}{same + 1 if same else ''}.tsv"
    return names


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


def _labels(layout: OutputLayout, manifest: OutputManifest) -> Labels:
    """What is shown of the rows of the sample: the kept feature that says most, or their number.

    That is a text before a label or a number: the one that has most words.
    """
    rows = choose_sample(manifest.rows)
    values = _sampled_values(layout, manifest, rows)
    texts = _texts_of(values)
    shown = max(values, key=lambda name: _size_of_texts(values[name]), default=None)
    of_row = texts[shown] if shown is not None else [f"row {row}" for row in rows]
    groups = _groups(texts)
    by_row = dict(zip(rows.tolist(), texts[groups], strict=True)) if groups else {}
    return Labels(dict(zip(rows.tolist(), of_row, strict=True)), by_row, groups or "")


def _size_of_texts(values: Sequence[Any]) -> tuple[int, int]:
    """Number of words, and of characters, in those values that are texts."""
    flat = (inner for value in values for inner in (value if isinstance(value, list) else [value]))
    texts = [value for value in flat if isinstance(value, str | bytes)]
    return sum(len(text.split()) for text in texts), sum(map(len, texts))


def _groups(texts: Mapping[str, Sequence[str]]) -> str | None:
    """The feature by which rows can be coloured: the first that has few values, but several."""
    for name, values in texts.items():
        if 1 < len(set(values)) <= min(_MAX_GROUPS, len(values) // 2):
            return name
    return None


def _texts_of(values: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """Values shortened to a few words."""
    return {name: [*map(_in_words, column)] for name, column in values.items()}


def _sampled_values(
    layout: OutputLayout, manifest: OutputManifest, rows: Any
) -> dict[str, list[Any]]:
    """Kept features of some rows (ascending indices)."""
    keep = manifest.config["keep"]
    sampled: dict[str, list[Any]] = {name: [] for name in keep}
    seen = 0
    for batch in read_parts(layout, EMBEDDINGS, keep) if keep else ():
        first, last = np.searchsorted(rows, [seen, seen + batch.num_rows])
        chosen = pa.array(rows[first:last] - seen)
        for name, column in zip(keep, batch.columns, strict=True):
            sampled[name] += map(_cut, column.take(chosen).to_pylist())
        seen += batch.num_rows
    return sampled


def _cut(value: Any) -> Any:
    """A value, of which no more is held than may be shown of it."""
    return value[:_HELD_LENGTH] if isinstance(value, str | bytes | list) else value


def _in_words(value: Any) -> str:
    return shortened(printable(" ".join(as_text(value).split())), _LABEL_LENGTH)


def _tsv(columns: Mapping[str, Sequence[str]]) -> str:
    """Tab-separated lines. Values do not hold tabs: ``_in_words`` has made spaces of them."""
    lines = [
        "\t".join(map(_in_words, columns)),
        *map("\t".join, zip(*columns.values(), strict=True)),
    ]
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
