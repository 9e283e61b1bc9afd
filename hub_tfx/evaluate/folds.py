"""Folds for cross-validation: each class in as many as it can be, equal rows in one."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def deal_folds(classes: Array, same: Array, folds: int, seed: int) -> Array:
    """``[n]`` int64: the fold of each row.

    Rows are shuffled and dealt out class by class, like cards, so that a class of two rows or more
    is in two folds or more, and folds differ by one row of a class at most. Rows that are the same
    go to one fold, under the class of the first of them: nothing is measured on what it was
    learned from.

    Args:
      classes: ``[n]`` int64 class of each row.
      same: ``[n]`` int64, equal for rows that are the same, from 0.
      folds: number of folds.
      seed: seed of the shuffle.
    """
    _, first, of_row = np.unique(same, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.argsort(classes[first][order], kind="stable")]
    fold_of = np.empty(len(first), np.int64)
    fold_of[order] = np.arange(len(first)) % folds
    return fold_of[of_row]
