"""The page of the evaluation that a version was published with."""

from dataclasses import dataclass

from hub_tfx.repository.facts import ModuleFacts
from hub_tfx.repository.layout import Version
from hub_tfx.web.pages.links import Link, Place, origin
from hub_tfx.web.pages.module import Measured, Verdict, measured, verdict_of

_MAX_SLICES = 500


@dataclass(frozen=True)
class EvaluationPage:
    """What the page and its twin hold.

    Attributes:
      name: ``publisher/model``.
      version: number of the version.
      digest: digest of the module.
      verdict: what was decided, and why.
      parent: what the module was tuned from.
      whole: metrics over all rows.
      slices: metrics over some of the rows.
      slice_count: number of metrics over some of the rows, of which ``slices`` has the first.
    """

    name: str
    version: int
    digest: str
    verdict: Verdict | None = None
    parent: Link | None = None
    whole: tuple[Measured, ...] = ()
    slices: tuple[Measured, ...] = ()
    slice_count: int = 0


def evaluation_page(place: Place, version: Version, facts: ModuleFacts) -> EvaluationPage | None:
    """The page; None where the version was published without an evaluation."""
    verdict = verdict_of(place, facts)
    if verdict is None and not facts.metrics:
        return None
    sliced = [metric for metric in facts.metrics if metric.slice is not None]
    sliced.sort(key=lambda metric: (metric.name, str(metric.slice)))
    return EvaluationPage(
        name=str(version.name),
        version=version.number,
        digest=version.digest,
        verdict=verdict,
        parent=None if facts.parent is None else origin(place, facts.parent),
        whole=tuple(measured(metric) for metric in facts.metrics if metric.slice is None),
        slices=tuple(map(measured, sliced[:_MAX_SLICES])),
        slice_count=len(sliced),
    )
