"""docs/cards.md: its card is one, and its lists are those of the code."""

import re
from pathlib import Path

from hub_tfx.repository.card import parse_card
from hub_tfx.repository.card_schema import KEYS
from hub_tfx.repository.facts import ModuleFacts
from hub_tfx.repository.vocabulary import TASKS

PAGE = (Path(__file__).parents[2] / "docs" / "cards.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_column(text: str) -> list[str]:
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def test_the_card_of_the_page_is_a_card() -> None:
    [source] = re.findall(r"```markdown\n(.*?)```", PAGE, re.DOTALL)
    assert parse_card(source).owners == ("Search Team",)


def test_the_page_lists_the_keys_and_the_tasks() -> None:
    keys = PAGE.partition("\n## A card\n")[2].partition("\n## Commands")[0]
    assert first_column(keys) == [*KEYS]
    listed = re.findall(r"`((?:image|text|audio|video)-[a-z-]+)`", keys.partition("tasks are")[2])
    assert tuple(listed) == TASKS


def test_the_page_lists_the_keys_of_module_json() -> None:
    assert {*first_column(section("module.json"))} >= {*ModuleFacts.__dataclass_fields__}
