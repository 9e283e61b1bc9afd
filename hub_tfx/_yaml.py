"""YAML that people write, read with the line of each value, and written.

Anchors, aliases, tags, directives and deep nesting are refused before anything is built from them,
so that the time and memory of reading are bounded by the length of the text. Values are not typed
here: whoever knows what a key takes reads the text of a Scalar.

A value is written without quotes where every YAML reader takes it for the same text; otherwise it
is written as JSON, which is YAML, too. ``plain`` and ``block`` are for files of other programs.
"""

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from hub_tfx._text import quoted

_TEXT_TAG = "tag:yaml.org,2002:str"
_NULL_TAG = "tag:yaml.org,2002:null"
_MAX_DEPTH = 20  # As other cards nest their metrics; with more the scanner would be slow.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_BYTE_ORDER_MARK = "\ufeff"
_PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z0-9 ._/+()-]*[A-Za-z0-9._/+()-])?")


class YamlError(Exception):
    """A text cannot be read at all.

    Attributes:
      line: where, from 1.
    """

    def __init__(self, line: int, why: str):
        super().__init__(why)
        self.line = line


@dataclass(frozen=True)
class Scalar:
    """A text, as it stands in the YAML.

    Attributes:
      line: line where it starts, from 1.
      text: what it says; empty for nothing.
      is_text: whether YAML 1.1 and 1.2 both read it as a text: ``no`` is False to many tools.
      is_null: whether there is nothing, as in ``key:``; not so for ``key: ""``.
    """

    line: int
    text: str
    is_text: bool = True
    is_null: bool = False


@dataclass(frozen=True)
class Items:
    """A list, such as ``[en, de]``."""

    line: int
    items: "tuple[Node, ...]"


@dataclass(frozen=True)
class Pairs:
    """A mapping; one key may be there twice."""

    line: int
    pairs: "tuple[tuple[Scalar, Node], ...]"


Node = Scalar | Items | Pairs


def decode(source: bytes, max_bytes: int, what: str) -> str:
    """The text of bytes in UTF-8, with plain line breaks.

    Args:
      source: the bytes; at most one more than allowed need be read.
      max_bytes: how many there may be.
      what: what they are, for errors: ``a card``.

    Raises:
      YamlError: it is too long, is not UTF-8, or holds control characters.
    """
    if len(source) > max_bytes:
        raise YamlError(1, f"{what} has at most {max_bytes >> 10} KiB: shorten it")
    try:
        text = source.decode()
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise YamlError(line, "it is not UTF-8: save it in this encoding") from None
    text = text.replace("\r\n", "\n")
    if text.startswith(_BYTE_ORDER_MARK):
        raise YamlError(1, "it starts with a byte order mark: save it as UTF-8 without one")
    if control := _CONTROL.search(text):
        line = text.count("\n", 0, control.start()) + 1
        raise YamlError(line, f"it holds the character {control[0]!r}: remove it")
    return text


def read_mapping(
    yaml: str, *, first_line: int = 1, like: str, may_have_start: bool = False
) -> Pairs:
    """The keys and values of a YAML document; none of an empty one.

    Args:
      yaml: the text.
      first_line: number of its first line in the file.
      like: an example of a key and a value, for errors.
      may_have_start: whether a line ``---`` may come first.

    Raises:
      YamlError: it is not YAML or not a mapping, or it holds what nobody needs.
    """
    root = read_value(yaml, first_line=first_line, may_have_start=may_have_start)
    if isinstance(root, Scalar) and not root.text:
        return Pairs(first_line, ())
    if not isinstance(root, Pairs):
        raise YamlError(root.line, f"it is not a list of keys and values, as `{like}`")
    return root


def read_value(yaml: str, *, first_line: int = 1, may_have_start: bool = False) -> Node:
    """The one value of a YAML document; raises YamlError as ``read_mapping`` does."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    events = YAML(typ="safe", pure=True).parse(yaml)
    try:
        return _Reader(events, first_line).document(may_have_start)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + first_line if mark else first_line
        raise YamlError(line, f"it is not YAML: {error.problem}") from None
    except YAMLError as error:  # Of a character; it has no line.
        raise YamlError(first_line, f"it is not YAML: {str(error).splitlines()[0]}") from None


def plain(node: Node) -> Any:
    """What a node says as a text, a number, a truth value, None, or a list or mapping of these.

    Raises:
      YamlError: a key is there twice, or tools read a value without quotes in two ways.
    """
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    if isinstance(node, Scalar):
        return None if node.is_null else node.text if node.is_text else _typed(node)
    values: dict[str, Any] = {}
    for key, value in node.pairs:
        if key.text in values:
            raise YamlError(key.line, f"{quoted(key.text)} is there twice: remove one of them")
        values[key.text] = plain(value)
    return values


def _typed(node: Scalar) -> Any:
    try:
        return json.loads(node.text)
    except ValueError:
        what = f"{quoted(node.text)} is a text to some tools only: put it in quotes"
        raise YamlError(node.line, what) from None


@dataclass(frozen=True)
class _Reader:
    """Makes nodes of the events of ruamel.yaml's parser."""

    events: Iterator[Any]
    first_line: int

    def document(self, may_have_start: bool) -> Node:
        kinds = _event_kinds()
        for event in self.events:
            if isinstance(event, kinds.DocumentStartEvent):
                self._check_start(event, may_have_start)
                break
        else:
            return Scalar(self.first_line, "", is_null=True)
        root = self._node(next(self.events), 1)
        for event in self.events:
            if isinstance(event, kinds.DocumentStartEvent):
                raise YamlError(self._line(event), "it holds two documents: remove the line `...`")
        return root

    def _check_start(self, event: Any, may_have_start: bool) -> None:
        if event.version or event.tags or (event.explicit and not may_have_start):
            raise YamlError(
                self._line(event), "directives and `--- ` are not taken: remove the line"
            )

    def _node(self, event: Any, depth: int) -> Node:
        kinds = _event_kinds()
        line = self._line(event)
        if isinstance(event, kinds.AliasEvent) or event.anchor:
            raise YamlError(line, "anchors and aliases are not taken: write the value out")
        if isinstance(event, kinds.ScalarEvent):
            return _scalar(event, line)
        if event.tag is not None:
            _refuse_tag(event, line)
        if depth > _MAX_DEPTH:
            raise YamlError(
                line, f"it is nested more than {_MAX_DEPTH} deep: write texts and lists"
            )
        if isinstance(event, kinds.SequenceStartEvent):
            return Items(line, tuple(self._items(depth)))
        return Pairs(line, tuple(self._pairs(depth)))

    def _items(self, depth: int) -> Iterator[Node]:
        for event in self._until(_event_kinds().SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _pairs(self, depth: int) -> Iterator[tuple[Scalar, Node]]:
        for event in self._until(_event_kinds().MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                raise YamlError(key.line, "a key is a list or a mapping: it takes a text")
            yield key, self._node(next(self.events), depth + 1)

    def _until(self, end: Any) -> Iterator[Any]:
        return itertools.takewhile(lambda event: not isinstance(event, end), self.events)

    def _line(self, event: Any) -> int:
        line: int = event.start_mark.line
        return line + self.first_line


def _scalar(event: Any, line: int) -> Scalar:
    is_plain, is_quoted = event.implicit
    if not (is_plain or is_quoted):
        _refuse_tag(event, line)
    if is_quoted:
        return Scalar(line, event.value)
    if (1, 1) in _readings(event.value, _NULL_TAG):
        return Scalar(line, "", is_null=True)
    return Scalar(line, event.value, is_text=is_yaml_text(event.value))


def _refuse_tag(event: Any, line: int) -> NoReturn:
    raise YamlError(line, f"tags are not taken: remove {str(event.tag)[:40]!r}")


def is_yaml_text(value: str) -> bool:
    """Whether a text without quotes is one to YAML 1.1, which most tools read, and to 1.2."""
    return len(_readings(value, _TEXT_TAG)) == len(_resolvers())


def _readings(value: str, tag: str) -> list[tuple[int, int]]:
    """The versions of YAML that read a plain scalar as this."""
    return [version for version, resolve in _resolvers() if resolve(value) == tag]


@cache
def _resolvers() -> tuple[tuple[tuple[int, int], Callable[[str], str]], ...]:
    from ruamel.yaml.nodes import ScalarNode
    from ruamel.yaml.resolver import VersionedResolver

    def resolver(version: tuple[int, int]) -> Callable[[str], str]:
        resolver = VersionedResolver(version=version, loader=None)
        return lambda value: str(resolver.resolve(ScalarNode, value, (True, False)))

    return tuple((version, resolver(version)) for version in ((1, 1), (1, 2)))


@cache
def _event_kinds() -> Any:
    from ruamel.yaml import events

    return events


# --- Writing --------------------------------------------------------------------------------------


def flow(value: Any) -> str:
    """A text, a number, a truth value, None, or a list or mapping of these, in one line."""
    if isinstance(value, str):
        is_plain = _PLAIN.fullmatch(value) and is_yaml_text(value)
        return value if is_plain else _quoted(value)
    if isinstance(value, Mapping):
        pairs = (f"{flow(key)}: {flow(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(flow, value)) + "]"
    return _number(value) if isinstance(value, float) else json.dumps(value)


def block(value: Mapping[str, Any]) -> str:
    """A mapping of what ``flow`` takes in lines, with a text of several lines as it is."""
    return "".join(f"{line}\n" for line in _block_lines(value))


def _block_lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _below(f"{flow(key)}:", item, 0 if isinstance(item, list) else 2)
    else:
        for item in value:
            yield from _in_item(item)


def _in_item(item: Any) -> Iterator[str]:
    """The lines of an item of a list; a mapping or list begins beside its hyphen."""
    if item and isinstance(item, (Mapping, list)):
        for number, line in enumerate(_block_lines(item)):
            yield f"{'  ' if number else '- '}{line}" if line else ""
    else:
        yield from _below("-", item, 2)


def _below(start: str, item: Any, indent: int) -> Iterator[str]:
    if item and isinstance(item, (Mapping, list)):
        yield start
        lines: Any = _block_lines(item)
    elif isinstance(item, str) and _is_literal(item):
        yield f"{start} |" if item.endswith("\n") else f"{start} |-"
        lines = item.removesuffix("\n").split("\n")
    else:
        yield f"{start} {flow(item)}"
        return
    yield from (" " * indent + line if line else "" for line in lines)


def _is_literal(text: str) -> bool:
    """Whether a text of several lines can be written as it is."""
    lines = text.removesuffix("\n")
    is_whole = lines == lines.strip() and "\n" in lines
    return is_whole and lines.replace("\n", "").isprintable()


def _quoted(text: str) -> str:
    """A text as JSON; YAML takes fewer characters as they are, and no halves of them."""
    written = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in written)


def _number(value: float) -> str:
    """A number with a point: YAML 1.1 takes 1e-05 for a text."""
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    mantissa, e, exponent = repr(value).partition("e")
    return repr(value) if "." in mantissa else f"{mantissa}.0{e}{exponent}"
