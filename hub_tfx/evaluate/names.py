"""What can be measured: names, which way is better, and what each needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["labels", "pairs", "agreement", "sanity", "cost"]


@dataclass(frozen=True)
class MeasureKind:
    """What is known of a measure before it is taken.

    Attributes:
      kind: what it is about; ``labels`` and ``pairs`` are also what it needs.
      higher_is_better: None where neither is.
      low, high: the least and the largest value that a row can have.
    """

    kind: Kind
    higher_is_better: bool | None
    low: float = 0.0
    high: float = 1.0

    @property
    def is_of_rows(self) -> bool:
        """Whether each row has a value, so that there is an interval, and one for each slice."""
        return self.kind in ("labels", "pairs", "agreement")


PROBE, KNN = "probe_accuracy", "knn_accuracy"
COSINE = "old_new_cosine"


def recall(k: int) -> str:
    return f"recall@{k}"


def mrr(k: int) -> str:
    return f"mrr@{k}"


def ndcg(k: int) -> str:
    return f"ndcg@{k}"


def overlap(k: int) -> str:
    return f"overlap@{k}"


def known_measures(k: int) -> Mapping[str, MeasureKind]:
    """Name -> measure, for ``k`` neighbours."""
    return {
        PROBE: MeasureKind("labels", True),
        KNN: MeasureKind("labels", True),
        recall(k): MeasureKind("pairs", True),
        mrr(k): MeasureKind("pairs", True),
        ndcg(k): MeasureKind("pairs", True),
        overlap(k): MeasureKind("agreement", None),
        COSINE: MeasureKind("agreement", None, low=-1.0),
        "effective_rank": MeasureKind("sanity", True),
        "pair_cosine": MeasureKind("sanity", False),
        "dead_dimensions": MeasureKind("sanity", False),
        "zero_rows": MeasureKind("sanity", False),
        "cost_rows_per_s": MeasureKind("cost", True),
        "cost_load_s": MeasureKind("cost", False),
        "cost_size_bytes": MeasureKind("cost", False),
    }
