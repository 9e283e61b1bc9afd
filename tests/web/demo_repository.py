"""A repository as a team would have it, made in a second: for tests and pictures of pages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from published import module as tiny_module

from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.changes import correct_card, set_alias, set_yanked
from hub_tfx.repository.facts import (
    Blessing,
    Metric,
    ModuleFacts,
    Origin,
    module_facts,
)
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.publish import PublishedVersion, publish
from hub_tfx.repository.storage import Storage, open_storage

WHO = "ann@build-7"

BODY = """\
# About

Vectors of whole sentences, made for **search and clustering**. Each is the mean over its words,
so that the order of words does not count and a sentence of any length is one vector.

## Intended use

- Nearest neighbours among headlines and product titles
- Features of a small classifier, frozen or fine-tuned

> Vectors of two versions are not comparable with each other: embed the corpus again after an
> upgrade.

## How it was trained

| corpus | sentences | share |
|---|--:|--:|
| newswire, 2014 to 2024 | 41,300,000 | 71% |
| product titles | 12,800,000 | 22% |
| support tickets | 4,100,000 | 7% |

```python
vectors = model(["a cat sat on the mat"])   # float32 [1, 128]
```

## Limits

Words that are not in the vocabulary of 60,000 share 1,000 buckets. Negation is not seen: *good*
and *not good* are near. More is in the [paper](https://example.org/papers/headlines.pdf).
"""


@dataclass(frozen=True)
class Demo:
    """A module of the repository: its card in short, and its size."""

    name: str
    summary: str
    task: str
    language: str
    license: str
    dim: int
    versions: int = 1


MODULES = (
    Demo(
        "search/headlines",
        "Sentence vectors of English news headlines, for search and clustering.",
        "text-embedding",
        "en",
        "Apache-2.0",
        128,
        3,
    ),
    Demo(
        "search/headlines-de",
        "Sentence vectors of German news headlines.",
        "text-embedding",
        "de",
        "Apache-2.0",
        128,
        2,
    ),
    Demo(
        "search/titles-multilingual",
        "Product titles in seven languages in one space.",
        "text-embedding",
        "[en, de, fr, es, it, nl, pl]",
        "CC-BY-4.0",
        256,
    ),
    Demo(
        "search/queries",
        "Short queries of shoppers, next to the titles they buy.",
        "text-embedding",
        "en",
        "Apache-2.0",
        256,
    ),
    Demo(
        "vision/products",
        "Features of product photographs on a white background.",
        "image-feature-vector",
        "",
        "Apache-2.0",
        512,
        2,
    ),
    Demo(
        "vision/shelves",
        "Finds products on photographs of shelves.",
        "image-object-detection",
        "",
        "MIT",
        64,
    ),
    Demo(
        "vision/aesthetics",
        "How much people like a photograph, from 1 to 10.",
        "image-aesthetic-quality",
        "",
        "CC-BY-NC-4.0",
        10,
    ),
    Demo(
        "support/intent",
        "What a customer wants, of 42 intents.",
        "text-classification",
        "en",
        "Apache-2.0",
        42,
        2,
    ),
    Demo(
        "support/toxicity",
        "Whether a message insults somebody.",
        "text-classification",
        "[en, de]",
        "MIT",
        2,
    ),
    Demo(
        "voice/commands",
        "Thirty spoken commands, from one second of sound.",
        "audio-command-detection",
        "",
        "Apache-2.0",
        30,
    ),
    Demo(
        "voice/speakers",
        "Vectors of voices: the same speaker is near.",
        "audio-embedding",
        "",
        "CC-BY-4.0",
        192,
    ),
    Demo(
        "video/actions",
        "What people do in short clips of sports.",
        "video-classification",
        "",
        "Apache-2.0",
        101,
    ),
)


def make_demo(folder: Path, modules: Sequence[Demo] = MODULES) -> Storage:
    """Publishes modules into a repository in a folder; the first has all that one can have."""
    storage = open_storage(folder / "repository")
    made = {demo.name: list(_published(folder, storage, demo)) for demo in modules}
    first = made[modules[0].name]
    name = ModuleName.parse(modules[0].name)
    set_alias(storage, name, "stable", 2, "recall@10 up by 3 points", WHO)
    set_alias(storage, name, "canary", 3, "for a week of traffic", WHO)
    set_yanked(storage, name, 1, "trained on the test rows", who=WHO)
    corrected = _card(folder, modules[0], BODY.replace("4,100,000", "4,200,000"))
    correct_card(storage, name, first[-1].version, corrected, "a figure was wrong", WHO)
    return storage


def _published(folder: Path, storage: Storage, demo: Demo) -> Iterator[PublishedVersion]:
    parent: Origin | None = None
    for number in range(1, demo.versions + 1):
        path = folder / demo.name.replace("/", "-") / str(number)
        weights = f"{demo.name} {number} ".encode() * 4096 * number
        made = tiny_module(path, demo.dim, weights)
        facts = _facts(made, demo, number, parent)
        card = _card(folder, demo, BODY)
        published = publish(made, storage.url, demo.name, card=card, facts=facts, who=WHO)
        parent = Origin(made.digest, published.handle)
        yield published


def _facts(made: ResolvedModule, demo: Demo, number: int, parent: Origin | None) -> ModuleFacts:
    facts = replace(module_facts(made), fine_tunable=demo.license != "MIT")
    if demo.versions == 1:
        return facts
    return replace(
        facts,
        parent=parent,
        metrics=tuple(_metrics(number)),
        blessing=_blessing(number, parent),
        spans=tuple(range(1, number + 1)),
        run=f"retrain-2026-11-{10 + number}",
        code_version=f"9f2c1e{number}",
    )


def _metrics(number: int) -> Iterator[Metric]:
    for name, value in (("recall@10", 0.71), ("probe_accuracy", 0.834), ("mrr", 0.522)):
        now, before = value + 0.02 * number, value + 0.02 * (number - 1) if number > 1 else None
        yield Metric(name, now, "evaluation", 4_812, (now - 0.013, now + 0.014), before)
        for of, n in (
            ("section=sports", 1_204),
            ("section=politics", 1_310),
            ("section=culture", 988),
        ):
            worse = now - 0.05 * (of == "section=culture")
            yield Metric(name, worse, "evaluation", n, (worse - 0.03, worse + 0.03), before, of)


def _blessing(number: int, parent: Origin | None) -> Blessing:
    if number == 1:
        return Blessing(False, ("recall@10 0.73 is below the threshold of 0.74",))
    return Blessing(True, ("recall@10 is better by 0.02 (95%: 0.009 to 0.031)",), parent)


def _card(folder: Path, demo: Demo, body: str) -> Path:
    lines = [
        f'summary: "{demo.summary}"',
        f"task: {demo.task}",
        f"license: {demo.license}",
        f"owners: [{demo.name.partition('/')[0].title()} Team]",
        *([f"language: {demo.language}"] if demo.language else []),
        "datasets: [newswire, product titles]",
        "links: {paper: 'https://example.org/papers/headlines.pdf', code: 'https://example.org/code'}",
    ]
    path = folder / "card.md"
    path.write_text("\n".join(("---", *lines, "---", body)))
    return path
