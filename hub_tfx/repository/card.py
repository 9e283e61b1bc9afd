"""The card of a module: what a person writes about it, checked before anything is published.

    ---
    summary: Word vectors of English news, mean over the words of a text.
    task: text-embedding
    license: Apache-2.0
    owners: [Search Team]
    language: en
    ---
    ## Training data

    Headlines of ten years.

A card is a ``README.md`` as Hugging Face's tools read it, too. What can be derived from the module
is not typed there: see ``facts``. A card has a digest of its own, and is corrected without touching
the module.

    card = read_card("README.md")      # CardError tells every error with file, line and key
    card.summary, card.task, card.sha256
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hub_tfx._files import open_regular, why
from hub_tfx._text import quoted
from hub_tfx._yaml import Node, Pairs, Scalar, YamlError
from hub_tfx.errors import CardError
from hub_tfx.repository.card_schema import DERIVED, KEYS, OTHER_LICENSE, nearest_key
from hub_tfx.repository.card_yaml import (
    MAX_CARD_BYTES,
    decode_card,
    read_front_matter,
    split_front_matter,
)
from hub_tfx.repository.vocabulary import is_of_text

_MAX_PROBLEMS = 50


@dataclass(frozen=True)
class Card:
    """What the author of a module says about it; the attributes are the keys of the front matter.

    Attributes:
      summary: plain text of at most 300 characters.
      task: what it is for, names of ``vocabulary.TASKS``; at least one.
      license: SPDX expression in its normal form, or ``other``.
      owners: who answers for it; at least one.
      license_name: name of a license that is ``other``, otherwise None.
      license_link: its text, a URL of https.
      language: BCP-47 tags; at least one where a task is about text.
      datasets: what it was trained on.
      architecture: names of network architectures.
      links: name -> URL of https.
      collections: what it belongs to.
      body: Markdown; it may hold any HTML, and is not safe to show in a browser as it is.
      source: the bytes of the card; two cards that say the same are equal all the same.
      path: path of the file that it was read from; None where it was not.
    """

    summary: str
    task: tuple[str, ...]
    license: str
    owners: tuple[str, ...]
    license_name: str | None = None
    license_link: str | None = None
    language: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    architecture: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    collections: tuple[str, ...] = ()
    body: str = ""
    source: bytes = field(default=b"", repr=False, compare=False)
    path: str | None = field(default=None, repr=False, compare=False)

    @property
    def sha256(self) -> str:
        """SHA-256 of the card's bytes, in hex."""
        return hashlib.sha256(self.source).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The keys that have a value, for JSON; without the body."""
        values = {name: getattr(self, name) for name in KEYS}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value
        }


@dataclass(frozen=True)
class _Problem:
    line: int | None
    key: str | None
    what: str

    def in_words(self, name: str) -> str:
        """``file:line: key: what``, as compilers write it, so that editors find the place."""
        where = name if self.line is None else f"{name}:{self.line}"
        return ": ".join(filter(None, (where, self.key, self.what)))


class _ProblemsError(Exception):
    """Why there is no card; ``parse_card`` adds the name of the file."""

    def __init__(self, *problems: _Problem):
        super().__init__()
        self.problems = problems


def read_card(path: str | os.PathLike[str]) -> Card:
    """Reads and checks the card in a file of at most 64 KiB.

    Raises:
      CardError: the file cannot be read, or the card has errors; all of them are told.
    """
    return replace(parse_card(read_source(path), os.fspath(path)), path=os.fspath(path))


def read_source(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file that is to be a card, at most one more than a card may have.

    Raises:
      CardError: the file cannot be read.
    """
    try:
        with open_regular(path) as file:
            return file.read(MAX_CARD_BYTES + 1)
    except OSError as error:
        raise CardError((f"{os.fspath(path)}: cannot be read: {why(error)}",)) from error


def parse_card(source: bytes | str, name: str = "card") -> Card:
    """The card of its bytes, which are UTF-8, or its text.

    Args:
      source: the whole card.
      name: name of the file for errors.

    Raises:
      CardError: the card has errors; its ``problems`` are all of them, by line.
    """
    content = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    try:
        return _card(content)
    except _ProblemsError as error:
        problems = sorted(error.problems, key=lambda problem: problem.line or 0)
        raise CardError(tuple(problem.in_words(name) for problem in problems)) from None


def _card(source: bytes) -> Card:
    try:
        yaml, body = split_front_matter(decode_card(source))
        root = read_front_matter(yaml)
    except YamlError as error:
        raise _ProblemsError(_Problem(error.line, None, str(error))) from None
    values, problems = _read_keys(root)
    problems += [*_missing(root, values)]
    if problems:
        raise _ProblemsError(*problems)
    return Card(**values, body=body.strip("\n"), source=source)


def _read_keys(root: Pairs) -> tuple[dict[str, Any], list[_Problem]]:
    """Key -> value, and what is wrong; a key with an error is there all the same."""
    values: dict[str, Any] = {}
    problems: list[_Problem] = []
    seen: dict[str, int] = {}
    for key, node in root.pairs:
        if len(problems) >= _MAX_PROBLEMS:
            problems.append(_Problem(key.line, None, "there are too many errors to tell the rest"))
            break
        name = key.text
        if name in seen:
            what = f"is there twice, first on line {seen[name]}: remove one of them"
            problems.append(_Problem(key.line, _shown(name), what))
        elif name in KEYS:
            values[name], found = _read_value(name, _at(node, key.line))
            problems += found
        else:
            problems.append(_Problem(key.line, _shown(name), _unknown(name)))
        seen.setdefault(name, key.line)
    return values, problems


def _read_value(name: str, node: Node) -> tuple[Any, list[_Problem]]:
    problems: list[_Problem] = []

    def tell(line: int, what: str) -> None:
        problems.append(_Problem(line, name, what))

    return KEYS[name].read(node, tell), problems


def _at(node: Node, line: int) -> Node:
    """A value of nothing has the line of what comes next; it gets that of its key."""
    return Scalar(line, node.text, node.is_text) if isinstance(node, Scalar) else node


def _shown(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name) else quoted(name)


def _unknown(name: str) -> str:
    if name in DERIVED:
        return "is derived, remove it: it is read from the module, its training and evaluation"
    near = nearest_key(name)
    hint = f"; nearest: {near}" if near else ""
    return f"is not a key of a card; allowed are {', '.join(KEYS)}{hint}"


def _missing(root: Pairs, values: Mapping[str, Any]) -> Iterator[_Problem]:
    """What one key asks of another. The line of a missing key is that of the first ``---``."""
    lines = {key.text: key.line for key, _ in root.pairs}
    for name, key in KEYS.items():
        if key.is_required and name not in values:
            yield _Problem(1, name, f"is missing; it takes {key.takes}")
    text = next(filter(is_of_text, values.get("task", ())), None)
    if text and "language" not in values:
        takes = KEYS["language"].takes
        yield _Problem(lines["task"], "language", f"is missing for {text}; it takes {takes}")
    for name in ("license_name", "license_link"):
        is_other = values.get("license") == OTHER_LICENSE
        if is_other and name not in values:
            what = f"is missing for `license: other`; it takes {KEYS[name].takes}"
            yield _Problem(lines["license"], name, what)
        if values.get("license") and not is_other and name in values:
            yield _Problem(lines[name], name, "goes with `license: other` only: remove it")
