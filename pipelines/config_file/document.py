"""A config before it is typed: a file, what is put over it, and where each value comes from."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub_tfx._files import open_regular, why
from hub_tfx._text import hint, nearest, printable, quoted, shortened
from hub_tfx._yaml import Node, Pairs, Scalar, YamlError, decode, flow, read_mapping, read_value
from hub_tfx.errors import ConfigFileError, HubTfxError
from hub_tfx_pipelines.config_file.registry import PIPELINE, PIPELINES

MAX_BYTES = 64 << 10
MAX_PROBLEMS = 50
_DEFAULT = "default"

Path = tuple[str, ...]
"""Keys from the root of a document to a value."""


@dataclass(frozen=True)
class Problem:
    """What is wrong.

    Attributes:
      where: ``FILE:LINE``, or the option; empty for a value that nobody gave.
      key: the keys that lead there, with points; empty for the whole.
      what: what is wrong, and what to do.
      line: by which the problems of a file are sorted.
      missing: keys that lead to what is missing; empty where that is not the problem.
      cause: the error of which this is one line; None where there is none.
    """

    where: str
    key: str
    what: str
    line: int = 0
    missing: Path = ()
    cause: HubTfxError | None = None

    def __str__(self) -> str:
        key = "" if self.where == f"--set {self.key}" else self.key
        return ": ".join(filter(None, (self.where, key, self.what)))


def raise_problems(problems: Iterable[Problem]) -> None:
    """Raises ConfigFileError of all problems, by line, if there are any."""
    found = [str(problem) for problem in sorted(problems, key=lambda problem: problem.line)]
    if len(found) > MAX_PROBLEMS:
        found[MAX_PROBLEMS:] = ["there are too many errors to tell the rest"]
    if found:
        raise ConfigFileError(found)


@dataclass
class Document:
    """Values that are not typed yet.

    Attributes:
      root: the values, those of options included.
      file: name of the file; None where there is none.
      origins: path -> the option, `--set` or environment variable that put a value there.
      made: the same for mappings that were not there before they got a value.
      settings: paths that `--set` gave, where anything without quotes may be a text.
      problems: what is wrong with options `--set`.
    """

    root: Pairs = field(default_factory=lambda: Pairs(1, ()))
    file: str | None = None
    origins: dict[Path, str] = field(default_factory=dict)
    made: dict[Path, str] = field(default_factory=dict)
    settings: set[Path] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def get(self, path: Path) -> Node | None:
        """The value at a path; None where nobody gave one."""
        node: Node | None = self.root
        for name in path:
            node = _child(node, name) if isinstance(node, Pairs) else None
        return None if isinstance(node, Scalar) and node.is_null else node

    def put(self, path: Path, value: Any, origin: str) -> None:
        """Puts a plain value in the place of what is at a path."""
        self.put_node(path, read_value(flow(value)), origin)

    def put_node(self, path: Path, node: Node, origin: str) -> None:
        """Puts a value in the place of what is at a path."""
        for length in range(1, len(path)):
            above = self.get(path[:length])
            if above is None:
                self.made[path[:length]] = origin
            elif not isinstance(above, Pairs):
                key = ".".join(path[:length])
                self.problems.append(Problem(origin, key, "holds no keys: give it a whole value"))
                return
        self.root = _with(self.root, path, node)
        self.origins = {p: o for p, o in self.origins.items() if p[: len(path)] != path}
        self.origins[path] = origin

    def set(self, setting: str) -> None:
        """Puts the value of ``a.b=c`` at its path."""
        key, equals, text = setting.partition("=")
        path = tuple(key.split("."))
        if not equals or not all(path):
            shown = printable(quoted(setting))
            self.problems.append(Problem("", "", f"--set takes KEY.KEY=VALUE, not {shown}"))
            return
        origin = f"--set {shortened(printable(key))}"
        if path == (PIPELINE,):
            self.problems.append(Problem(origin, "", "is what the file says: change it there"))
            return
        try:
            node = read_value(decode(text.encode(), MAX_BYTES, "a value"))
        except YamlError as error:
            self.problems.append(Problem(origin, "", f"{error}, or put the value in quotes"))
            return
        self.put_node(path, node, origin)
        self.settings.add(path)

    def origin_of(self, path: Path, line: int | None = None) -> str:
        """Where the value at a path comes from, for people: ``file.yaml:3``.

        Args:
          path: keys from the root.
          line: line of the file where something is wrong; None to look for the key.
        """
        if origin := _nearest_above(self.origins, path):
            return origin
        found = self._line(path) if line is None else line
        if found is None:
            return _DEFAULT
        if line is not None and (origin := _nearest_above(self.made, path)):
            return origin
        return f"{self.file}:{found}" if self.file else ""

    def is_set(self, path: Path) -> bool:
        """Whether `--set` gave what is at a path."""
        return any(path[:length] in self.settings for length in range(len(path), 0, -1))

    def _line(self, path: Path) -> int | None:
        """Line of the key at a path; None where it is not there."""
        above = self.get(path[:-1])
        if not isinstance(above, Pairs):
            return None
        return next((key.line for key, _ in above.pairs if key.text == path[-1]), None)


def read_document(file: str | None, settings: Sequence[str], pipeline: str | None) -> Document:
    """The document of a file, with what `--set` puts over it.

    Args:
      file: path of the file; None to begin with nothing.
      settings: texts as ``a.b=c``; later ones win.
      pipeline: name of the pipeline that the file has to be about; None for any.

    Raises:
      ConfigFileError: the file cannot be read, is not YAML, or is about another pipeline.
    """
    document = Document() if file is None else _read(file)
    if file is not None:
        _check_pipeline(document, pipeline)
    for setting in settings:
        document.set(setting)
    return document


def pipeline_of(document: Document) -> str:
    """Name of the pipeline that a file is about."""
    node = document.get((PIPELINE,))
    assert isinstance(node, Scalar)
    return node.text


def _read(file: str) -> Document:
    name = printable(os.fspath(file))
    try:
        with open_regular(file) as opened:
            source = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL byte.
        reason = why(error) if isinstance(error, OSError) else str(error)
        raise ConfigFileError([f"{name}: cannot be read: {reason}"]) from error
    try:
        text = decode(source, MAX_BYTES, "a config file")
        return Document(read_mapping(text, like="pipeline: embed", may_have_start=True), name)
    except YamlError as error:
        raise ConfigFileError([f"{name}:{error.line}: {error}"]) from None


def _check_pipeline(document: Document, expected: str | None) -> None:
    takes = " or ".join((", ".join([*PIPELINES][:-1]), [*PIPELINES][-1]))
    node = document.get((PIPELINE,))
    where = document.origin_of((PIPELINE,), node.line if node else document.root.line)
    if node is None:
        what = f"is missing; it takes {takes}"
    elif not isinstance(node, Scalar) or node.text not in PIPELINES:
        given = quoted(node.text) if isinstance(node, Scalar) else "a list or a mapping"
        near = nearest(node.text, PIPELINES) if isinstance(node, Scalar) else ""
        what = f"takes {takes}, not {given}{hint(near)}"
    elif expected not in (None, node.text):
        what = f"is {node.text}, but the command is for {expected}: name a file for that"
    else:
        return
    raise_problems([Problem(where, PIPELINE, what)])


def _nearest_above(origins: Mapping[Path, str], path: Path) -> str:
    """The origin of a path, or of the longest one that leads there."""
    found = (origins.get(path[:length], "") for length in range(len(path), 0, -1))
    return next(filter(None, found), "")


def _child(node: Pairs, name: str) -> Node | None:
    return next((value for key, value in node.pairs if key.text == name), None)


def _with(node: Node, path: Path, value: Node) -> Pairs:
    """A mapping in which a path, which is made where it is missing, leads to a value."""
    pairs = node.pairs if isinstance(node, Pairs) else ()
    name, rest = path[0], path[1:]
    old = next((i for i, (key, _) in enumerate(pairs) if key.text == name), None)
    nothing = Scalar(node.line, "", is_null=True)
    below = nothing if old is None else pairs[old][1]
    new = _with(below, rest, value) if rest else value
    if old is None:
        return Pairs(node.line, (*pairs, (Scalar(node.line, name), new)))
    key = pairs[old][0]
    return Pairs(node.line, (*pairs[:old], (key, new), *pairs[old + 1 :]))
