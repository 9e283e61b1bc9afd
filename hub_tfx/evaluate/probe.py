"""What can be told of the label from a vector: a linear probe and k nearest neighbours."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np

from hub_tfx.evaluate.neighbours import nearest

Array = np.ndarray[Any, Any]
Predict = Callable[[Array, Array, Array], Array]
"""Vectors ``[m, dim]`` to learn from, their classes ``[m]``, vectors ``[q, dim]`` -> classes."""

_STRENGTH = 0.1
"""Of the data against the L2 penalty, scikit-learn's C: few rows with long vectors overfit at 1."""
_ITERATIONS = 200
_TOLERANCE = 1e-3
_VOTES_NUMBERS = 1 << 24


def cross_validate(vectors: Array, classes: Array, folds: Array, predict: Predict) -> Array:
    """``[n]`` int64: the class of each row as predicted from the rows of all other folds."""
    predicted = np.zeros(len(vectors), np.int64)
    for fold in np.unique(folds):
        held_out = folds == fold
        predicted[held_out] = predict(vectors[~held_out], classes[~held_out], vectors[held_out])
    return predicted


def linear_probe(kind: Literal["logistic", "ridge"]) -> Predict:
    """A linear classifier on standardised vectors; see https://arxiv.org/abs/1610.01644."""
    return partial(_predict_linear, kind)


def neighbours_vote(k: int) -> Predict:
    """The class of most of the ``k`` nearest vectors; of equal ones, that of the nearest vector.

    Vectors have length 1.
    """
    return partial(_vote, k)


def scaled(vectors: Array) -> Array:
    """Vectors whose largest number is 1, so that no square of a number is beyond float32."""
    largest = float(np.abs(vectors).max(initial=0))
    small: Array = vectors / np.float32(largest) if largest > 0 else vectors
    return small


def _predict_linear(kind: str, vectors: Array, classes: Array, held_out: Array) -> Array:
    if (classes == classes[0]).all():  # The rows held out hold all of the others.
        return np.full(len(held_out), classes[0])
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(vectors)
    classifier = (
        RidgeClassifier(alpha=1 / _STRENGTH)
        if kind == "ridge"
        else LogisticRegression(C=_STRENGTH, max_iter=_ITERATIONS, tol=_TOLERANCE)
    )
    with warnings.catch_warnings():
        # What is left after so many iterations moves hardly any prediction.
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(scaler.transform(vectors), classes)
    predicted: Array = classifier.predict(scaler.transform(held_out))
    return predicted


def _vote(k: int, vectors: Array, classes: Array, held_out: Array) -> Array:
    votes = classes[nearest(held_out, vectors, k)]
    number = int(classes.max()) + 1
    block = max(1, _VOTES_NUMBERS // number)
    blocks = [votes[start : start + block] for start in range(0, len(votes), block)]
    return np.concatenate([_most_frequent(block, number) for block in blocks])


def _most_frequent(votes: Array, number: int) -> Array:
    """``[q]``: the most frequent of each row of ``[q, k]``; of equal ones, the first."""
    row = np.arange(len(votes))[:, None]
    counts = np.bincount((votes + row * number).ravel(), minlength=len(votes) * number)
    first = counts[votes + row * number].argmax(axis=1)
    winner: Array = votes[row[:, 0], first]
    return winner
