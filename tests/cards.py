"""A card that passes, for tests that publish."""

from pathlib import Path

CARD = """---
summary: Vectors of words.
task: text-embedding
license: Apache-2.0
owners: [acme]
language: en
---
# Words
"""


def write_card(folder: Path) -> Path:
    path = folder / "card.md"
    path.write_text(CARD)
    return path
