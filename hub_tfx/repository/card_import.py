"""Cards of tfhub.dev, read into our form.

    # Module publisher/name/version
    What it is, in a paragraph.

    <!-- asset-path: https://example.org/module.tar.gz -->
    <!-- task: text-embedding -->
    <!-- fine-tunable: true -->

    ## Overview

https://www.tensorflow.org/hub/writing_documentation
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hub_tfx._text import quoted
from hub_tfx._yaml import Items, Node, Pairs, Scalar, YamlError
from hub_tfx.errors import CardError
from hub_tfx.repository.card import read_source
from hub_tfx.repository.card_schema import (
    KEYS,
    MAX_SUMMARY_CHARS,
    OTHER_LICENSE,
    standard_language,
)
from hub_tfx.repository.card_text import skeleton
from hub_tfx.repository.card_yaml import decode_card
from hub_tfx.repository.vocabulary import SAME_TASK

_KINDS = ("Module", "Placeholder", "Lite", "Tfjs", "Coral")
_TITLE = re.compile(r"# +([A-Za-z]+) +([^\s/]+)/(\S+) *")
_PROPERTY = re.compile(r"([a-z][a-z-]*):(.*)", re.DOTALL)
_LINK = re.compile(r"!?\[([^][]*)\](?:\([^()\s]*\)|\[[^][]*\])")
_MARKS = re.compile(r"[*`]+")
_URL = re.compile(r"https?://\S+")

_BLANK_LINES = re.compile(r"\n{3,}")
_SECTION = "\n##"

_SAME = {
    "task": "task",
    "module-type": "task",
    "language": "language",
    "license": "license",
    "dataset": "datasets",
    "network-architecture": "architecture",
}
"""Property of tfhub.dev -> key of ours."""
_LINKS = ("colab", "demo")
_DERIVED = ("asset-path", "fine-tunable", "format", "parent-model")


@dataclass(frozen=True)
class ImportedCard:
    """A card in our form, and what became of what the other one said.

    Attributes:
      text: the card; required keys that are not known are there without a value.
      notes: what was dropped or could not be taken over, each with file and line.
    """

    text: str
    notes: tuple[str, ...]


def import_card(path: str | os.PathLike[str]) -> ImportedCard:
    """Reads a Markdown file of tfhub.dev about a module.

    Raises:
      CardError: the file cannot be read, is longer than 64 KiB, or is not about a module.
    """
    return convert_card(read_source(path), os.fspath(path))


def convert_card(source: bytes, name: str = "card") -> ImportedCard:
    """The card of the bytes of a Markdown file of tfhub.dev, called ``name`` in notes.

    Raises:
      CardError: as ``import_card`` does.
    """
    try:
        text = decode_card(source)
        publisher = _publisher(text)
    except YamlError as error:
        raise CardError((f"{name}:{error.line}: {error}",)) from None
    draft = _Draft(name)
    draft.take_list("owners", [Scalar(1, publisher)])
    draft.tell(1, "", "the version in the title is dropped: it is derived")
    body = draft.take_summary(draft.take_properties(text.partition("\n")[2]), text)
    head, heading, sections = body.partition(_SECTION)
    head = _BLANK_LINES.sub("\n\n", head)  # Where comments were.
    text = skeleton(draft.values, f"{head}{heading}{sections}")
    return ImportedCard(text, tuple(draft.notes))


def _publisher(text: str) -> str:
    first = text.partition("\n")[0]
    title = _TITLE.fullmatch(first)
    if title is None:
        raise YamlError(1, "it does not begin with `# Module publisher/name/version`")
    if title[1] not in _KINDS:
        raise YamlError(1, f"it is about a {title[1]}, not about a module: {quoted(first)}")
    return title[2]


@dataclass
class _Draft:
    """A card that is being filled."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def tell(self, line: int, key: str, what: str) -> None:
        self.notes.append(": ".join(filter(None, (f"{self.name}:{line}", key, what))))

    def take(self, key: str, node: Node) -> None:
        """Takes what is right of a value over, and tells what is not."""
        value = KEYS[key].read(node, lambda line, what: self.tell(line, key, what))
        if value:
            self.values[key] = value

    def take_list(self, key: str, scalars: list[Scalar]) -> None:
        if scalars:
            self.take(key, Items(scalars[0].line, tuple(scalars)))

    def take_properties(self, rest: str) -> str:
        """Takes the comments with properties over, and returns the text without them."""
        found: dict[str, list[Scalar]] = {}
        kept, line = [], 2
        for is_comment, part in _comments(rest):
            known = _PROPERTY.fullmatch(part.strip()) if is_comment else None
            if known and self._is_known(known[1], line):
                found.setdefault(known[1], []).append(Scalar(line, " ".join(known[2].split())))
            else:
                kept.append(f"<!--{part}-->" if is_comment else part)
            line += part.count("\n")
        self._take(found)
        return "".join(kept)

    def _is_known(self, name: str, line: int) -> bool:
        if name in _DERIVED:
            self.tell(line, name, "is dropped: it is derived from the module")
        elif name not in (*_SAME, *_LINKS):
            self.tell(line, name, "is not taken over: a card has no such key; it stays a comment")
            return False
        return True

    def _take(self, found: dict[str, list[Scalar]]) -> None:
        for key in dict.fromkeys(_SAME.values()):
            names = [name for name, same in _SAME.items() if same == key]
            scalars = [s for name in names for given in found.get(name, ()) for s in _split(given)]
            if key == "license":
                self._take_license(scalars)
            else:
                # Old cards have a task under two names.
                once = {scalar.text: scalar for scalar in map(partial(_translated, key), scalars)}
                self.take_list(key, list(once.values()))
        links = [(Scalar(s.line, n), _first_url(s)) for n in _LINKS for s in found.get(n, ())[:1]]
        if links:
            self.take("links", Pairs(links[0][0].line, tuple(links)))

    def _take_license(self, scalars: list[Scalar]) -> None:
        if not scalars:
            return
        if scalars[0].text.lower() == "custom":
            self.values["license"] = OTHER_LICENSE
            self.tell(scalars[0].line, "license", "is custom: fill in its name and link")
        else:
            self.take("license", scalars[0])

    def take_summary(self, body: str, source: str) -> str:
        """Takes the first paragraph as the summary, and returns the rest; all where it is not one.

        Args:
          body: the text without properties.
          source: the text with them, to tell the line.
        """
        paragraph = next(_paragraphs(body), None)
        if paragraph is None:
            return body
        line = source[: source.find(paragraph.split("\n")[0])].count("\n") + 1
        text = _plain(paragraph)
        if len(text) > MAX_SUMMARY_CHARS:
            what = f"has {len(text)} characters: write one of at most {MAX_SUMMARY_CHARS}"
            self.tell(line, "summary", f"the first paragraph {what}")
        elif text:
            self.take("summary", Scalar(line, text))
        return body.replace(paragraph, "", 1) if "summary" in self.values else body


def _paragraphs(body: str) -> Iterator[str]:
    """The paragraphs before the first section that are neither comments nor badges."""
    for paragraph in body.partition(_SECTION)[0].split("\n\n"):
        text = paragraph.partition("<!--")[0].strip()
        if text and not text.startswith(("#", "[![")):
            yield text


def _comments(text: str) -> Iterator[tuple[bool, str]]:
    """The parts of a text before the first heading that are comments, and those that are not."""
    head, heading, tail = text.partition(_SECTION)
    while "<!--" in head:
        before, _, rest = head.partition("<!--")
        comment, end, head = rest.partition("-->")
        yield False, before
        if not end:
            yield False, f"<!--{comment}"
            break
        yield True, comment
    yield False, f"{head}{heading}{tail}"


def _split(scalar: Scalar) -> Iterator[Scalar]:
    """Values that are separated by commas, in one comment."""
    return (Scalar(scalar.line, part.strip()) for part in scalar.text.split(",") if part.strip())


def _translated(key: str, scalar: Scalar) -> Scalar:
    translate: Callable[[str], str | None] = {
        "task": lambda text: SAME_TASK.get(text, text),
        "language": lambda text: "mul" if text == "multilingual" else standard_language(text),
    }.get(key, lambda text: text)
    return Scalar(scalar.line, translate(scalar.text) or scalar.text)


def _first_url(scalar: Scalar) -> Scalar:
    url = _URL.search(scalar.text)
    return Scalar(scalar.line, url[0] if url else scalar.text)


def _plain(markdown: str) -> str:
    """A paragraph without links, emphasis and line breaks."""
    return " ".join(_MARKS.sub("", _LINK.sub(r"\1", markdown)).split())
