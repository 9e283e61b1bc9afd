"""The page that compares two versions: can the right one take the place of the left one?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hub_tfx.module.diff import ModuleDiff, difference
from hub_tfx.module.spec import ModuleSpec
from hub_tfx.repository.card import Card
from hub_tfx.repository.facts import Metric, ModuleFacts
from hub_tfx.repository.layout import Version
from hub_tfx.web.pages.links import Place, origin
from hub_tfx.web.pages.module import spec_of
from hub_tfx.web.pages.text import figure, size

_OF_CARD = ("summary", "task", "license", "owners", "language", "datasets", "architecture")


@dataclass(frozen=True)
class Compared:
    """A version with what is known of it; see ``module.diff.Described``."""

    version: Version
    facts: ModuleFacts
    card: Card | None
    handle: str

    @property
    def digest(self) -> str:
        return self.version.digest

    @property
    def size_bytes(self) -> int:
        return self.version.size_bytes

    @property
    def spec(self) -> ModuleSpec:
        return spec_of(self.facts)


@dataclass(frozen=True)
class Side:
    """One of the two."""

    name: str
    version: int
    handle: str
    digest: str
    published: str

    @property
    def here(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class Row:
    """A value of both; None where one has no such thing.

    Attributes:
      what: what is compared.
      left, right: the values.
      breaks: whether what works with the left one may fail with the right one.
    """

    what: str
    left: str | None
    right: str | None
    breaks: bool = False

    @property
    def differs(self) -> bool:
        return self.left != self.right


@dataclass(frozen=True)
class Group:
    """Rows of one kind."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class ComparePage:
    """What the page and its twin hold.

    Attributes:
      left, right: the two versions.
      verdict: whether the right one can take the place of the left one, in one line.
      drop_in: the same as true or false.
      all: whether what is the same is listed, too.
      groups: what is compared, breaking changes of signatures first; groups with a row only.
    """

    left: Side
    right: Side
    verdict: str
    drop_in: bool
    all: bool
    groups: tuple[Group, ...]


def compare_page(place: Place, left: Compared, right: Compared, everything: bool) -> ComparePage:
    """The page of two versions.

    Args:
      place: where pages are served from.
      left, right: the versions.
      everything: whether to list what is the same, too.
    """
    diff = difference(left, right, left.version.manifest, right.version.manifest)
    groups = (
        Group("Signatures", (*_changed(diff), *_unchanged(left, right))),
        Group("Module", tuple(_pairs(_module(place, left), _module(place, right)))),
        Group("Metrics", tuple(_pairs(_metrics(left), _metrics(right)))),
        Group("Card", tuple(_pairs(_card(left), _card(right)))),
        Group("Files", tuple(_pairs(_files(left), _files(right)))),
    )
    shown = (
        Group(group.title, tuple(row for row in group.rows if everything or row.differs))
        for group in groups
    )
    return ComparePage(
        left=_side(left),
        right=_side(right),
        verdict=diff.verdict,
        drop_in=diff.is_drop_in,
        all=everything,
        groups=tuple(group for group in shown if group.rows),
    )


def _side(of: Compared) -> Side:
    version = of.version
    return Side(str(version.name), version.number, of.handle, version.digest, version.when)


def _changed(diff: ModuleDiff) -> Iterator[Row]:
    for change in diff.changes:
        yield Row(change.what, change.left, change.right, change.breaks)


def _unchanged(left: Compared, right: Compared) -> Iterator[Row]:
    """The inputs and outputs that both have, in the same way."""
    for name, signature in sorted(left.spec.signatures.items()):
        other = right.spec.signatures.get(name)
        if other is None:
            continue
        for side in ("input", "output"):
            tensors: Mapping[str, object] = getattr(signature, f"{side}s")
            others: Mapping[str, object] = getattr(other, f"{side}s")
            for key in sorted(key for key in tensors if tensors[key] == others.get(key)):
                shown = str(tensors[key])
                yield Row(f"{side} {key} of signature {name}", shown, shown)


def _pairs(left: Mapping[str, str | None], right: Mapping[str, str | None]) -> Iterator[Row]:
    for what in dict.fromkeys((*left, *right)):
        if (left.get(what), right.get(what)) != (None, None):
            yield Row(what, left.get(what), right.get(what))


def _module(place: Place, of: Compared) -> dict[str, str | None]:
    facts, dim = of.facts, of.facts.embedding_dim
    return {
        "format": facts.format,
        "embedding dimension": None if dim is None else str(dim),
        "fine-tunable": {True: "yes", False: "no", None: None}[facts.fine_tunable],
        "tuned from": origin(place, facts.parent).label if facts.parent else None,
        "blessed": None if facts.blessing is None else "yes" if facts.blessing.blessed else "no",
        "code version": facts.code_version,
        "spans": ", ".join(map(str, facts.spans)) or None,
        "size": size(of.size_bytes),
        "digest": of.digest,
    }


def _metrics(of: Compared) -> dict[str, str | None]:
    return {_metric_name(metric): _metric(metric) for metric in of.facts.metrics}


def _metric_name(metric: Metric) -> str:
    of_slice = f" where {metric.slice}" if metric.slice else ""
    return f"{metric.name} on {metric.dataset}{of_slice}"


def _metric(metric: Metric) -> str:
    text = figure(metric.value)
    if metric.interval is not None:
        low, high = map(figure, metric.interval)
        text += f" ({low} to {high})"
    return text if metric.n is None else f"{text}, n = {metric.n:,}"


def _card(of: Compared) -> dict[str, str | None]:
    values = of.card.to_dict() if of.card else {}
    return {key: _joined(values.get(key)) for key in _OF_CARD}


def _joined(value: object) -> str | None:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return None if value is None else str(value)


def _files(of: Compared) -> dict[str, str | None]:
    return {
        entry.path: f"{size(entry.size_bytes)}, sha256 {entry.sha256[:12]}…"
        for entry in of.version.manifest.files
    }
