"""An artifact's family in ML Metadata: what it was made from, and what was made with it.

Steps tie artifacts together by the events that ML Metadata keeps. Where a pipeline begins with a
module that another one made, there is no such event; there the digests that our components stamp
tie them: `parent_digest` of a fine-tuned module, `module_digest` of embeddings, and an equal
`digest` of a module that was resolved again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ml_metadata.metadata_store import ListOptions, MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from hub_tfx.lineage.store import event_key, is_input, is_output, properties_of

MODULE_TYPE = "hub_tfx.HubModule"
MAX_GENERATIONS = 50


@dataclass(frozen=True)
class Use:
    """An artifact and the key under which a step reads or gives it."""

    key: str
    artifact: int


@dataclass(frozen=True)
class Step:
    """An execution.

    Attributes:
      id: in ML Metadata.
      name: its type, without the package.
      inputs, outputs: those artifacts of the family that it read, and that it made.
    """

    id: int
    name: str
    inputs: tuple[Use, ...]
    outputs: tuple[Use, ...]


@dataclass(frozen=True)
class Member:
    """An artifact.

    Attributes:
      id: in ML Metadata.
      name: the key under which its step gave it; its own name where no step is known.
      type_name, uri, properties: of the artifact.
      made_by: id of the step that made it first; None where none is known.
    """

    id: int
    name: str
    type_name: str
    uri: str
    properties: Mapping[str, Any]
    made_by: int | None


@dataclass(frozen=True)
class Link:
    """Two artifacts that a digest ties together, and no step.

    Attributes:
      parent, child: ids of the artifacts.
      by: the child's property: `parent_digest`, `module_digest` or `digest`.
    """

    parent: int
    child: int
    by: str


@dataclass(frozen=True)
class Family:
    """Artifacts by id, steps by id, and links.

    Attributes:
      roots: ids of the artifacts that were asked for.
      cut: whether there are more generations than were asked for.
    """

    roots: tuple[int, ...]
    artifacts: Mapping[int, Member]
    steps: Mapping[int, Step]
    links: tuple[Link, ...]
    cut: bool

    def maker(self, artifact_id: int) -> Step | None:
        made_by = self.artifacts[artifact_id].made_by
        return None if made_by is None else self.steps.get(made_by)

    def readers(self, artifact_id: int) -> list[Step]:
        """The steps that made something with an artifact."""
        return [
            step
            for step in self.steps.values()
            if step.outputs and any(use.artifact == artifact_id for use in step.inputs)
        ]

    def to_dict(self) -> dict[str, Any]:
        return {
            "roots": list(self.roots),
            "artifacts": [asdict(artifact) for artifact in self.artifacts.values()],
            "steps": [asdict(step) for step in self.steps.values()],
            "links": [asdict(link) for link in self.links],
            "cut": self.cut,
        }


def ancestors(
    store: MetadataStore, roots: Sequence[mlmd.Artifact], generations: int = MAX_GENERATIONS
) -> Family:
    """The roots and what they were made from."""
    reader = _Reader(store)
    return reader.family(roots, reader.walk(roots, reader.parents, generations))


def whole_family(
    store: MetadataStore, roots: Sequence[mlmd.Artifact], generations: int = MAX_GENERATIONS
) -> Family:
    """The roots, what they were made from, and what was made with them.

    Args:
      store: ML Metadata.
      roots: the artifacts to begin with.
      generations: how many steps to follow, up and down.
    """
    reader = _Reader(store)
    cut_above = reader.walk(roots, reader.parents, generations)
    cut_below = reader.walk(roots, reader.children, generations)
    return reader.family(roots, cut_above or cut_below)


def with_digest(store: MetadataStore, digest: str) -> list[mlmd.Artifact]:
    """The modules with a digest, and then the embeddings that were made with such a module."""
    return [*_modules(store, digest), *_where(store, "module_digest", digest)]


def _modules(store: MetadataStore, digest: str) -> list[mlmd.Artifact]:
    return [a for a in _where(store, "digest", digest) if a.type == MODULE_TYPE]


def _where(store: MetadataStore, name: str, value: str) -> list[mlmd.Artifact]:
    """Artifacts by a custom property, the oldest first."""
    if not value.isalnum():  # Digests are. Anybody may have stamped it, and this is a query.
        return []
    query = f'custom_properties.{name}.string_value = "{value}"'
    found = store.get_artifacts(list_options=ListOptions(filter_query=query))
    return sorted(found, key=lambda artifact: artifact.id)


def _stamped(artifact: mlmd.Artifact, name: str) -> str:
    values = artifact.custom_properties
    return str(values[name].string_value) if name in values else ""


_More = Callable[[Sequence[mlmd.Artifact]], list[mlmd.Artifact]]


class _Reader:
    """Reads generation by generation, with a few queries for each.

    What it knows may be more than the family: `members` says which artifacts belong to that.
    """

    def __init__(self, store: MetadataStore):
        self._store = store
        self._artifacts: dict[int, mlmd.Artifact] = {}
        self._made: dict[int, mlmd.Event] = {}
        self._read: dict[int, list[mlmd.Event]] = {}
        self._links: dict[int, Link | None] = {}
        self._members: set[int] = set()

    def walk(self, roots: Sequence[mlmd.Artifact], more: _More, generations: int) -> bool:
        """Follows `more` from the roots; whether there is more than the given generations."""
        seen = {root.id for root in roots}
        self._learn(roots)
        self._members |= seen
        frontier = list(roots)
        for _ in range(generations):
            frontier = self._new(more(frontier), seen)
            if not frontier:
                return False
            seen |= {artifact.id for artifact in frontier}
            self._members |= seen
        return bool(self._new(more(frontier), seen))

    def parents(self, generation: Sequence[mlmd.Artifact]) -> list[mlmd.Artifact]:
        read = [event.artifact_id for artifact in generation for event in self._inputs(artifact)]
        links = [self._link(artifact) for artifact in generation]
        return self._load([*read, *(link.parent for link in links if link is not None)])

    def children(self, generation: Sequence[mlmd.Artifact]) -> list[mlmd.Artifact]:
        events = self._store.get_events_by_artifact_ids([a.id for a in generation])
        readers = sorted({event.execution_id for event in events if is_input(event)})
        given = self._store.get_events_by_execution_ids(readers) if readers else []
        outputs = self._load([event.artifact_id for event in given if is_output(event)])
        # A step that was taken from the cache gives what another one made.
        made = [a for a in outputs if self._made[a.id].execution_id in readers]
        return made + [child for artifact in generation for child in self._linked(artifact)]

    def family(self, roots: Sequence[mlmd.Artifact], cut: bool) -> Family:
        makers = {self._made[i].execution_id for i in self._members if i in self._made}
        executions = self._store.get_executions_by_id(sorted(makers)) if makers else []
        links = (self._links.get(member) for member in sorted(self._members))
        return Family(
            roots=tuple(root.id for root in roots),
            artifacts={i: self._member(self._artifacts[i]) for i in sorted(self._members)},
            steps={e.id: self._step(e) for e in sorted(executions, key=lambda e: e.id)},
            links=tuple(link for link in links if link and link.parent in self._members),
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
        """Keeps artifacts, the steps that made them and what those read."""
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
            if digest := _stamped(artifact, name):
                parent = self._parent(artifact, name, digest)
                return None if parent is None else Link(parent.id, artifact.id, name)
        return None

    def _parent(self, artifact: mlmd.Artifact, name: str, digest: str) -> mlmd.Artifact | None:
        """The module with a digest that an artifact came from, unless its step read it.

        The oldest one that was fine-tuned, or else the oldest: others are the same module, resolved
        again. Those have no family of their own, except in such a fine-tuned one.
        """
        read = self._load(event.artifact_id for event in self._inputs(artifact))
        if any(_stamped(parent, "digest") == digest for parent in read):
            return None
        modules = [m for m in _modules(self._store, digest) if m.id != artifact.id]
        tuned = [module for module in modules if _stamped(module, "parent_digest")]
        parent = next(iter(tuned if name == "digest" else tuned or modules), None)
        return None if parent is None else self._load([parent.id])[0]

    def _linked(self, artifact: mlmd.Artifact) -> list[mlmd.Artifact]:
        digest = _stamped(artifact, "digest")
        if artifact.type != MODULE_TYPE or not digest:
            return []
        named = ("parent_digest", "module_digest", "digest")
        found = self._load(a.id for name in named for a in _where(self._store, name, digest))
        links = {child.id: self._link(child) for child in found}
        return [c for c in found if (link := links[c.id]) and link.parent == artifact.id]

    # --- Results ---------------------------------------------------------------------------------

    def _member(self, artifact: mlmd.Artifact) -> Member:
        made = self._made.get(artifact.id)
        return Member(
            id=artifact.id,
            name=(made is not None and event_key(made)) or artifact.name,
            type_name=artifact.type,
            uri=artifact.uri,
            properties=properties_of(artifact),
            made_by=None if made is None else made.execution_id,
        )

    def _step(self, execution: mlmd.Execution) -> Step:
        outputs = [
            Use(event_key(self._made[member]), member)
            for member in sorted(self._members)
            if member in self._made and self._made[member].execution_id == execution.id
        ]
        inputs = [
            Use(event_key(event), event.artifact_id)
            for event in self._read[execution.id]
            if event.artifact_id in self._members
        ]
        return Step(execution.id, execution.type.rpartition(".")[2], tuple(inputs), tuple(outputs))
