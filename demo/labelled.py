"""The part of the corpus that has a label worth learning: the packages with the most texts."""

import random
from collections import Counter
from collections.abc import Sequence

from demo.corpus import Document

PACKAGES = 20


def labelled(documents: Sequence[Document], packages: int = PACKAGES) -> list[Document]:
    """The documents of the packages with the most texts; of equally many, the first by name."""
    counts = Counter(document.package for document in documents)
    largest = sorted(counts, key=lambda name: (-counts[name], name))[:packages]
    return [document for document in documents if document.package in largest]


def split(
    documents: Sequence[Document], seed: int, held_out: float = 0.25
) -> tuple[list[Document], list[Document]]:
    """Training and held-out documents, shuffled by the seed."""
    shuffled = list(documents)
    random.Random(seed).shuffle(shuffled)
    at = int(len(shuffled) * held_out)
    return shuffled[at:], shuffled[:at]
