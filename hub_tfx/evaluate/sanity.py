"""Whether vectors are fit for use at all: numbers, dead dimensions, collapse, equal rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hub_tfx.embed.report.survey import norms_of, random_cosines, unit_vectors
from hub_tfx.evaluate.result import SanityCheck

Array = np.ndarray[Any, Any]

_RANK_ROWS = 2000
_COLLAPSED = 0.9999
_MOST_ZERO = 0.5
_TOLERANCE = 1e-3
"""Of the numbers of vectors of length 1: batches of other sizes round in another way."""


@dataclass(frozen=True)
class Condition:
    """What was found of the vectors of one module.

    Attributes:
      rows, dimensions: the shape of its vectors.
      not_finite: number of rows with NaN or infinity.
      zero: number of rows of nothing but zeros.
      norms: norm at 1%, 50% and 99% of the rows.
      dead: number of dimensions that are the same in all rows.
      pair_cosine: mean cosine of random pairs of rows.
      effective_rank: exponential of the entropy of the singular values' shares.
      unequal: number of rows whose vector is not that of the first row with the same content; None
        where no content was given.
      same: number of rows with the content of an earlier row.

    The last ones but these two are of the finite rows, and None where there are too few.
    """

    rows: int
    dimensions: int
    not_finite: int
    zero: int
    norms: tuple[float, float, float] | None
    dead: int | None
    pair_cosine: float | None
    effective_rank: float | None
    unequal: int | None
    same: int

    @property
    def numbers(self) -> Mapping[str, float | None]:
        """Those that have the name of a measure."""
        return {
            "effective_rank": self.effective_rank,
            "pair_cosine": self.pair_cosine,
            "dead_dimensions": self.dead,
            "zero_rows": self.zero,
        }


def examine(vectors: Array, same: Array | None, seed: int) -> Condition:
    """Looks at the vectors of one module.

    Args:
      vectors: ``[n, dim]`` float32.
      same: ``[n]`` int64, equal for rows of equal content; None where that is not known.
      seed: seed of random pairs and rows.
    """
    is_finite = np.isfinite(vectors).all(axis=1)
    finite = vectors[is_finite]
    rng = np.random.default_rng(seed)
    has_rows, has_pairs = min(finite.shape) > 0, min(finite.shape) > 0 and len(finite) > 1
    return Condition(
        rows=len(vectors),
        dimensions=vectors.shape[1],
        not_finite=int((~is_finite).sum()),
        zero=int((~finite.any(axis=1)).sum()),
        norms=_percentiles(norms_of(finite)) if has_rows else None,
        dead=int((finite == finite[0]).all(axis=0).sum()) if has_pairs else None,
        pair_cosine=float(random_cosines(finite, rng).mean()) if has_pairs else None,
        effective_rank=_effective_rank(finite, rng) if has_pairs else None,
        unequal=None if same is None else _unequal(finite, same[is_finite]),
        same=0 if same is None else len(same) - len(np.unique(same)),
    )


def _percentiles(norms: Array) -> tuple[float, float, float]:
    low, middle, high = np.percentile(norms, (1, 50, 99)).tolist()
    return low, middle, high


def _effective_rank(vectors: Array, rng: np.random.Generator) -> float | None:
    """Roy and Vetterli, 2007, https://ieeexplore.ieee.org/document/7098875; of centred vectors."""
    chosen = rng.choice(len(vectors), min(len(vectors), _RANK_ROWS), replace=False)
    few = vectors[np.sort(chosen)].astype(np.float64)
    few -= few.mean(axis=0)
    largest = np.abs(few).max()
    if largest == 0:
        return 0.0
    few /= largest
    gram = few @ few.T if few.shape[0] < few.shape[1] else few.T @ few
    values = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _unequal(vectors: Array, same: Array) -> int:
    if not len(vectors):
        return 0
    _, first, of_row = np.unique(same, return_index=True, return_inverse=True)
    repeats = np.flatnonzero(first[of_row] != np.arange(len(same)))
    unit, firsts = unit_vectors(vectors[repeats]), unit_vectors(vectors[first[of_row[repeats]]])
    return int((np.abs(unit - firsts).max(axis=1, initial=0) > _TOLERANCE).sum())


def sanity_checks(
    candidate: Condition, baseline: Condition | None, deterministic: bool | None
) -> tuple[SanityCheck, ...]:
    """What was found in words, and what is wrong with the candidate.

    Args:
      candidate, baseline: the vectors of each.
      deterministic: whether the candidate embeds the same rows twice in the same way; None where
        that was not tried.
    """
    others: Iterator[str] | None = (
        None if baseline is None else (words for _, words, _ in _found(baseline))
    )
    checks = []
    for name, words, wrong in _found(candidate):
        other = None if others is None else next(others)
        checks.append(
            SanityCheck(name, words, other, None if wrong is None else not wrong, wrong or "")
        )
    if deterministic is not None:
        why = "" if deterministic else "the same rows had other vectors the second time"
        checks.append(
            SanityCheck("embeds twice the same", _yes(deterministic), None, deterministic, why)
        )
    return tuple(checks)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _found(of: Condition) -> Iterator[tuple[str, str, str | None]]:
    """(check, what was found, what is wrong); empty if nothing is, None where nothing can be."""
    yield "rows", f"{of.rows:,}", "" if of.rows else "there are no rows"
    yield "dimensions", f"{of.dimensions:,}", "" if of.dimensions else "vectors are empty"
    why = f"{of.not_finite:,} of {of.rows:,} vectors hold NaN or infinity" if of.not_finite else ""
    yield "vectors with NaN or infinity", f"{of.not_finite:,}", why
    are_zero = of.zero > _MOST_ZERO * of.rows
    why = f"{of.zero:,} of {of.rows:,} vectors are all zeros" if are_zero else ""
    yield "vectors of zeros", f"{of.zero:,}", why
    norms = "-" if of.norms is None else ", ".join(f"{norm:.4g}" for norm in of.norms)
    yield "norm at 1%, 50%, 99% of the rows", norms, None
    yield "dimensions that never change", "-" if of.dead is None else f"{of.dead:,}", None
    yield from _collapse(of)
    if of.unequal is not None:
        why = f"{of.unequal:,} rows have another vector than an equal row" if of.unequal else ""
        yield "equal rows with unequal vectors", f"{of.unequal:,} of {of.same:,}", why


def _collapse(of: Condition) -> Iterator[tuple[str, str, str | None]]:
    cosine, rank = of.pair_cosine, of.effective_rank
    is_one = cosine is not None and cosine > _COLLAPSED
    why = f"nearly all vectors point one way: mean cosine {cosine:.6f}" if is_one else ""
    yield "mean cosine of random pairs", "-" if cosine is None else f"{cosine:.4f}", why
    why = "all vectors are equal" if rank == 0 else ""
    yield "effective rank", "-" if rank is None else f"{rank:.1f} of {of.dimensions:,}", why
