"""Nearest texts by cosine, exactly, and how they are shown."""

import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from rich.text import Text

from demo.corpus import Document

QUERIES = (
    "send mail to an smtp server",
    "wait for a child process to finish",
    "compute the mean and standard deviation of data",
)
"""What the demo asks. No text of the corpus says it in these words, and each is about something
else, so that a person sees at once whether the answers make sense."""

_BLOCK_ROWS = 1024  # Of queries: [1024, 8000] float32 cosines are 32 MB.
_NAME_COLUMNS = 42
_PIPE_COLUMNS = 120  # rich takes a pipe to be 80 wide, which leaves the texts no room.

Indices = npt.NDArray[np.int64]
Cosines = npt.NDArray[np.float32]


def nearest(
    query_vectors: npt.ArrayLike, vectors: npt.ArrayLike, k: int
) -> tuple[Indices, Cosines]:
    """The rows of ``vectors`` with the largest cosines, largest first; equal ones by their order.

    Args:
      query_vectors: ``[queries, dim]``.
      vectors: ``[rows, dim]``. A zero vector has cosine 0 with everything.
      k: how many; fewer where there are fewer rows.

    Returns:
      Rows ``[queries, k] int64`` and cosines ``[queries, k] float32``.
    """
    queries, rows = _unit(query_vectors), _unit(vectors)
    k = min(k, len(rows))
    blocks = [_best(block @ rows.T, k) for block in _blocks(queries)]
    return np.concatenate([i for i, _ in blocks]), np.concatenate([c for _, c in blocks])


def label_agreement(vectors: npt.ArrayLike, labels: Sequence[str]) -> float:
    """Share of rows whose nearest other row has the same label: 1 is perfect."""
    indices, _ = nearest(vectors, vectors, 2)
    itself = np.arange(len(indices))
    # Of two rows with one direction, either may come first: take the one that is another row.
    other = np.where(indices[:, 0] == itself, indices[:, 1], indices[:, 0])
    names = np.asarray(labels)
    return float(np.mean(names[other] == names))


def chance_agreement(labels: Sequence[str]) -> float:
    """What ``label_agreement`` comes to when the nearest is any other row."""
    n = len(labels)
    return sum(count * (count - 1) for count in Counter(labels).values()) / (n * (n - 1))


def answer_table(
    query: str, documents: Sequence[Document], indices: Sequence[int], cosines: Sequence[float]
) -> Table:
    """The texts nearest to one query, nearest first: cosine, package, name and first line."""
    # Plain Text throughout: rich would take the brackets of a docstring for its markup.
    table = Table(title=Text(f"“{query}”"), title_justify="left", box=None, title_style="bold")
    table.add_column("cosine", justify="right", no_wrap=True)
    table.add_column("package", no_wrap=True)
    table.add_column("name", no_wrap=True, max_width=_NAME_COLUMNS)
    table.add_column("text")  # The one that may wrap is the one that rich makes narrower.
    for index, cosine in zip(indices, cosines, strict=True):
        document = documents[index]
        cells = (f"{cosine:.2f}", document.package, document.name)
        table.add_row(*map(Text, cells), _one_line(document.first_line))
    return table


def print_answers(
    queries: Sequence[str],
    documents: Sequence[Document],
    indices: Indices,
    cosines: Cosines,
    console: Console | None = None,
) -> None:
    """One table a query, from what ``nearest`` returned for the vectors of the documents."""
    console = console or Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
    for query, rows, values in zip(queries, indices, cosines, strict=True):
        console.print()
        console.print(answer_table(query, documents, rows, values))


def _one_line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def _unit(vectors: npt.ArrayLike) -> Cosines:
    vectors = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _blocks(queries: Cosines) -> list[Cosines]:
    return np.split(queries, range(_BLOCK_ROWS, len(queries), _BLOCK_ROWS))


def _best(cosines: Cosines, k: int) -> tuple[Indices, Cosines]:
    """The k largest of each row, sorted. Sorting k after selecting k costs n, not n log n."""
    selected = np.sort(np.argpartition(-cosines, k - 1, axis=1)[:, :k], axis=1)
    values = np.take_along_axis(cosines, selected, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(selected, order, axis=1), np.take_along_axis(values, order, axis=1)
