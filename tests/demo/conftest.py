"""The documents and vectors of the demo, made once."""

import sys
from pathlib import Path

import pytest

# demo/ is not part of the wheel, so it is found only from the repository's root.
sys.path.insert(0, str(Path(__file__).parents[2]))

from demo.corpus import Document, read_docstrings
from demo.vectors import WordVectors, learn


@pytest.fixture(scope="session")
def documents() -> list[Document]:
    """The docstrings of this Python's standard library."""
    return read_docstrings()


@pytest.fixture(scope="session")
def words(documents: list[Document]) -> WordVectors:
    """The vectors that the demo learns, with all defaults."""
    return learn([document.text for document in documents])
