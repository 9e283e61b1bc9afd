"""The front matter of a card: YAML between two lines of ``---``, each value with its line.

Anchors, aliases, tags, directives and deep nesting are refused before anything is built from them,
so that the time and memory of reading are bounded by the length of the text.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

_FENCE = "---"
_TEXT_TAG = "tag:yaml.org,2002:str"
_NULL_TAG = "tag:yaml.org,2002:null"
_MAX_DEPTH = 20  # As other cards nest their metrics; with more the scanner would be slow.


class FrontMatterError(Exception):
    """The front matter cannot be read at all; ``parse_card`` makes a CardError of it."""

    def __init__(self, line: int, why: str):
        super().__init__(why)
        self.line = line


@dataclass(frozen=True)
class Scalar:
    """A text, as it stands in the YAML.

    Attributes:
      line: line in the card where it starts, from 1.
      text: what it says; empty for nothing.
      is_text: whether YAML 1.1 and 1.2 both read it as a text: ``no`` is False to many tools.
    """

    line: int
    text: str
    is_text: bool = True


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


def split_front_matter(text: str) -> tuple[str, str]:
    """The YAML and the Markdown of a card, whose line breaks are ``\\n``.

    Raises:
      FrontMatterError: the card does not start with a line ``---``, or there is no second one.
    """
    first, _, rest = text.partition("\n")
    if first.rstrip() != _FENCE:
        raise FrontMatterError(1, "the card does not start with a line `---` and its keys in YAML")
    lines = rest.split("\n")
    for number, line in enumerate(lines):
        if line.rstrip() == _FENCE:
            return "\n".join(lines[:number]), "\n".join(lines[number + 1 :])
    raise FrontMatterError(1, "the front matter has no end: put a line `---` after its last key")


def read_front_matter(yaml: str) -> Pairs:
    """The keys and values of a front matter, whose first line is line 2 of the card.

    Raises:
      FrontMatterError: it is not YAML, or it holds what no card may hold.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    events = YAML(typ="safe", pure=True).parse(yaml)
    try:
        return _document(events)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 2 if mark else 2
        raise FrontMatterError(line, f"it is not YAML: {error.problem}") from None
    except YAMLError as error:  # Of a character; it has no line.
        raise FrontMatterError(2, f"it is not YAML: {str(error).splitlines()[0]}") from None


def _document(events: Iterator[Any]) -> Pairs:
    kinds = _event_kinds()
    for event in events:
        if isinstance(event, kinds.DocumentStartEvent):
            _check_start(event)
            break
    else:
        return Pairs(1, ())
    root = _node(next(events), events, 1)
    if isinstance(root, Scalar) and not root.text:
        return Pairs(1, ())
    if not isinstance(root, Pairs):
        raise FrontMatterError(root.line, "it is not a list of keys and values, as `license: MIT`")
    for event in events:
        if isinstance(event, kinds.DocumentStartEvent):
            raise FrontMatterError(_line(event), "it holds two documents: remove the line `...`")
    return root


def _check_start(event: Any) -> None:
    if event.version or event.tags or event.explicit:
        raise FrontMatterError(_line(event), "directives and `--- ` are not taken: remove the line")


def _node(event: Any, events: Iterator[Any], depth: int) -> Node:
    kinds = _event_kinds()
    line = _line(event)
    if isinstance(event, kinds.AliasEvent) or event.anchor:
        raise FrontMatterError(line, "anchors and aliases are not taken: write the value out")
    if isinstance(event, kinds.ScalarEvent):
        return _scalar(event, line)
    if event.tag is not None:
        _refuse_tag(event, line)
    if depth > _MAX_DEPTH:
        raise FrontMatterError(
            line, f"it is nested more than {_MAX_DEPTH} deep: write texts and lists"
        )
    if isinstance(event, kinds.SequenceStartEvent):
        return Items(line, tuple(_items(events, depth)))
    return Pairs(line, tuple(_pairs(events, depth)))


def _items(events: Iterator[Any], depth: int) -> Iterator[Node]:
    for event in _until(events, _event_kinds().SequenceEndEvent):
        yield _node(event, events, depth + 1)


def _pairs(events: Iterator[Any], depth: int) -> Iterator[tuple[Scalar, Node]]:
    for event in _until(events, _event_kinds().MappingEndEvent):
        key = _node(event, events, depth + 1)
        if not isinstance(key, Scalar):
            raise FrontMatterError(key.line, "a key is a list or a mapping: it takes a text")
        yield key, _node(next(events), events, depth + 1)


def _until(events: Iterator[Any], end: Any) -> Iterator[Any]:
    return itertools.takewhile(lambda event: not isinstance(event, end), events)


def _scalar(event: Any, line: int) -> Scalar:
    is_plain, is_quoted = event.implicit
    if not (is_plain or is_quoted):
        _refuse_tag(event, line)
    if is_quoted:
        return Scalar(line, event.value)
    if (1, 1) in _readings(event.value, _NULL_TAG):
        return Scalar(line, "")
    return Scalar(line, event.value, is_text=is_yaml_text(event.value))


def _refuse_tag(event: Any, line: int) -> NoReturn:
    raise FrontMatterError(line, f"tags are not taken: remove {str(event.tag)[:40]!r}")


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 2  # Of the card, from 1: there is a line `---` before.


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
