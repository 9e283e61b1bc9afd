"""Where a module comes from and what was made with it, as a small graph, and as nested lists."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hub_tfx.repository.facts import ModuleFacts
from hub_tfx.web.pages.links import Place, origin

MAX_NODES = 60
_MAX_ALIKE = 3
"""Nodes that differ in nothing but themselves; of more there is one, with their number."""


@dataclass(frozen=True)
class Node:
    """Something in a lineage.

    Attributes:
      id: name of it in the graph.
      title: what people call it.
      generation: 0 for the module that was asked for, -1 for what it was made from, 1 for what was
        made with it, and so on.
      kind: what it is, such as ``HubModule``.
      detail: more about it in a few words.
      href: its page.
      digest: its digest.
    """

    id: str
    title: str
    generation: int
    kind: str = ""
    detail: str = ""
    href: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Edge:
    """That something was made from something; ``by`` says how."""

    source: str
    target: str
    by: str = ""


@dataclass(frozen=True)
class Graph:
    """A lineage.

    Attributes:
      root: id of the node that was asked for.
      nodes: the nodes, by generation.
      edges: what was made from what.
      cut: whether there is more than is shown.
    """

    root: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()
    cut: bool = False

    @property
    def by_id(self) -> Mapping[str, Node]:
        return {node.id: node for node in self.nodes}

    @property
    def ancestors(self) -> "tuple[Branch, ...]":
        """What the root was made from, as nested lists; what occurs again is not continued."""
        return tuple(_branches(self, self.root, -1, {self.root}))

    @property
    def descendants(self) -> "tuple[Branch, ...]":
        """What was made with the root, in the same way."""
        return tuple(_branches(self, self.root, 1, {self.root}))

    @property
    def is_alone(self) -> bool:
        """Whether nothing is known but the root."""
        return len(self.nodes) == 1


@dataclass(frozen=True)
class Branch:
    """A node in a nested list, with what lies beyond it."""

    node: Node
    by: str
    branches: "tuple[Branch, ...]" = ()


def of_facts(place: Place, name: str, number: int, facts: ModuleFacts) -> Graph:
    """What the facts of a version say: the module it was tuned from."""
    here = Node(f"{name}/{number}", f"{name}/{number}", 0, "module", digest=facts.digest)
    if facts.parent is None:
        return Graph(here.id, (here,))
    link = origin(place, facts.parent)
    detail = facts.parent.digest[:12]
    parent = Node("parent", link.label, -1, "module", detail, link.href, link.digest)
    return Graph(here.id, (parent, here), (Edge(parent.id, here.id, "tuned"),))


def collapsed(graph: Graph) -> Graph:
    """The graph with many nodes of one kind and the same neighbours as one, and at most MAX_NODES.

    Those that are nearest to the root stay.
    """
    groups: dict[tuple[object, ...], list[Node]] = {}
    for node in graph.nodes:
        groups.setdefault(_likeness(graph, node), []).append(node)
    nodes, gone = list[Node](), dict[str, str]()
    for alike in groups.values():
        if len(alike) <= _MAX_ALIKE:
            nodes += alike
        else:
            title = f"{len(alike)} × {alike[0].kind or alike[0].title}"
            nodes.append(Node(alike[0].id, title, alike[0].generation, alike[0].kind))
            gone |= {node.id: alike[0].id for node in alike}
    nodes.sort(key=lambda node: abs(node.generation))
    kept = {node.id for node in nodes[:MAX_NODES]}
    edges = dict.fromkeys(
        Edge(gone.get(edge.source, edge.source), gone.get(edge.target, edge.target), edge.by)
        for edge in graph.edges
    )
    return Graph(
        graph.root,
        tuple(sorted(nodes[:MAX_NODES], key=lambda node: node.generation)),
        tuple(edge for edge in edges if {edge.source, edge.target} <= kept),
        graph.cut or len(nodes) > MAX_NODES,
    )


def _likeness(graph: Graph, node: Node) -> tuple[object, ...]:
    """Equal for nodes that can be told as one."""
    if node.id == graph.root:
        return ("root",)
    above = frozenset((edge.source, edge.by) for edge in graph.edges if edge.target == node.id)
    below = frozenset((edge.target, edge.by) for edge in graph.edges if edge.source == node.id)
    return node.generation, node.kind, above, below


def _branches(graph: Graph, of: str, step: int, told: set[str]) -> Iterator[Branch]:
    nodes = graph.by_id
    for edge in graph.edges:
        here, there = (edge.target, edge.source) if step < 0 else (edge.source, edge.target)
        if here != of or there not in nodes or nodes[there].generation * step <= 0:
            continue
        is_new = there not in told
        told.add(there)
        beyond = tuple(_branches(graph, there, step, told)) if is_new else ()
        yield Branch(nodes[there], edge.by, beyond)
