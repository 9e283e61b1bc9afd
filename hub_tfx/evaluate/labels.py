"""Whether the label of a row can be told from its vector: accuracy on rows that are held out."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hub_tfx._text import quoted
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.folds import deal_folds
from hub_tfx.evaluate.names import KNN, PROBE
from hub_tfx.evaluate.probe import Predict, cross_validate, linear_probe, neighbours_vote, scaled
from hub_tfx.evaluate.scores import RowValues, Scores, codes_of

Array = np.ndarray[Any, Any]


def rows_to_classify(labels: Array, same: Array) -> tuple[Array, str]:
    """``[m]`` indices of the rows whose label can be predicted from other rows, or why there are
    none.

    Those are rows of classes that have two rows or more, where there are two such classes or more.

    Args:
      labels: ``[n]`` object; None is no label.
      same: ``[n]`` int64, equal for rows that are the same: these count once.
    """
    rows = np.flatnonzero([label is not None for label in labels])
    none = rows[:0]
    if not len(rows):
        return none, "no row has a label"
    classes = codes_of(labels[rows])
    if classes.max() == 0:
        only = quoted(labels[rows[0]])
        return none, f"all {len(rows):,} rows with a label are of one class, {only}"
    different = np.unique(np.stack([classes, same[rows]]), axis=1)
    sizes = np.bincount(different[0])
    if (sizes > 1).sum() < 2:
        return none, (
            f"of {len(sizes):,} classes, {(sizes == 1).sum():,} have a single row: a label can be "
            "predicted only from other rows of its class, and it takes two classes"
        )
    return rows[sizes[classes] > 1], ""


def label_scores(
    rows: Array,
    labels: Array,
    same: Array,
    vectors: Mapping[str, Array],
    unit: Mapping[str, Array],
    config: EvaluateConfig,
) -> Scores:
    """Accuracy of a linear probe and of a vote of neighbours, both modules on the same folds.

    Args:
      rows: indices of the rows to classify.
      labels, same: of all rows; see rows_to_classify.
      vectors: ``candidate`` and, if there is one, ``baseline`` -> ``[n, dim]`` vectors.
      unit: the same, of length 1.
      config: folds, neighbours, probe and seed.
    """
    classes = codes_of(labels[rows])
    _, first = np.unique(classes, return_index=True)
    names = labels[rows][first]
    folds = deal_folds(classes, codes_of(same[rows].tolist()), config.folds, config.seed)
    chance = float(np.bincount(classes).max() / len(classes))
    probes: Mapping[str, tuple[Predict, Mapping[str, Array]]] = {
        PROBE: (linear_probe(config.probe), {w: scaled(v) for w, v in vectors.items()}),
        KNN: (neighbours_vote(config.neighbours), unit),
    }
    values = {}
    for name, (predict, given) in probes.items():
        said = {w: cross_validate(v[rows], classes, folds, predict) for w, v in given.items()}
        right = {whose: (codes == classes).astype(np.float64) for whose, codes in said.items()}
        in_words = {whose: names[codes] for whose, codes in said.items()}
        values[name] = RowValues(right["candidate"], right.get("baseline"), chance, in_words)
    return Scores(rows, values)
