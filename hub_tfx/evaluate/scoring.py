"""All measures that have a value for each row, and why the others have none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hub_tfx.embed.report.survey import unit_vectors
from hub_tfx.evaluate.agreement import agreement_scores
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.labels import label_scores, rows_to_classify
from hub_tfx.evaluate.names import COSINE, Kind
from hub_tfx.evaluate.neighbours import nearest
from hub_tfx.evaluate.result import NotMeasured
from hub_tfx.evaluate.retrieval import retrieval_scores
from hub_tfx.evaluate.sample import Sample
from hub_tfx.evaluate.scores import Scores

Array = np.ndarray[Any, Any]


@dataclass
class Found:
    """What has been measured so far.

    Attributes:
      scores: kind of the measures -> values of each row.
      nearest: ``candidate`` or ``baseline`` -> ``[n, k]`` nearest rows; empty if nothing needs it.
      missing: measures that have no value, and why.
    """

    scores: dict[Kind, Scores] = field(default_factory=dict)
    nearest: dict[str, Array] = field(default_factory=dict)
    missing: list[NotMeasured] = field(default_factory=list)


def score(used: Sample, config: EvaluateConfig) -> Found:
    """The values of all rows, whose vectors are finite."""
    found, vectors = Found(), used.rows.vectors
    if not len(used.rows) or not all(of.shape[1] for of in vectors.values()):
        why = "vectors are empty" if len(used.rows) else "there are no rows with finite vectors"
        _miss(found, "labels", why, config)
        _miss(found, "pairs", why, config)
        _miss(found, "agreement", why, config)
        return found
    unit = {whose: unit_vectors(of) for whose, of in vectors.items()}
    _score_labels(found, used, vectors, unit, config)
    if used.rows.groups is not None or used.rows.baseline is not None:
        own = np.arange(len(used.rows))
        found.nearest = {w: nearest(of, of, config.neighbours, own) for w, of in unit.items()}
    _score_pairs(found, used, config)
    _score_agreement(found, unit, config)
    return found


def _miss(found: Found, kind: Kind, why: str, config: EvaluateConfig) -> None:
    found.missing += [
        NotMeasured(name, why) for name, of in config.measures.items() if of.kind == kind
    ]


def _score_labels(
    found: Found,
    used: Sample,
    vectors: Mapping[str, Array],
    unit: Mapping[str, Array],
    config: EvaluateConfig,
) -> None:
    if used.rows.labels is None:
        _miss(found, "labels", "no feature of labels is named (label)", config)
        return
    labels = np.asarray(used.rows.labels, object)
    rows, why = rows_to_classify(labels, used.same)
    if why:
        _miss(found, "labels", why, config)
        return
    found.scores["labels"] = label_scores(rows, labels, used.same, vectors, unit, config)


def _score_pairs(found: Found, used: Sample, config: EvaluateConfig) -> None:
    if (groups := used.rows.groups) is None:
        _miss(found, "pairs", "no feature of groups is named (pairs)", config)
        return
    candidate, baseline = found.nearest["candidate"], found.nearest.get("baseline")
    scores = retrieval_scores(groups, candidate, baseline, config.neighbours, config.seed)
    if len(scores.rows):
        found.scores["pairs"] = scores
    else:
        _miss(found, "pairs", "no two rows have the same group", config)


def _score_agreement(found: Found, unit: Mapping[str, Array], config: EvaluateConfig) -> None:
    if "baseline" not in unit:
        _miss(found, "agreement", "there is no baseline", config)
        return
    both = (unit["candidate"], unit["baseline"])
    near = (found.nearest["candidate"], found.nearest["baseline"])
    scores = found.scores["agreement"] = agreement_scores(both, near, config.neighbours)
    sizes = f"the vectors have {both[0].shape[1]:,} and {both[1].shape[1]:,} dimensions"
    for name, of in config.measures.items():
        if of.kind == "agreement" and name not in scores.values:
            why = sizes if name == COSINE else "there is just one row"
            found.missing.append(NotMeasured(name, why))
