"""Cards as text: from what they hold, as a skeleton to be filled in, and for Hugging Face."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hub_tfx._yaml import flow
from hub_tfx.repository.card import Card
from hub_tfx.repository.card_schema import KEYS
from hub_tfx.repository.facts import ModuleFacts, model_index
from hub_tfx.repository.vocabulary import TASKS, is_of_text

_PIPELINES = {
    "audio-event-classification": "audio-classification",
    "audio-speech-synthesis": "text-to-speech",
    "audio-stt": "automatic-speech-recognition",
    "image-classification": "image-classification",
    "image-depth-estimation": "depth-estimation",
    "image-feature-vector": "image-feature-extraction",
    "image-object-detection": "object-detection",
    "image-segmentation": "image-segmentation",
    "text-classification": "text-classification",
    "text-embedding": "feature-extraction",
    "text-generation": "text-generation",
    "text-question-answering": "question-answering",
    "video-classification": "video-classification",
}
"""Task -> what Hugging Face calls it, where it has the same."""

_BODY = """\
## Training data

## Intended use

## Limits
"""


def card_text(card: Card) -> str:
    """A card that says the same; ``parse_card(card_text(card)) == card``."""
    return _joined(_lines(card.to_dict()), card.body)


def render_card(card: Card, facts: ModuleFacts, name: str) -> str:
    """The ``README.md`` of a module for Hugging Face's Hub: the card with the metrics.

    Args:
      card: the card.
      facts: the facts of the same module.
      name: what the module is called there.
    """
    values = card.to_dict()
    if pipeline := next(filter(None, map(_PIPELINES.get, card.task)), None):
        values["pipeline_tag"] = pipeline
    if " " not in card.license:  # The Hub writes identifiers in lower case.
        values["license"] = card.license.lower()
    if index := model_index(name, card.task[0], facts.metrics):
        values["model-index"] = index
    return _joined(_lines(values), card.body)


def skeleton(values: Mapping[str, Any], body: str = _BODY, *, like: Iterable[str] = ()) -> str:
    """A card to be filled in: required keys without a value are empty, with what they take above.

    Args:
      values: key -> value of what is known.
      body: the Markdown.
      like: tasks that fit the signatures of the module.
    """
    return _joined(_skeleton_lines(values, tuple(like)), body)


def _skeleton_lines(values: Mapping[str, Any], like: tuple[str, ...]) -> Iterator[str]:
    for name, key in KEYS.items():
        if values.get(name):
            yield _line(name, values[name])
        elif key.is_required or name in _needed(values, like):
            yield from _comment(name, like)
            yield f"{name}:"
        elif not name.startswith("license_"):
            yield f"# {name}: {key.takes}"


def _needed(values: Mapping[str, Any], like: Iterable[str]) -> set[str]:
    """Keys that other values make required."""
    needed = set()
    if any(map(is_of_text, (*values.get("task", ()), *like))):
        needed.add("language")
    if values.get("license") == "other":
        needed |= {"license_name", "license_link"}
    return needed


def _comment(name: str, like: tuple[str, ...]) -> Iterator[str]:
    takes = KEYS[name].takes
    yield f"# {takes[0].upper()}{takes[1:]}."
    if name == "task":
        what = "Fitting its signatures" if like else "Allowed"
        tasks = f"{what}: {', '.join(like or TASKS)}."
        yield from (f"# {line}" for line in textwrap.wrap(tasks, 96, break_on_hyphens=False))


def _joined(lines: Iterable[str], body: str) -> str:
    text = "\n".join(("---", *lines, "---", ""))
    body = body.strip("\n")
    return f"{text}\n{body}\n" if body else text


def _lines(values: Mapping[str, Any]) -> Iterator[str]:
    return (_line(name, value) for name, value in values.items())


def _line(name: str, value: Any) -> str:
    return f"{name}: {flow(value)}"
