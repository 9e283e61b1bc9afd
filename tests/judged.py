"""Modules of which one is better than the other, and labelled rows that show it."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hub_tfx.module.create import text_embedding_module
from hub_tfx.module.spec import ModuleFormat

TOPICS = ("no", "yes")
LANGS = ("de", "en", "fr")
WORDS = [f"w{n}" for n in range(40)]


def make_modules(folder: Path) -> dict[str, Path]:
    """``better`` (TF1 hub, 4 dimensions) tells the topic of each word, ``worse`` (SavedModel, 3) of
    few."""
    rng = np.random.default_rng(0)
    told = np.array([(word % 2) * 2.0 - 1 for word in range(len(WORDS))])
    noise = rng.normal(size=(len(WORDS), 4))
    better = noise * [0.3, 1, 1, 1] + np.outer(told, [1, 0, 0, 0])
    modules: dict[str, tuple[Any, ModuleFormat]] = {
        "better": (better, "tf1_hub"),
        "worse": (noise[:, 1:], "saved_model"),
    }
    return {
        name: text_embedding_module(WORDS, vectors, folder / name, format=module_format).path
        for name, (vectors, module_format) in modules.items()
    }


def labelled_rows(rows: int) -> list[dict[str, Any]]:
    """Texts of three words of one topic, no two alike; two rows to a pair."""
    rng = np.random.default_rng(1)
    made = []
    for row in range(rows):
        words = rng.choice(WORDS[row % 2 :: 2], 3)
        made.append(
            {
                "text": f"{' '.join(words)} x{row}",
                "topic": TOPICS[row % 2],
                "lang": LANGS[row % 3],
                "pair": row // 4 * 2 + row % 2,
            }
        )
    return made


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
