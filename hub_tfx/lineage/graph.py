"""Where an artifact of ML Metadata comes from, and what was made with it.

Steps tie artifacts together by the events that ML Metadata keeps. Where a pipeline begins with a
module that another pipeline made, there is no such event. There the digests that our components
stamp tie them: `parent_digest` of a fine-tuned module, `module_digest` of embeddings, and an equal
`digest` of a module that was resolved again. Such ties lead from a newer artifact to an older one,
and never to a module that training has left as its parent was.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ml_metadata.metadata_store import ListOptions, MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from hub_tfx.lineage.store import event_key, is_input, is_output, properties_of
from hub_tfx.module.manifest import is_digest

MODULE_TYPE = "hub_tfx.HubModule"
MAX_GENERATIONS = 50


@dataclass(frozen=True)
class Event:
    """An artifact, by its id, and the key under which a step reads or produces it."""

    key: str
    artifact: int


@dataclass(frozen=True)
class Step:
    """An execution of a component.

    Attributes:
      id: id of the execution in ML Metadata.
      name: type of the execution, without the package.
      inputs: the artifacts of the lineage that the step read.
      outputs: the artifacts of the lineage that the step produced.
    """

    id: int
    name: str
    inputs: tuple[Event, ...]
    outputs: tuple[Event, ...]


@dataclass(frozen=True)
class ArtifactNode:
    """An artifact of a lineage.

    Attributes:
      id: id of the artifact in ML Metadata.
      name: the key under which a step produced the artifact; its own name where no step is known.
      type_name: name of the artifact's type.
      uri: where the artifact's files lie.
      properties: properties of the artifact, custom ones included.
      made_by: id of the first step that produced the artifact; None where no step is known.
    """

    id: int
    name: str
    type_name: str
    uri: str
    properties: Mapping[str, Any]
    made_by: int | None


@dataclass(frozen=True)
class Link:
    """Two artifacts that no step ties together, but a digest does.

    Attributes:
      parent: id of the artifact that has the digest.
      child: id of the artifact that names it.
      by: the child's property: `parent_digest`, `module_digest` or `digest`.
    """

    parent: int
    child: int
    by: str


@dataclass(frozen=True)
class Lineage:
    """A graph of artifacts: what the roots were made from, and what was made with them.

    Attributes:
      roots: ids of the artifacts that were asked for.
      artifacts: artifacts by id.
      steps: steps by id.
      links: ties by digest.
      cut: whether there are more generations than were asked for.
    """

    roots: tuple[int, ...]
    artifacts: Mapping[int, ArtifactNode]
    steps: Mapping[int, Step]
    links: tuple[Link, ...]
    cut: bool

    def producer(self, artifact_id: int) -> Step | None:
        """The step that produced an artifact; None where none is known."""
        made_by = self.artifacts[artifact_id].made_by
        return None if made_by is None else self.steps.get(made_by)

    def consumers(self, artifact_id: int) -> list[Step]:
        """The steps that read an artifact and produced another one."""
        return [
            step
            for step in self.steps.values()
            if step.outputs and any(event.artifact == artifact_id for event in step.inputs)
        ]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `hub-tfx lineage --json`, without the digest."""
        return {
            "roots": list(self.roots),
            "artifacts": [asdict(artifact) for artifact in self.artifacts.values()],
            "steps": [asdict(step) for step in self.steps.values()],
            "links": [asdict(link) for link in self.links],
            "cut": self.cut,
        }


def ancestors_of(
    store: MetadataStore, roots: Sequence[mlmd.Artifact], generations: int = MAX_GENERATIONS
) -> Lineage:
    """The roots and what they were made from, as ``lineage_of`` without what was made with them."""
    reader = _Reader(store)
    return reader.lineage(roots, reader.walk(roots, reader.parents, generations))


def lineage_of(
    store: MetadataStore, roots: Sequence[mlmd.Artifact], generations: int = MAX_GENERATIONS
) -> Lineage:
    """The roots, what they were made from, and what was made with them.

    Args:
      store: ML Metadata.
      roots: the artifacts to begin with.
      generations: how many steps to follow in each direction.
    """
    reader = _Reader(store)
    cut_above = reader.walk(roots, reader.parents, generations)
    cut_below = reader.walk(roots, reader.children, generations)
    return reader.lineage(roots, cut_above or cut_below)


def artifacts_with_digest(store: MetadataStore, digest: str) -> list[mlmd.Artifact]:
    """The modules with a digest, and then the embeddings that were made with such a module."""
    return [*_modules(store, digest), *_stamped_with(store, "module_digest", digest)]


def _modules(store: MetadataStore, digest: str) -> list[mlmd.Artifact]:
    return [a for a in _stamped_with(store, "digest", digest) if a.type == MODULE_TYPE]


def _stamped_with(store: MetadataStore, name: str, digest: str) -> list[mlmd.Artifact]:
    """Artifacts with a digest in a custom property, the oldest first."""
    if not is_digest(digest):  # Anybody may have stamped it, and it becomes part of a query.
        return []
    query = f'custom_properties.{name}.string_value = "{digest}"'
    found = store.get_artifacts(list_options=ListOptions(filter_query=query))
    return sorted(found, key=lambda artifact: artifact.id)


def _stamp(artifact: mlmd.Artifact, name: str) -> str:
    values = artifact.custom_properties
    return str(values[name].string_value) if name in values else ""


_More = Callable[[Sequence[mlmd.Artifact]], list[mlmd.Artifact]]


class _Reader:
    """Reads generation by generation, with a few queries for each.

    It may know more artifacts than the lineage has: `_included` says which belong to that.
    """

    def __init__(self, store: MetadataStore):
        self._store = store
        self._artifacts: dict[int, mlmd.Artifact] = {}
        self._made: dict[int, mlmd.Event] = {}
        self._read: dict[int, list[mlmd.Event]] = {}
        self._links: dict[int, Link | None] = {}
        self._included: set[int] = set()

    def walk(self, roots: Sequence[mlmd.Artifact], more: _More, generations: int) -> bool:
        """Follows `more` from the roots; returns whether it stopped before the last generation."""
        seen = {root.id for root in roots}
        self._learn(roots)
        self._included |= seen
        frontier = list(roots)
        for _ in range(generations):
            frontier = self._new(more(frontier), seen)
            if not frontier:
                return False
            seen |= {artifact.id for artifact in frontier}
            self._included |= seen
        return bool(self._new(more(frontier), seen))

    def parents(self, generation: Sequence[mlmd.Artifact]) -> list[mlmd.Artifact]:
        read = [event.artifact_id for artifact in generation for event in self._inputs(artifact)]
        links = [self._link(artifact) for artifact in generation]
        return self._load([*read, *(link.parent for link in links if link is not None)])

    def children(self, generation: Sequence[mlmd.Artifact]) -> list[mlmd.Artifact]:
        events = self._store.get_events_by_artifact_ids([a.id for a in generation])
        consumers = sorted({event.execution_id for event in events if is_input(event)})
        written = self._store.get_events_by_execution_ids(consumers) if consumers else []
        outputs = self._load([event.artifact_id for event in written if is_output(event)])
        # A step that was taken from the cache names what another one made.
        made = [a for a in outputs if self._made[a.id].execution_id in consumers]
        return made + [child for artifact in generation for child in self._linked(artifact)]

    def lineage(self, roots: Sequence[mlmd.Artifact], cut: bool) -> Lineage:
        producers = {self._made[i].execution_id for i in self._included if i in self._made}
        executions = self._store.get_executions_by_id(sorted(producers)) if producers else []
        links = (self._links.get(i) for i in sorted(self._included))
        return Lineage(
            roots=tuple(root.id for root in roots),
            artifacts={i: self._node(self._artifacts[i]) for i in sorted(self._included)},
            steps={e.id: self._step(e) for e in sorted(executions, key=lambda e: e.id)},
            links=tuple(link for link in links if link and link.parent in self._included),
            cut=cut,
        )

    # --- What is known of an artifact ------------------------------------------------------------

    def _new(self, found: Iterable[mlmd.Artifact], seen: set[int]) -> list[mlmd.Artifact]:
        return list({a.id: a for a in found if a.id not in seen}.values())

    def _load(self, artifact_ids: Iterable[int]) -> list[mlmd.Artifact]:
        wanted = list(dict.fromkeys(artifact_ids))
        unknown = [i for i in wanted if i not in self._artifacts]
        if unknown:
            self._learn(self._store.get_artifacts_by_id(unknown))
        return [self._artifacts[i] for i in wanted if i in self._artifacts]

    def _learn(self, artifacts: Iterable[mlmd.Artifact]) -> None:
        """Keeps artifacts, the steps that made them, and what those steps read."""
        new = {a.id: a for a in artifacts if a.id not in self._artifacts}
        self._artifacts |= new
        events = self._store.get_events_by_artifact_ids(list(new)) if new else []
        for event in sorted(events, key=lambda event: event.execution_id):
            if is_output(event):  # The first one: cached steps name the artifact again.
                self._made.setdefault(event.artifact_id, event)
        steps = {self._made[i].execution_id for i in new if i in self._made} - self._read.keys()
        self._read |= {step: [] for step in steps}
        for event in self._store.get_events_by_execution_ids(sorted(steps)) if steps else []:
            if is_input(event):
                self._read[event.execution_id].append(event)

    def _inputs(self, artifact: mlmd.Artifact) -> list[mlmd.Event]:
        made = self._made.get(artifact.id)
        return [] if made is None else self._read[made.execution_id]

    # --- What digests say and events do not ------------------------------------------------------

    def _link(self, artifact: mlmd.Artifact) -> Link | None:
        if artifact.id not in self._links:
            self._links[artifact.id] = self._find_link(artifact)
        return self._links[artifact.id]

    def _find_link(self, artifact: mlmd.Artifact) -> Link | None:
        for name in ("parent_digest", "module_digest", "digest"):
            if digest := _stamp(artifact, name):
                parent = self._parent(artifact, name, digest)
                return None if parent is None else Link(parent.id, artifact.id, name)
        return None

    def _parent(self, artifact: mlmd.Artifact, name: str, digest: str) -> mlmd.Artifact | None:
        """The module with a digest that an artifact came from; None where its step read it.

        It is older than the artifact, and not a frozen one: training has changed nothing in that,
        so whatever has its bytes may come from its parent just as well. Of those that are left it
        is the oldest one that was fine-tuned, since the others are the same module, resolved again.
        Where none was fine-tuned, it is the oldest, unless the artifact itself is one that was
        resolved again.
        """
        read = self._load(event.artifact_id for event in self._inputs(artifact))
        if any(_stamp(parent, "digest") == digest for parent in read):
            return None
        found = _modules(self._store, digest)
        modules = [m for m in found if m.id < artifact.id and _stamp(m, "parent_digest") != digest]
        tuned = [module for module in modules if _stamp(module, "parent_digest")]
        parent = next(iter(tuned if name == "digest" else tuned or modules), None)
        return None if parent is None else self._load([parent.id])[0]

    def _linked(self, artifact: mlmd.Artifact) -> list[mlmd.Artifact]:
        digest = _stamp(artifact, "digest")
        if artifact.type != MODULE_TYPE or not digest:
            return []
        named = ("parent_digest", "module_digest", "digest")
        found = self._load(a.id for name in named for a in _stamped_with(self._store, name, digest))
        links = {child.id: self._link(child) for child in found}
        return [c for c in found if (link := links[c.id]) and link.parent == artifact.id]

    # --- Results ---------------------------------------------------------------------------------

    def _node(self, artifact: mlmd.Artifact) -> ArtifactNode:
        made = self._made.get(artifact.id)
        return ArtifactNode(
            id=artifact.id,
            name=(made is not None and event_key(made)) or artifact.name,
            type_name=artifact.type,
            uri=artifact.uri,
            properties=properties_of(artifact),
            made_by=None if made is None else made.execution_id,
        )

    def _step(self, execution: mlmd.Execution) -> Step:
        outputs = [
            Event(event_key(self._made[i]), i)
            for i in sorted(self._included)
            if i in self._made and self._made[i].execution_id == execution.id
        ]
        inputs = [
            Event(event_key(event), event.artifact_id)
            for event in self._read[execution.id]
            if event.artifact_id in self._included
        ]
        return Step(execution.id, execution.type.rpartition(".")[2], tuple(inputs), tuple(outputs))
