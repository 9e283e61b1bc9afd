"""A family as text, Graphviz or Mermaid. Names and handles in it may hold any character."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hub_tfx.lineage.graph import Family, Member, Step

_FACTS = (
    "handle",
    "version",
    "digest",
    "parent_digest",
    "module_fn",
    "module_digest",
    "signature",
    "span",
    "spans",
    "rows",
)
_MERMAID_SAFE = frozenset(" _.,/=@+-()")


def as_text(family: Family) -> str:
    """A tree for each root: what it was made from, then what was made with it.

    What comes up again is a reference (`#7 module, see above`).
    """
    drawing = _Drawing(family)
    trees = ["\n".join(_lines(drawing.root(root))) for root in family.roots]
    if family.cut:
        trees.append("… there are more generations: --generations shows them")
    return "\n\n".join(trees)


def as_dot(family: Family) -> str:
    """For Graphviz: `hub-tfx lineage … --format dot | dot -Tsvg`."""
    lines = ["digraph lineage {", "  rankdir=LR;"]
    for artifact in family.artifacts.values():
        style = ' penwidth="2"' if artifact.id in family.roots else ""
        lines.append(f'  a{artifact.id} [shape="box"{style} label={_dot(*_label(artifact))}];')
    for step in family.steps.values():
        lines.append(f'  s{step.id} [shape="ellipse" label={_dot(*_step_label(step))}];')
    for source, target, text, is_link in _edges(family):
        style = ' style="dashed"' if is_link else ""
        lines.append(f"  {source} -> {target} [label={_dot(text)}{style}];")
    return "\n".join([*lines, "}"])


def as_mermaid(family: Family) -> str:
    """For Markdown pages that draw Mermaid, such as GitHub's."""
    lines = ["flowchart LR"]
    for artifact in family.artifacts.values():
        lines.append(f"  a{artifact.id}[{_mermaid(*_label(artifact))}]")
    for step in family.steps.values():
        lines.append(f"  s{step.id}([{_mermaid(*_step_label(step))}])")
    for source, target, text, is_link in _edges(family):
        arrow = "-.->" if is_link else "-->"
        label = f"|{_mermaid(text)}|" if text else ""
        lines.append(f"  {source} {arrow}{label} {target}")
    for root in family.roots:
        lines.append(f"  style a{root} stroke-width:3px")
    return "\n".join(lines)


# --- What is said of each ------------------------------------------------------------------------


def _title(artifact: Member) -> str:
    return " ".join(filter(None, [f"#{artifact.id}", artifact.name, f"({artifact.type_name})"]))


def _facts(artifact: Member) -> list[str]:
    values = {name: artifact.properties.get(name, "") for name in _FACTS} | {"uri": artifact.uri}
    return [f"{name} {value}" for name, value in values.items() if value != ""]


def _label(artifact: Member) -> list[str]:
    return [_title(artifact), *_facts(artifact)]


def _step_label(step: Step) -> list[str]:
    return [step.name, f"step {step.id}"]


def _edges(family: Family) -> Iterator[tuple[str, str, str, bool]]:
    """Source, target, words on it, and whether a digest says so in place of a step."""
    for step in family.steps.values():
        for use in step.inputs:
            yield f"a{use.artifact}", f"s{step.id}", use.key, False
        for use in step.outputs:
            yield f"s{step.id}", f"a{use.artifact}", use.key, False
    for link in family.links:
        yield f"a{link.parent}", f"a{link.child}", link.by, True


# --- Escaping ------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """One line, without control characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _dot(*lines: str) -> str:
    """A quoted string of Graphviz's; there, backslashes and HTML's entities mean something."""
    escaped = [
        printable(line).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
        for line in lines
    ]
    return '"' + "\\n".join(escaped) + '"'


def _mermaid(*lines: str) -> str:
    """A quoted label of Mermaid's: everything it might read as its own by its number.

    The colon, too: in a line with `style…:` and `#…;` Mermaid drops the semicolon.
    """
    return '"' + "<br/>".join("".join(map(_mermaid_character, printable(x))) for x in lines) + '"'


def _mermaid_character(character: str) -> str:
    if character.isalnum() or character in _MERMAID_SAFE:
        return character
    return f"#{ord(character)};"


# --- The tree ------------------------------------------------------------------------------------


@dataclass
class _Tree:
    """A node of the drawing: its own lines, and its branches."""

    lines: list[str]
    branches: list["_Tree"] = field(default_factory=list)


class _Drawing:
    """Says everything of an artifact once, and its ancestors and descendants once."""

    def __init__(self, family: Family):
        self._family = family
        self._told: set[int] = set()
        self._above: set[int] = set()
        self._below: set[int] = set()

    def root(self, artifact_id: int) -> _Tree:
        tree = self._artifact(artifact_id)
        tree.branches = [*self._made_from(artifact_id), *self._made_with(artifact_id)]
        return tree

    def _artifact(self, artifact_id: int, prefix: str = "") -> _Tree:
        artifact = self._family.artifacts[artifact_id]
        title = printable(prefix + _title(artifact))
        if artifact_id in self._told:
            return _Tree([f"{title}, see above"])
        self._told.add(artifact_id)
        return _Tree([title, *(f"  {printable(fact)}" for fact in _facts(artifact))])

    def _made_from(self, artifact_id: int) -> list[_Tree]:
        if artifact_id in self._above:
            return []
        self._above.add(artifact_id)
        step = self._family.maker(artifact_id)
        branches = (
            [] if step is None else [_Tree([printable(f"made by {step.name} (step {step.id})")])]
        )
        for use in () if step is None else step.inputs:
            branches[0].branches.append(self._ancestor(use.artifact, f"from {use.key}: "))
        for link in self._family.links:
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
        for step in self._family.readers(artifact_id):
            made = [self._descendant(use.artifact, "") for use in step.outputs]
            title = printable(f"read by {step.name} (step {step.id}), which made")
            branches.append(_Tree([title], made))
        for link in self._family.links:
            if link.parent == artifact_id:
                branches.append(self._descendant(link.child, f"by its {link.by} the parent of "))
        return branches

    def _descendant(self, artifact_id: int, prefix: str) -> _Tree:
        tree = self._artifact(artifact_id, prefix)
        tree.branches = self._made_with(artifact_id)
        return tree


def _lines(tree: _Tree) -> Iterator[str]:
    """The lines of a tree, with bars and corners before them."""
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
