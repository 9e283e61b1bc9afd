"""Whether rows that belong together find each other: recall@k, mrr@k, nDCG@k."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hub_tfx.evaluate.names import mrr, ndcg, recall
from hub_tfx.evaluate.scores import RowValues, Scores, codes_of

Array = np.ndarray[Any, Any]

_SHUFFLES = 20


def retrieval_scores(
    groups: Sequence[Any] | Array, candidate: Array, baseline: Array | None, k: int, seed: int
) -> Scores:
    """Measures of every row that has another row of its group.

    Args:
      groups: ``[n]`` object; None belongs to no group.
      candidate, baseline: ``[n, k]`` nearest rows of each row.
      k: number of neighbours that were asked for.
      seed: seed of the shuffles that say what chance finds.
    """
    codes = group_codes(groups)
    sizes = np.bincount(codes[codes >= 0], minlength=1)
    rows = np.flatnonzero((codes >= 0) & (sizes[codes] > 1))
    others = sizes[codes[rows]] - 1
    names = (recall(k), mrr(k), ndcg(k))
    found = [
        None if nearest is None else _of_rows(_relevant(codes, nearest, rows), others, k)
        for nearest in (candidate, baseline)
    ]
    chances = _chances(codes, candidate, rows, others, k, seed)
    values = {}
    for number, name in enumerate(names):
        of = [None if values_of is None else values_of[number] for values_of in found]
        assert of[0] is not None
        values[name] = RowValues(of[0], of[1], chances[number])
    return Scores(rows, values)


def group_codes(groups: Sequence[Any] | Array) -> Array:
    """``[n]`` int64 number of each row's group, and -1 for rows without one."""
    groups = np.asarray(groups, object)
    has_one = np.array([group is not None for group in groups], bool)
    codes = np.full(len(groups), -1, np.int64)
    codes[has_one] = codes_of(groups[has_one])
    return codes


def _relevant(codes: Array, nearest: Array, rows: Array) -> Array:
    """``[m, k]`` bool: whether each neighbour is of the row's group."""
    relevant: Array = codes[nearest[rows]] == codes[rows, None]
    return relevant


def _of_rows(relevant: Array, others: Array, k: int) -> tuple[Array, Array, Array]:
    """``[m]`` each: recall, reciprocal rank and nDCG; see docs/evaluation.md for the formulas.

    Args:
      relevant: ``[m, k]`` bool, whether each neighbour is of the row's group.
      others: ``[m]`` number of other rows of the group.
      k: number of neighbours that were asked for.
    """
    best = np.minimum(others, k)
    gains = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(gains)[best - 1]
    found = relevant.any(axis=1)
    rank = np.where(found, relevant.argmax(axis=1) + 1, 1) if relevant.shape[1] else 1
    discounted = relevant @ gains[: relevant.shape[1]] / ideal
    return relevant.sum(axis=1) / best, found / rank, discounted


def _chances(
    codes: Array, nearest: Array, rows: Array, others: Array, k: int, seed: int
) -> tuple[float, ...]:
    """Mean of each measure where groups are dealt to the rows at random."""
    if not len(rows):
        return (0.0, 0.0, 0.0)
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(_SHUFFLES):
        shuffled = codes.copy()
        shuffled[rows] = rng.permutation(codes[rows])
        of = _of_rows(_relevant(shuffled, nearest, rows), _others(shuffled, rows), k)
        means.append([values.mean() for values in of])
    return tuple(np.mean(means, axis=0).tolist())


def _others(codes: Array, rows: Array) -> Array:
    others: Array = np.bincount(codes[rows])[codes[rows]] - 1
    return others
