"""The page of a lineage: two steps each way, drawn and as nested lists."""

from dataclasses import dataclass, replace

from hub_tfx.errors import HandleError
from hub_tfx.repository.facts import ModuleFacts, facts_of
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import Reference
from hub_tfx.repository.storage import Storage
from hub_tfx.repository.versions import found
from hub_tfx.web.pages import graph
from hub_tfx.web.pages.graph import Graph
from hub_tfx.web.pages.links import Place
from hub_tfx.web.pages.parts import Missing, Parts


@dataclass(frozen=True)
class LineagePage:
    """What the page and its twin hold.

    Attributes:
      name: ``publisher/model``.
      version: number of the version.
      digest: digest of the module.
      graph: what is known; None where nothing is.
      by_metadata: whether ML Metadata knows it; otherwise it is what the published facts say.
      missing: parts that cannot be shown now.
    """

    name: str
    version: int
    digest: str
    graph: Graph | None
    by_metadata: bool = False
    missing: tuple[Missing, ...] = ()


def lineage_page(
    storage: Storage, place: Place, version: Version, parts: Parts, known: Graph | None
) -> LineagePage:
    """The page of a version.

    Args:
      storage: the repository.
      place: where pages are served from.
      version: the version.
      parts: takes notes of parts that cannot be read.
      known: what ML Metadata knows; the facts of the versions are asked if None.
    """
    shown = known or parts.read("facts", lambda: _by_facts(storage, place, version), None)
    return LineagePage(
        name=str(version.name),
        version=version.number,
        digest=version.digest,
        graph=shown,
        by_metadata=known is not None,
        missing=tuple(parts.missing),
    )


def _by_facts(storage: Storage, place: Place, version: Version) -> Graph | None:
    """The parent and its parent, as far as they are published here."""
    facts = facts_of(storage, version)
    if facts is None:
        return None
    first = graph.of_facts(place, str(version.name), version.number, facts)
    above = [node for node in first.nodes if node.generation < 0]
    parent = _facts_of_page(storage, above[0].href) if above else None
    if parent is None:
        return first
    second = graph.of_facts(place, "parent", 0, parent)
    grandparents = tuple(
        replace(node, id="grandparent", generation=-2)
        for node in second.nodes
        if node.generation < 0
    )
    edges = tuple(replace(edge, source="grandparent", target="parent") for edge in second.edges)
    return Graph(first.root, (*grandparents, *first.nodes), (*edges, *first.edges))


def _facts_of_page(storage: Storage, href: str | None) -> ModuleFacts | None:
    """The facts of a version that has a page here; None for everything else."""
    try:
        named = Reference.parse((href or "").removeprefix("/"))
    except HandleError:
        return None
    version = found(storage, named.name, named.version) if named.version else None
    return None if version is None else facts_of(storage, version)
