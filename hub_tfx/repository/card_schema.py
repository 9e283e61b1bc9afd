"""What each key of a card takes, and whether a value is right.

A reader takes the node of a key's value and gives what the card holds; it tells what is wrong by
line, and goes on, so that a person sees all errors of a card at once.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from hub_tfx._text import hint, nearest, quoted
from hub_tfx._yaml import Items, Node, Pairs, Scalar
from hub_tfx.repository.vocabulary import SAME_TASK, TASKS, allowed_tasks

MAX_SUMMARY_CHARS = 300
_MAX_CHARS = 300
_MAX_URL_CHARS = 2000
_MAX_ITEMS = 100
OTHER_LICENSE = "other"

# Control and format characters; overrides of the writing direction make a text look like another.
_UNSEEN = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"  # Persian, Hindi and emoji are written with them.
_MARKUP = re.compile(r"<[A-Za-z/!]|\]\(|`|\*\*|^#")
_OPERATOR = re.compile(r"\b(?:and|or|with)\b|[()+]", re.IGNORECASE)
_FILLERS = ("license", "licence", "the", "version")

Tell = Callable[[int, str], None]
"""Takes a line and what is wrong there."""


@dataclass(frozen=True)
class Key:
    """A key of the front matter.

    Attributes:
      takes: its values in words, for errors and for the skeleton of a card.
      read: gives the value as the card holds it.
      is_required: whether no card is without it.
    """

    takes: str
    read: Callable[[Node, Tell], Any]
    is_required: bool = False


# --- Texts and lists of them ----------------------------------------------------------------------


def _text(node: Node, tell: Tell, takes: str, max_chars: int = _MAX_CHARS) -> str:
    """A text of one line; empty where something is wrong, which is told."""
    if not isinstance(node, Scalar):
        shape = "a list" if isinstance(node, Items) else "a mapping"
        return _told(tell, node, f"takes {takes}, not {shape}")
    text = node.text.strip()
    if not text:
        return _told(tell, node, f"is empty; it takes {takes}")
    if not node.is_text:
        return _told(tell, node, f"{text[:40]} is not a text to YAML: put it in quotes")
    if len(text) > max_chars:
        return _told(tell, node, f"has {len(text)} characters; it takes at most {max_chars}")
    if "\n" in text:
        return _told(tell, node, "holds a line break; write it as one paragraph, with `>-`")
    if any(unicodedata.category(c) in _UNSEEN and c not in _JOINERS for c in text):
        return _told(tell, node, f"holds characters that cannot be seen: {ascii(text)[:80]}")
    return text


def _told(tell: Tell, node: Node, why: str) -> str:
    tell(node.line, why)
    return ""


def _list(
    node: Node, tell: Tell, takes: str, check: Callable[[str, Node, Tell], str] | None = None
) -> tuple[str, ...]:
    """One text or a list of texts, in order and each once."""
    if isinstance(node, Pairs):
        tell(node.line, f"takes {takes}, not a mapping")
        return ()
    nodes = node.items if isinstance(node, Items) else (node,)
    if len(nodes) > _MAX_ITEMS:
        tell(node.line, f"has {len(nodes)} values; it takes at most {_MAX_ITEMS}")
        return ()
    if not nodes:
        tell(node.line, f"is empty; it takes {takes}")
    found: list[str] = []
    for item in nodes:
        text = _text(item, tell, takes)
        text = check(text, item, tell) if text and check else text
        if text in found:
            tell(item.line, f"names {quoted(text)} twice")
        elif text:
            found.append(text)
    return tuple(found)


def _texts(takes: str) -> Callable[[Node, Tell], tuple[str, ...]]:
    return lambda node, tell: _list(node, tell, takes)


def _owners(node: Node, tell: Tell) -> tuple[str, ...]:
    takes = "a list of names, such as `[Jane Doe, Search Team]`"
    if isinstance(node, Scalar) and node.text.strip():
        tell(node.line, f"takes {takes}, not one text: write `[{node.text.strip()[:60]}]`")
        return ()
    return _list(node, tell, takes)


def _summary(node: Node, tell: Tell) -> str:
    text = _text(node, tell, _SUMMARY, MAX_SUMMARY_CHARS)
    if markup := _MARKUP.search(text):
        return _told(tell, node, f"holds {markup[0]!r}, which is markup; it takes {_SUMMARY}")
    return text


# --- Tasks, languages, licenses, links ------------------------------------------------------------


def _tasks(node: Node, tell: Tell) -> tuple[str, ...]:
    return _list(node, tell, _TASK, _task)


def _task(text: str, node: Node, tell: Tell) -> str:
    if text in TASKS:
        return text
    near = SAME_TASK.get(text) or nearest(text, TASKS)
    allowed = ", ".join(allowed_tasks(text))
    return _told(tell, node, f"{quoted(text)} is not a task; allowed are {allowed}{hint(near)}")


def _languages(node: Node, tell: Tell) -> tuple[str, ...]:
    return _list(node, tell, _LANGUAGE, _language)


def _language(text: str, node: Node, tell: Tell) -> str:
    standard = standard_language(text)
    if standard is not None and standard.lower() == text.lower():
        return standard
    near = standard or nearest(text, _LANGUAGES, _LANGUAGES.__getitem__)
    why = f"{quoted(text)} is not a language tag of BCP-47 such as en, de or zh-Hant{hint(near)}"
    return _told(tell, node, why)


def standard_language(text: str) -> str | None:
    """The BCP-47 tag that a text means, in its usual form; None where it is not one."""
    import langcodes

    try:
        if langcodes.tag_is_valid(text):
            return str(langcodes.standardize_tag(text))
    except (ValueError, LookupError):  # LanguageTagError is a ValueError.
        pass
    return None


def _license(node: Node, tell: Tell) -> str:
    text = _text(node, tell, _LICENSE)
    if not text or text == OTHER_LICENSE:
        return text
    normal, unknown = spdx(text)
    if normal:
        return normal
    if not _OPERATOR.search(text):  # Of `MIT License` only the second word is unknown.
        unknown = text
    near = nearest_license(unknown or text)
    what = f"{quoted(unknown)} is not an SPDX license" if unknown else "is not an SPDX expression"
    return _told(tell, node, f"{what}; it takes {_LICENSE}{hint(near)}")


def spdx(text: str) -> tuple[str, str]:
    """The normal form of an SPDX expression, or empty and what in it is not a license."""
    from license_expression import ExpressionError, ExpressionParseError, ParseError

    licensing = _licensing()
    try:  # Not by validate(), which fails with an AttributeError for some expressions.
        parsed = licensing.parse(text, strict=True)
    except (ExpressionError, ExpressionParseError, ParseError):
        return "", ""
    except (AssertionError, IndexError):  # Of its parser, for `()` and `( OR :`.
        return "", ""
    if parsed is None:
        return "", ""
    if unknown := licensing.unknown_license_keys(parsed):
        return "", str(unknown[0])
    return str(parsed.render("{symbol.key}")), ""


def nearest_license(text: str) -> str:
    """The SPDX license whose identifier is most like a text: `Apache 2.0` is near Apache-2.0."""
    by_lower = {symbol.lower(): symbol for symbol in _licensing().known_symbols}
    words = re.split(r"[\s_-]+", text.lower())
    near = nearest("-".join(w for w in words if w not in _FILLERS), by_lower)
    return str(by_lower.get(near, ""))


@cache
def _licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def _links(node: Node, tell: Tell) -> dict[str, str]:
    if not isinstance(node, Pairs):
        tell(node.line, f"takes {_LINKS}")
        return {}
    if len(node.pairs) > _MAX_ITEMS:
        tell(node.line, f"has {len(node.pairs)} links; it takes at most {_MAX_ITEMS}")
        return {}
    found: dict[str, str] = {}
    for key, value in node.pairs:
        name, url = _text(key, tell, "a name for the link"), _url(value, tell)
        if name in found:
            tell(key.line, f"names {quoted(name)} twice")
        elif name and url:
            found[name] = url
    return found


def _url(node: Node, tell: Tell) -> str:
    text = _text(node, tell, "a URL that starts with https://", _MAX_URL_CHARS)
    if text and (why := wrong_url(text)):
        tell(node.line, why)
        return ""
    return text


def wrong_url(text: str) -> str:
    """What is wrong with a link, or nothing. A URL with a password is not quoted."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  (raises ValueError for a port that is not a number)
    except ValueError:
        return "is not a valid URL: check its host and port"
    if "@" in parts.netloc or "@" in text.rpartition("://")[2].partition("/")[0]:
        return "holds a user name or password: remove what is before the @"
    if parts.scheme != "https" or not parts.hostname:
        return f"{quoted(text)} is not a URL that starts with https://, which is all that is taken"
    if not text.isascii() or any(c in " <>\"'\\^`{|}" for c in text):
        return f"{quoted(text)} holds a character that no URL may hold: percent-encode it"
    return ""


# --- Keys -----------------------------------------------------------------------------------------

_SUMMARY = f"plain text of at most {MAX_SUMMARY_CHARS} characters"
_TASK = "one of the tasks or a list of them, such as text-embedding"
_LICENSE = "an SPDX expression, such as Apache-2.0 or `MIT OR Apache-2.0`, or `other`"
_LANGUAGE = "a BCP-47 tag or a list of them, such as `[en, zh-Hant]`"
_LINKS = "names with URLs of https, such as `paper: https://example.org/paper`"
_LICENSE_NAME = "the name of the license"

KEYS: Mapping[str, Key] = {
    "summary": Key(_SUMMARY, _summary, is_required=True),
    "task": Key(_TASK, _tasks, is_required=True),
    "license": Key(_LICENSE, _license, is_required=True),
    "license_name": Key(_LICENSE_NAME, lambda node, tell: _text(node, tell, _LICENSE_NAME)),
    "license_link": Key("a URL of https", _url),
    "owners": Key("a list of names", _owners, is_required=True),
    "language": Key(_LANGUAGE, _languages),
    "datasets": Key("a name or a list of names", _texts("a name or a list of names")),
    "architecture": Key("a name or a list of names", _texts("a name or a list of names")),
    "links": Key(_LINKS, _links),
    "collections": Key("a name or a list of names", _texts("a name or a list of names")),
}

DERIVED = frozenset(
    {
        "base_model",
        "blessing",
        "code_version",
        "digest",
        "embedding_dim",
        "files",
        "fine-tunable",
        "fine_tunable",
        "format",
        "handle",
        "metrics",
        "model-index",
        "model_index",
        "parent",
        "run",
        "sha256",
        "signatures",
        "size",
        "size_bytes",
        "spans",
        "variants",
        "version",
    }
)
"""Keys that nobody types: their values are read from the module and from what made it."""

_MEANT = {
    "author": "owners",
    "authors": "owners",
    "description": "summary",
    "network-architecture": "architecture",
    "pipeline_tag": "task",
    "module-type": "task",
}
"""What other cards call a key of ours."""

_LANGUAGES = {
    "arabic": "ar",
    "chinese": "zh",
    "dutch": "nl",
    "english": "en",
    "french": "fr",
    "german": "de",
    "hindi": "hi",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "multilingual": "mul",
    "norwegian": "nb",
    "polish": "pl",
    "portuguese": "pt",
    "russian": "ru",
    "spanish": "es",
    "turkish": "tr",
}
"""Names that people write in the place of a tag."""


def nearest_key(text: str) -> str:
    """The key that an unknown one is likely meant to be, or nothing."""
    return _MEANT.get(text.lower()) or nearest(text.lower(), KEYS)
