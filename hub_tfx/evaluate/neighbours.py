"""Exact nearest neighbours by cosine, a block of queries at a time."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_BLOCK_NUMBERS = 1 << 24
"""Cosines that are held at one time: 64 MiB."""


def nearest(queries: Array, corpus: Array, k: int, own: Array | None = None) -> Array:
    """The rows of a corpus that are nearest to each query, nearest first.

    Of rows that are equally near, the one with the lower index comes first.

    Args:
      queries: ``[q, dim]`` float32 vectors of length 1.
      corpus: ``[n, dim]`` float32 vectors of length 1.
      k: number of neighbours; fewer are given where the corpus has fewer.
      own: ``[q]`` index of each query in the corpus, which is not its own neighbour; None where
        queries are not in the corpus.

    Returns:
      ``[q, k]`` int64 indices of the corpus.
    """
    k = min(k, len(corpus) - (own is not None))
    found = np.zeros((len(queries), max(k, 0)), np.int64)
    if k <= 0:
        return found
    block = max(1, _BLOCK_NUMBERS // len(corpus))
    for start in range(0, len(queries), block):
        cosines = queries[start : start + block] @ corpus.T
        if own is not None:
            cosines[np.arange(len(cosines)), own[start : start + block]] = -np.inf
        found[start : start + block] = _largest(cosines, k)
    return found


def _largest(cosines: Array, k: int) -> Array:
    """``[q, k]`` columns of the largest numbers in each row."""
    columns = np.argpartition(cosines, cosines.shape[1] - k, axis=1)[:, -k:]
    least = np.take_along_axis(cosines, columns, axis=1).min(axis=1, keepdims=True)
    # A partition takes any of the columns that are equal at its border.
    for row in np.flatnonzero((cosines >= least).sum(axis=1) > k):
        tied = np.flatnonzero(cosines[row] >= least[row])
        columns[row] = tied[np.argsort(-cosines[row, tied], kind="stable")[:k]]
    columns.sort(axis=1)
    order = np.argsort(-np.take_along_axis(cosines, columns, axis=1), axis=1, kind="stable")
    largest: Array = np.take_along_axis(columns, order, axis=1)
    return largest
