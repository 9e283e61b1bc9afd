"""The report of an embedding job as one self-contained page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hub_tfx.beam.metrics import Distribution
from hub_tfx.embed.manifest import OutputManifest
from hub_tfx.embed.report import plots
from hub_tfx.embed.report.html import Plot, render_page
from hub_tfx.embed.report.survey import VectorStats
from hub_tfx.embed.rows import size_edges

_SHOWN_POINTS = 5000
_DIGEST_LENGTH = 12


@dataclass(frozen=True)
class RejectedRows:
    """Dead letters with one reason, and the key of one of them."""

    rows: int
    reason: str
    example: str


@dataclass(frozen=True)
class Labels:
    """What is shown of the rows of a sample.

    Attributes:
      of_row: row -> its label.
      group_of_row: row -> value of a kept feature that has few of them; empty where none has.
      grouped_by: name of this feature.
    """

    of_row: Mapping[int, str]
    group_of_row: Mapping[int, str] = field(default_factory=dict)
    grouped_by: str = ""


def render(
    manifest: OutputManifest,
    rejected: Sequence[RejectedRows],
    surveys: Mapping[str, VectorStats],
    labels: Labels,
    calls: Distribution | None = None,
) -> str:
    """The page.

    Args:
      manifest: manifest of the output.
      rejected: dead letters of the output by reason.
      surveys: column -> numbers about its vectors.
      labels: what is shown of the rows of a sample.
      calls: rows of the calls of the module.
    """
    return render_page(
        Path(__file__).with_name("page.html.j2"),
        rows=f"{manifest.rows:,}",
        verdict=_verdict(manifest, surveys),
        run=[*_run(manifest), *_calls(calls)],
        rejected=[(f"{r.rows:,}", r.reason, r.example) for r in rejected],
        lengths=_lengths(manifest),
        columns=[_section(name, found, labels) for name, found in surveys.items()],
        provenance=_provenance(manifest),
    )


def _verdict(manifest: OutputManifest, surveys: Mapping[str, VectorStats]) -> str:
    said = [f"{manifest.rows:,} rows embedded, {manifest.dead_letters:,} rejected."]
    for name, found in surveys.items():
        if found.zero_rows:
            said.append(f"{found.zero_rows:,} vectors of {name} are all zeros.")
        if found.dead_dimensions:
            said.append(f"{found.dead_dimensions:,} dimensions of {name} never change.")
        if found.duplicate_rows:
            sample = f"{len(found.sample):,} sampled vectors of {name}"
            said.append(f"{found.duplicate_rows:,} of {sample} repeat another.")
    return " ".join(said)


def _run(manifest: OutputManifest) -> list[tuple[str, str]]:
    seconds = manifest.working_s
    return [
        ("rows embedded", f"{manifest.rows:,}"),
        ("rows rejected", f"{manifest.dead_letters:,}"),
        ("seconds of work", f"{seconds:.1f}"),
        ("rows a second", f"{manifest.rows / seconds:,.0f}" if seconds else "-"),
        ("part files", f"{len(manifest.files):,}"),
        ("bytes", f"{sum(file.size_bytes for file in manifest.files):,}"),
    ]


def _calls(calls: Distribution | None) -> list[tuple[str, str]]:
    if calls is None or not calls.count:
        return []
    rows = f"{calls.min:,} to {calls.max:,}, {calls.sum / calls.count:,.1f} on average"
    return [("calls of the module", f"{calls.count:,}"), ("rows in a call", rows)]


def _lengths(manifest: OutputManifest) -> list[Plot]:
    """A histogram of the bytes that rows feed, where there are rows of several sizes."""
    counted = manifest.row_bytes
    if len(counted) < 2:
        return []
    edges = size_edges(counted[0][0], counted[-1][0])
    rows_of = dict(counted)
    rows = [rows_of.get(edge, 0) for edge in edges[:-1].tolist()]
    label = "Bytes that a row feeds"
    return [Plot(label, *plots.bars(edges, np.array(rows), label.lower(), log=True))]


def _section(name: str, found: VectorStats, labels: Labels) -> dict[str, Any]:
    low, middle, high = found.norm_percentiles.values()
    facts = [
        ("dimensions", f"{found.dimensions:,}"),
        ("norm at 1%, 50%, 99% of the rows", f"{low:.4g}, {middle:.4g}, {high:.4g}"),
        ("vectors of zeros", f"{found.zero_rows:,}"),
        ("dimensions that never change", f"{found.dead_dimensions:,}"),
        ("repeated vectors in the sample", f"{found.duplicate_rows:,} of {len(found.sample):,}"),
    ]
    drawn = [_histogram(found.norms, "Norm of all vectors")]
    if len(found.cosines):
        facts.append(("mean cosine of random pairs", f"{found.cosines.mean():.4f}"))
        drawn.append(_histogram(found.cosines, "Cosine of random pairs of the sample"))
    drawn.append(_projection(found, labels))
    of_row = labels.of_row
    neighbours = [
        (of_row[row], "; ".join(f"{of_row[other]} ({cosine:.3f})" for other, cosine in nearest))
        for row, nearest in found.neighbours
    ]
    return {"name": name, "facts": facts, "plots": drawn, "neighbours": neighbours}


def _projection(found: VectorStats, labels: Labels) -> Plot:
    every = -(-len(found.projection) // _SHOWN_POINTS)
    points, shares = found.projection[::every], found.explained_variance
    what = "The sample on its two principal components"
    if not labels.group_of_row:
        return Plot(what, plots.scatter(points, shares))
    groups = [labels.group_of_row[row] for row in found.sample[::every].tolist()]
    counts = [(name, f"{count:,}") for name, count in sorted(Counter(groups).items())]
    return Plot(
        f"{what}, coloured by {labels.grouped_by}",
        plots.scatter(points, shares, groups),
        counts,
        (labels.grouped_by, "points"),
    )


def _histogram(values: Any, alt: str) -> Plot:
    return Plot(alt, *plots.histogram(values, alt.lower()))


def _provenance(manifest: OutputManifest) -> list[tuple[str, str]]:
    module = manifest.module
    return [
        ("module", module.handle),
        ("module digest", module.digest),
        ("signature", manifest.signature),
        *((f"config: {name}", str(value)) for name, value in manifest.config.items() if value),
        *(("input", f"{path} ({count:,} records)") for path, count in manifest.inputs.items()),
        ("hub_tfx", manifest.version),
    ]
