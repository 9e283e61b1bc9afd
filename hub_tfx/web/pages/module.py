"""The page of a version of a module: all that is known of it, read from that module's files."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from hub_tfx.module.manifest import FileEntry
from hub_tfx.module.spec import CALL, GraphVariant, ModuleFormat, ModuleSpec, SignatureSpec
from hub_tfx.repository import layout, records
from hub_tfx.repository.card import Card, parse_card
from hub_tfx.repository.catalogue import CatalogueEntry
from hub_tfx.repository.facts import Learned, Metric, ModuleFacts, VariantFacts, facts_of
from hub_tfx.repository.layout import Version
from hub_tfx.repository.records import Record
from hub_tfx.repository.signing import signatures as signatures_of
from hub_tfx.repository.storage import Storage
from hub_tfx.repository.versions import aliases, card_key, card_text, happened, latest, numbers
from hub_tfx.web.pages import graph
from hub_tfx.web.pages.graph import Graph
from hub_tfx.web.pages.links import Link, Place, origin
from hub_tfx.web.pages.parts import Missing, Parts
from hub_tfx.web.pages.snippets import Snippet, Used, snippets
from hub_tfx.web.pages.versions import VersionRow, version_rows

_NO_ROWS: tuple[VersionRow, ...] = ()
_NEWEST = 5
"""Versions that the page of one of them lists."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of a signature.

    Attributes:
      key: its name.
      dtype: TensorFlow's name of its type.
      shape: a number or None (unknown) for each dimension; None where the rank is unknown.
      kind: ``dense``, ``sparse`` or ``ragged``.
    """

    key: str
    dtype: str
    shape: tuple[int | None, ...] | None
    kind: str = "dense"


@dataclass(frozen=True)
class Signature:
    """A signature as a table."""

    name: str
    is_default: bool
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Measured:
    """A metric beside that of the module it was compared with.

    Attributes:
      metric: what was measured.
      difference: from the other module; None where that was not measured.
    """

    metric: Metric
    difference: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What an evaluation has decided, and why.

    Attributes:
      blessed: whether others should get the module.
      why: the reasons, the most important first.
      baseline: what it was compared with.
    """

    blessed: bool
    why: tuple[str, ...] = ()
    baseline: Link | None = None


@dataclass(frozen=True)
class Event:
    """Something that happened to a version after it was published."""

    when: str
    what: str
    who: str
    why: str


@dataclass(frozen=True)
class ModulePage:
    """What the page and its twin hold; what is not known is None or empty, and left out.

    Attributes:
      handle: URL of the version on this server.
      name: ``publisher/model``.
      version: number of the version.
      digest: SHA-256 of the module's manifest.
      size_bytes: size of the module's files together.
      published, who: when it was published, and by whom.
      latest: number of the newest version that is not yanked.
      version_count: number of the module's versions.
      versions: the newest of them, and this one.
      aliases: alias -> number of every alias of the module.
      format: ``tf1_hub`` or ``saved_model``.
      fine_tunable: whether its weights can be trained.
      embedding_dim: dimension of its only output.
      snippets: lines that use it.
      signatures: what it takes and gives.
      measured: metrics over all rows.
      sliced: number of metrics of slices, which the page of the evaluation has.
      verdict: what an evaluation has decided.
      parent: what it was tuned from.
      card: the card as it is now.
      card_sha256: SHA-256 of its bytes.
      card_corrected: who corrected it last, when and why.
      lineage: one step each way.
      files: every file, relative to the version.
      archive: the archive that TensorFlow Hub loads.
      variants: other formats.
      signed_by: fingerprints of the keys it is signed with, none of them checked by the server.
      history: what happened to it, the oldest first.
      run, code_version, spans, learned: how it came about; see ``facts.ModuleFacts``.
      missing: parts that cannot be shown now.
    """

    handle: str
    name: str
    version: int
    digest: str
    size_bytes: int
    published: str
    who: str | None
    latest: int | None
    version_count: int
    versions: tuple[VersionRow, ...]
    aliases: Mapping[str, int] = dataclasses.field(default_factory=dict)
    format: ModuleFormat | None = None
    fine_tunable: bool | None = None
    embedding_dim: int | None = None
    snippets: tuple[Snippet, ...] = ()
    signatures: tuple[Signature, ...] = ()
    measured: tuple[Measured, ...] = ()
    sliced: int = 0
    verdict: Verdict | None = None
    parent: Link | None = None
    card: Card | None = None
    card_sha256: str | None = None
    card_corrected: Event | None = None
    lineage: Graph | None = None
    files: tuple[FileEntry, ...] = ()
    archive: FileEntry | None = None
    variants: tuple[VariantFacts, ...] = ()
    signed_by: tuple[str, ...] = ()
    history: tuple[Event, ...] = ()
    run: str | None = None
    code_version: str | None = None
    spans: tuple[int, ...] = ()
    learned: Learned | None = None
    missing: tuple[Missing, ...] = ()

    @property
    def newer(self) -> int | None:
        """Number of the newest version, where this is an older one."""
        return self.latest if self.latest is not None and self.latest > self.version else None

    @property
    def here(self) -> str:
        """``publisher/model/3``."""
        return f"{self.name}/{self.version}"

    @property
    def own_aliases(self) -> list[str]:
        """The aliases that stand for this version."""
        return [alias for alias, number in self.aliases.items() if number == self.version]


def module_page(
    storage: Storage, place: Place, version: Version, parts: Parts, lineage: Graph | None = None
) -> ModulePage:
    """The page of a version.

    Args:
      storage: the repository.
      place: where pages are served from.
      version: the version.
      parts: takes notes of parts that cannot be read.
      lineage: what ML Metadata knows; what the facts say if None.
    """
    name = version.name
    facts = parts.read("signatures, metrics and origin", lambda: facts_of(storage, version), None)
    named = parts.read("aliases", lambda: aliases(storage, name), dict[str, int]())
    there = numbers(storage, name)
    listed = sorted({*there[-_NEWEST:], version.number}, reverse=True)
    rows = parts.read("versions", lambda: version_rows(storage, name, listed, named), _NO_ROWS)
    card = parts.read("card", lambda: card_of(storage, version), None)
    corrected = parts.read("corrections of the card", lambda: _corrected(storage, version), None)
    page = ModulePage(
        handle=place.handle(version),
        name=str(name),
        version=version.number,
        digest=version.digest,
        size_bytes=version.size_bytes,
        published=version.when,
        who=version.who,
        latest=parts.read("newest version", lambda: latest(storage, name), None),
        version_count=len(there),
        versions=rows,
        aliases=named,
        card=card and dataclasses.replace(card, source=b"", path=None),
        card_sha256=card.sha256 if card else None,
        card_corrected=corrected,
        files=tuple(version.entries),
        archive=version.entry(layout.ARCHIVE),
        signed_by=parts.read("keys it is signed with", lambda: _signed_by(storage, version), ()),
        history=parts.read("history", lambda: _history(storage, version), ()),
    )
    if facts is not None:
        page = _with_facts(page, place, facts)
        lineage = lineage or graph.of_facts(place, page.name, page.version, facts)
    return dataclasses.replace(page, lineage=lineage, missing=tuple(parts.missing))


def page_of_entry(place: Place, entry: CatalogueEntry, why: str) -> ModulePage:
    """What the catalogue knows of a version, for when the repository cannot be read."""
    card = Card(
        entry.summary, entry.task, entry.license or "", entry.owners, language=entry.language
    )
    return ModulePage(
        handle=f"{place.server}/{entry.handle}/{entry.version}",
        name=entry.handle,
        version=entry.version,
        digest=entry.digest,
        size_bytes=entry.size_bytes,
        published=entry.when,
        who=None,
        latest=None if entry.yanked else entry.version,
        version_count=entry.versions,
        versions=(),
        aliases=entry.aliases,
        fine_tunable=entry.fine_tunable,
        embedding_dim=entry.embedding_dim,
        card=card,
        missing=(Missing("all but what the catalogue knows", why),),
    )


def spec_of(facts: ModuleFacts) -> ModuleSpec:
    """The spec of a published module, as far as its facts know it: its graph for inference."""
    return ModuleSpec(facts.format, (GraphVariant((), facts.signatures),))


def default_signature(facts: ModuleFacts) -> str | None:
    """The signature that is meant where none is named; None where one has to be."""
    for name in (CALL, "default", "serving_default"):
        if name in facts.signatures:
            return name
    return next(iter(facts.signatures)) if len(facts.signatures) == 1 else None


def card_of(storage: Storage, version: Version) -> Card:
    """The card of a version as it is now."""
    return _parsed(card_text(storage, version))


def verdict_of(place: Place, facts: ModuleFacts) -> Verdict | None:
    """What the evaluation has decided; None without one."""
    if (blessing := facts.blessing) is None:
        return None
    baseline = None if blessing.baseline is None else origin(place, blessing.baseline)
    return Verdict(blessing.blessed, blessing.why, baseline)


def measured(metric: Metric) -> Measured:
    """A metric with its difference from the other module."""
    known = metric.baseline is not None
    return Measured(metric, metric.value - (metric.baseline or 0.0) if known else None)


def _with_facts(page: ModulePage, place: Place, facts: ModuleFacts) -> ModulePage:
    default = default_signature(facts)
    return dataclasses.replace(
        page,
        format=facts.format,
        fine_tunable=facts.fine_tunable,
        embedding_dim=facts.embedding_dim,
        signatures=_signatures(facts, default),
        measured=tuple(measured(metric) for metric in facts.metrics if metric.slice is None),
        sliced=sum(metric.slice is not None for metric in facts.metrics),
        verdict=verdict_of(place, facts),
        parent=None if facts.parent is None else origin(place, facts.parent),
        variants=facts.variants,
        run=facts.run,
        code_version=facts.code_version,
        spans=facts.spans,
        learned=facts.learned,
        snippets=_snippets(page, facts, default),
    )


def _snippets(page: ModulePage, facts: ModuleFacts, default: str | None) -> tuple[Snippet, ...]:
    """None without an archive: then no client can load the module from this server."""
    if page.archive is None:
        return ()
    return snippets(
        Used(
            url=page.handle,
            name=page.name,
            version=page.version,
            digest=page.digest,
            format=facts.format,
            signatures=facts.signatures,
            default=default,
            fine_tunable=bool(facts.fine_tunable),
            archive_sha256=page.archive.sha256,
        )
    )


def _signatures(facts: ModuleFacts, default: str | None) -> tuple[Signature, ...]:
    """The default one first."""
    ordered = sorted(facts.signatures.items(), key=lambda item: (item[0] != default, item[0]))
    return tuple(_signature(name, spec, name == default) for name, spec in ordered)


def _signature(name: str, spec: SignatureSpec, is_default: bool) -> Signature:
    sides = [
        tuple(Tensor(key, info.dtype, info.shape, info.kind) for key, info in sorted(side.items()))
        for side in (spec.inputs, spec.outputs)
    ]
    return Signature(name, is_default, *sides)


def _corrected(storage: Storage, version: Version) -> Event | None:
    record = records.newest(storage, card_key(version.name, version.number))
    return None if record is None else _event("card corrected", record)


@lru_cache(maxsize=256)
def _parsed(source: bytes) -> Card:
    return parse_card(source)


def _signed_by(storage: Storage, version: Version) -> tuple[str, ...]:
    signed = signatures_of(storage, version.name, version.number)
    return tuple(sorted({str(record.values.get("key")) for record in signed}))


def _history(storage: Storage, version: Version) -> tuple[Event, ...]:
    return tuple(_event(what, record) for what, record in happened(storage, version))


def _event(what: str, record: Record) -> Event:
    return Event(record.when, what, record.who, record.why)
