"""How much of the baseline's space the candidate keeps: neighbours, and cosines of old and new."""

from typing import Any

import numpy as np

from hub_tfx.evaluate.names import COSINE, overlap
from hub_tfx.evaluate.scores import RowValues, Scores

Array = np.ndarray[Any, Any]


def agreement_scores(vectors: tuple[Array, Array], nearest: tuple[Array, Array], k: int) -> Scores:
    """Neighbours that each row keeps, and the cosine of its two vectors if they can be compared.

    Args:
      vectors: ``[n, dim]`` and ``[n, other_dim]`` vectors of length 1, candidate and baseline.
      nearest: ``[n, k]`` each, nearest rows of each row.
      k: number of neighbours that were asked for.
    """
    values = {}
    new, old = nearest
    if new.shape[1]:
        values[overlap(k)] = RowValues(_overlaps(new, old), None)
    if vectors[0].shape[1] == vectors[1].shape[1]:
        cosines = np.einsum("ij,ij->i", *vectors, dtype=np.float64)
        values[COSINE] = RowValues(np.clip(cosines, -1, 1), None)
    return Scores(np.arange(len(new)), values)


def _overlaps(new: Array, old: Array) -> Array:
    """``[n]`` share of the neighbours that are the same."""
    # A neighbour of another row is another number: all rows are compared at one time.
    row = np.arange(len(new))[:, None] * len(new)
    shared: Array = np.isin(new + row, old + row).mean(axis=1)
    return shared
