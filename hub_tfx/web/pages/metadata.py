"""What ML Metadata knows of a module, for pages.

ML Metadata is asked by one thread, with a deadline: neither its store nor a page may wait for
another one's connection, and a database that hangs must not take the pages with it.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, TypeVar

from hub_tfx.errors import HubTfxError, TransientFetchError
from hub_tfx.web.pages.graph import Edge, Graph, Node, collapsed
from hub_tfx.web.pages.links import Place, handle_link

if TYPE_CHECKING:
    from hub_tfx.lineage.connection import Connection
    from hub_tfx.lineage.graph import ArtifactNode, Lineage

_DEADLINE_S = 5.0
_DIGEST_CHARS = 12
_COUNTED = ("rows", "span", "verdict", "version")
"""Properties of an artifact that are told with it."""

_Answer = TypeVar("_Answer")


class Metadata:
    """ML Metadata, opened when it is first asked, and again after it has failed."""

    def __init__(self, connection: "Connection"):
        self._connection = connection
        self._store: Any = None
        self._thread = ThreadPoolExecutor(1, "hub-tfx-metadata")

    def lineage(self, place: Place, here: str, digest: str, generations: int) -> Graph | None:
        """The lineage of a module; None where ML Metadata does not know it.

        Args:
          place: where pages are served from.
          here: the version that it is published as.
          digest: digest of the module.
          generations: how many steps to follow in each direction.

        Raises:
          HubTfxError: ML Metadata cannot be read, or does not answer in time.
        """
        found = self._asked(lambda: self._lineage(digest, generations))
        return None if found is None else _graph(place, here, digest, found)

    def _lineage(self, digest: str, generations: int) -> "Lineage | None":
        from hub_tfx.lineage.graph import MODULE_TYPE, artifacts_with_digest, lineage_of
        from hub_tfx.lineage.store import open_store

        if self._store is None:
            self._store = open_store(self._connection, read_only=True, attempts=1)
        found = artifacts_with_digest(self._store, digest)
        roots = [artifact for artifact in found if artifact.type == MODULE_TYPE]
        return lineage_of(self._store, roots, generations) if roots else None

    def _asked(self, question: Callable[[], _Answer]) -> _Answer:
        from ml_metadata.errors import StatusError

        answer = self._thread.submit(question)
        try:
            return answer.result(_DEADLINE_S)
        except FutureTimeoutError:
            answer.cancel()
            raise TransientFetchError(
                f"ML Metadata did not answer in {_DEADLINE_S:g} s: try again"
            ) from None
        except StatusError:  # Its text may quote the query, and name the server.
            self._store = None
            raise TransientFetchError(
                "ML Metadata cannot be read at the moment: try again"
            ) from None
        except HubTfxError:
            raise TransientFetchError("ML Metadata cannot be reached: try again") from None


def _graph(place: Place, here: str, digest: str, lineage: "Lineage") -> Graph:
    """Artifacts as nodes and steps as edges; artifacts of the module itself are one node."""
    roots = {
        artifact.id
        for artifact in lineage.artifacts.values()
        if artifact.id in lineage.roots or artifact.properties.get("digest") == digest
    }
    names = {i: here if i in roots else f"artifact {i}" for i in lineage.artifacts}
    edges = [edge for edge in dict.fromkeys(_edges(lineage, names)) if edge.source != edge.target]
    generations = _generations(here, edges)
    nodes = {here: Node(here, here, 0, "module", digest[:_DIGEST_CHARS], digest=digest)}
    for i, artifact in lineage.artifacts.items():
        if i not in roots and names[i] in generations:
            nodes[names[i]] = _node(place, artifact, names[i], generations[names[i]])
    ordered = tuple(sorted(nodes.values(), key=lambda node: node.generation))
    kept = tuple(edge for edge in edges if {edge.source, edge.target} <= nodes.keys())
    return collapsed(Graph(here, ordered, kept, lineage.cut))


def _edges(lineage: "Lineage", names: Mapping[int, str]) -> Iterator[Edge]:
    for step in lineage.steps.values():
        for read in step.inputs:
            for made in step.outputs:
                yield Edge(names[read.artifact], names[made.artifact], step.name)
    for link in lineage.links:
        yield Edge(names[link.parent], names[link.child], "same digest")


def _generations(root: str, edges: list[Edge]) -> dict[str, int]:
    """How many steps each node is away from the root: below 0 for what it was made from."""
    distances = {root: 0}
    for step in (-1, 1):
        frontier = {root}
        while frontier:
            pairs = [(e.target, e.source) if step < 0 else (e.source, e.target) for e in edges]
            beyond = {there for here, there in pairs if here in frontier} - distances.keys()
            distances |= {there: distances[_any(pairs, frontier, there)] + step for there in beyond}
            frontier = beyond
    return distances


def _any(pairs: list[tuple[str, str]], frontier: set[str], there: str) -> str:
    return next(here for here, to in pairs if to == there and here in frontier)


def _node(place: Place, artifact: "ArtifactNode", name: str, generation: int) -> Node:
    properties = artifact.properties
    link = handle_link(place, str(properties["handle"])) if properties.get("handle") else None
    told = [f"{key} {properties[key]}" for key in _COUNTED if properties.get(key) not in (None, "")]
    digest = str(properties.get("digest") or "")
    if not told and digest:
        told = [digest[:_DIGEST_CHARS]]
    return Node(
        id=name,
        title=link.label if link else artifact.name or artifact.type_name,
        generation=generation,
        kind=artifact.type_name.rpartition(".")[2],
        detail=" · ".join(told),
        href=link.href if link else None,
        digest=digest or None,
    )
