"""A lineage as text, Graphviz or Mermaid. Names and handles in it may hold any character."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hub_tfx._text import printable
from hub_tfx.lineage.graph import ArtifactNode, Lineage, Step

_FACTS = (
    "verdict",
    "reason",
    "handle",
    "version",
    "digest",
    "parent_digest",
    "frozen",
    "module_fn",
    "module_digest",
    "baseline_handle",
    "baseline_digest",
    "signature",
    "span",
    "spans",
    "rows",
)
_MERMAID_SAFE = frozenset(" _.,/=@+-()")


def as_text(lineage: Lineage) -> str:
    """A tree for each root: what it was made from, then what was made with it.

    An artifact that occurs again is a reference (`#7 module, see above`).
    """
    drawing = _Drawing(lineage)
    trees = ["\n".join(_lines(drawing.root(root))) for root in lineage.roots]
    if lineage.cut:
        trees.append("… there are more generations: --generations shows them")
    return "\n\n".join(trees)


def as_dot(lineage: Lineage) -> str:
    """A graph for Graphviz: `hub-tfx lineage … --format dot | dot -Tsvg`."""
    lines = ["digraph lineage {", "  rankdir=LR;"]
    for artifact in lineage.artifacts.values():
        style = ' penwidth="2"' if artifact.id in lineage.roots else ""
        lines.append(f'  a{artifact.id} [shape="box"{style} label={_dot(*_label(artifact))}];')
    for step in lineage.steps.values():
        lines.append(f'  s{step.id} [shape="ellipse" label={_dot(*_step_label(step))}];')
    for source, target, text, is_link in _edges(lineage):
        style = ' style="dashed"' if is_link else ""
        lines.append(f"  {source} -> {target} [label={_dot(text)}{style}];")
    return "\n".join([*lines, "}"])


def as_mermaid(lineage: Lineage) -> str:
    """A flowchart for Markdown pages that draw Mermaid, such as GitHub's."""
    lines = ["flowchart LR"]
    for artifact in lineage.artifacts.values():
        lines.append(f"  a{artifact.id}[{_mermaid(*_label(artifact))}]")
    for step in lineage.steps.values():
        lines.append(f"  s{step.id}([{_mermaid(*_step_label(step))}])")
    for source, target, text, is_link in _edges(lineage):
        arrow = "-.->" if is_link else "-->"
        label = f"|{_mermaid(text)}|" if text else ""
        lines.append(f"  {source} {arrow}{label} {target}")
    for root in lineage.roots:
        lines.append(f"  style a{root} stroke-width:3px")
    return "\n".join(lines)


# --- What is said of each ------------------------------------------------------------------------


def _title(artifact: ArtifactNode) -> str:
    return " ".join(filter(None, [f"#{artifact.id}", artifact.name, f"({artifact.type_name})"]))


def _facts(artifact: ArtifactNode) -> list[str]:
    values = {name: artifact.properties.get(name, "") for name in _FACTS} | {"uri": artifact.uri}
    return [f"{name} {value}" for name, value in values.items() if value != ""]


def _label(artifact: ArtifactNode) -> list[str]:
    return [_title(artifact), *_facts(artifact)]


def _step_label(step: Step) -> list[str]:
    return [step.name, f"step {step.id}"]


def _edges(lineage: Lineage) -> Iterator[tuple[str, str, str, bool]]:
    """Edges: source, target, label, and whether a digest ties the two instead of a step."""
    for step in lineage.steps.values():
        for event in step.inputs:
            yield f"a{event.artifact}", f"s{step.id}", event.key, False
        for event in step.outputs:
            yield f"s{step.id}", f"a{event.artifact}", event.key, False
    for link in lineage.links:
        yield f"a{link.parent}", f"a{link.child}", link.by, True


# --- Escaping ------------------------------------------------------------------------------------


def _dot(*lines: str) -> str:
    """A quoted string for Graphviz, in which backslashes and HTML entities have a meaning."""
    escaped = [
        printable(line).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
        for line in lines
    ]
    return '"' + "\\n".join(escaped) + '"'


def _mermaid(*lines: str) -> str:
    """A quoted label for Mermaid, with the numbers of all characters that Mermaid might interpret.

    The colon is one of them: in a line with `style…:` and `#…;` Mermaid drops the semicolon.
    """
    return '"' + "<br/>".join("".join(map(_mermaid_character, printable(x))) for x in lines) + '"'


def _mermaid_character(character: str) -> str:
    if character.isalnum() or character in _MERMAID_SAFE:
        return character
    return f"#{ord(character)};"


# --- The tree ------------------------------------------------------------------------------------


@dataclass
class _Tree:
    """A node of the drawing, with its own lines and its branches."""

    lines: list[str]
    branches: list["_Tree"] = field(default_factory=list)


class _Drawing:
    """Describes each artifact once, and draws its ancestors and descendants once."""

    def __init__(self, lineage: Lineage):
        self._lineage = lineage
        self._told: set[int] = set()
        self._above: set[int] = set()
        self._below: set[int] = set()

    def root(self, artifact_id: int) -> _Tree:
        tree = self._artifact(artifact_id)
        tree.branches = [*self._made_from(artifact_id), *self._made_with(artifact_id)]
        return tree

    def _artifact(self, artifact_id: int, prefix: str = "") -> _Tree:
        artifact = self._lineage.artifacts[artifact_id]
        title = printable(prefix + _title(artifact))
        if artifact_id in self._told:
            return _Tree([f"{title}, see above"])
        self._told.add(artifact_id)
        return _Tree([title, *(f"  {printable(fact)}" for fact in _facts(artifact))])

    def _made_from(self, artifact_id: int) -> list[_Tree]:
        if artifact_id in self._above:
            return []
        self._above.add(artifact_id)
        step = self._lineage.producer(artifact_id)
        branches = (
            [] if step is None else [_Tree([printable(f"made by {step.name} (step {step.id})")])]
        )
        for event in () if step is None else step.inputs:
            branches[0].branches.append(self._ancestor(event.artifact, f"from {event.key}: "))
        for link in self._lineage.links:
            if link.child == artifact_id:
                branches.append(self._ancestor(link.parent, f"by its {link.by} from "))
        return branches

    def _ancestor(self, artifact_id: int, prefix: str) -> _Tree:
        tree = self._artifact(artifact_id, prefix)
        tree.branches = self._made_from(artifact_id)
        return tree

    def _made_with(self, artifact_id: int) -> list[_Tree]:
        if artifact_id in self._below:
            return []
        self._below.add(artifact_id)
        branches = []
        for step in self._lineage.consumers(artifact_id):
            made = [self._descendant(event.artifact, "") for event in step.outputs]
            title = printable(f"read by {step.name} (step {step.id}), which made")
            branches.append(_Tree([title], made))
        for link in self._lineage.links:
            if link.parent == artifact_id:
                branches.append(self._descendant(link.child, f"by its {link.by} the parent of "))
        return branches

    def _descendant(self, artifact_id: int, prefix: str) -> _Tree:
        tree = self._artifact(artifact_id, prefix)
        tree.branches = self._made_with(artifact_id)
        return tree


def _lines(tree: _Tree) -> Iterator[str]:
    """The lines of a tree, each with its bars and corners."""
    waiting: list[tuple[_Tree, str, str]] = [(tree, "", "")]
    while waiting:
        node, first, rest = waiting.pop()
        yield first + node.lines[0]
        bar = "│" if node.branches else " "
        yield from (f"{rest}{bar} {line.lstrip()}" for line in node.lines[1:])
        branches = [
            (branch, f"{rest}{corner}─ ", f"{rest}{continuation}  ")
            for branch, corner, continuation in _corners(node.branches)
        ]
        waiting += reversed(branches)


def _corners(branches: list[_Tree]) -> Iterator[tuple[_Tree, str, str]]:
    for position, branch in enumerate(branches):
        last = position == len(branches) - 1
        yield branch, "└" if last else "├", " " if last else "│"
