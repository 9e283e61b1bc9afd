"""Whether embeddings look right: norms, cosines, a projection, neighbours."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SAMPLE_ROWS = 10_000
_SAMPLE_NUMBERS = 1 << 25
"""Of all vectors of a sample together: of long ones, such as feature maps, fewer are taken."""
_SUBSPACE, _ITERATIONS = 10, 12
_PAIRS_AT_ONCE_NUMBERS = 1 << 22
_PAIRS = 20_000
_QUERIES = 10
_NEIGHBOURS = 5
_PERCENTILES = (1, 50, 99)


@dataclass(frozen=True)
class VectorStats:
    """Numbers about the vectors of one output, some of them about a sample only.

    Attributes:
      rows, dimensions: number of vectors, and of dimensions of each.
      norms: ``[rows]`` float64, L2 norms.
      norm_percentiles: percentile -> norm.
      zero_rows: number of vectors with nothing but zeros.
      dead_dimensions: number of dimensions with the same value in all rows.
      sample: ``[n]`` int64, ascending indices of the rows looked at more closely.
      duplicate_rows: number of rows of the sample whose vector an earlier row has.
      cosines: ``[pairs]`` float32, cosines of random pairs of the sample.
      projection: ``[n, 2]`` float32, the sample on its two principal components.
      explained_variance: share of the variance along each of the two.
      neighbours: (row, ((neighbour, cosine), …)) for some rows of the sample, nearest first.
    """

    rows: int
    dimensions: int
    norms: Array
    norm_percentiles: dict[int, float]
    zero_rows: int
    dead_dimensions: int
    sample: Array
    duplicate_rows: int
    cosines: Array
    projection: Array
    explained_variance: tuple[float, ...]
    neighbours: tuple[tuple[int, tuple[tuple[int, float], ...]], ...]


def choose_sample(rows: int, dimensions: int = 1, seed: int = 0) -> Array:
    """``[n]`` int64, at most 10,000 rows to look at, ascending; equal for equal seeds.

    Of long vectors there are fewer, each of which is in the sample of shorter ones too.
    """
    chosen = np.random.default_rng(seed).choice(rows, min(rows, SAMPLE_ROWS), replace=False)
    most = max(1, _SAMPLE_NUMBERS // dimensions)
    every = -(-len(chosen) // most) if len(chosen) else 1
    return np.sort(chosen)[::every]


def measure_vectors(batches: Iterable[Array], rows: int, seed: int = 0) -> VectorStats:
    """Measures vectors: each of them once, and a sample of them in more detail.

    Args:
      batches: batches of vectors, each ``[n, dimensions]`` float32.
      rows: number of rows in all batches together, at least 1.
      seed: seed of everything random.
    """
    chosen = np.zeros(0, np.int64)
    norms, sampled = [], []
    lowest = highest = None
    seen = 0
    for batch in batches:
        if lowest is None:
            chosen = choose_sample(rows, batch.shape[1], seed)
        norms.append(norms_of(batch))
        low, high = batch.min(axis=0), batch.max(axis=0)
        lowest = low if lowest is None else np.minimum(lowest, low)
        highest = high if highest is None else np.maximum(highest, high)
        first, last = np.searchsorted(chosen, [seen, seen + len(batch)])
        sampled.append(batch[chosen[first:last] - seen])
        seen += len(batch)
    assert lowest is not None
    assert highest is not None
    vectors, all_norms = np.concatenate(sampled), np.concatenate(norms)
    projection, explained = _principal_components(vectors)
    percentiles = np.percentile(all_norms, _PERCENTILES).tolist()
    rng = np.random.default_rng(seed)
    return VectorStats(
        rows=rows,
        dimensions=vectors.shape[1],
        norms=all_norms,
        norm_percentiles=dict(zip(_PERCENTILES, percentiles, strict=True)),
        zero_rows=int(np.count_nonzero(all_norms == 0)),
        dead_dimensions=int(np.count_nonzero(lowest == highest)) if rows > 1 else 0,
        sample=chosen,
        duplicate_rows=len(vectors) - len(np.unique(vectors, axis=0)),
        cosines=random_cosines(vectors, rng),
        projection=projection,
        explained_variance=explained,
        neighbours=_neighbours(vectors, chosen, rng),
    )


def norms_of(vectors: Array) -> Array:
    """``[n]`` float64: the squares of large float32s are beyond float32."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    norms: Array = np.sqrt(squares)
    return norms


def unit_vectors(vectors: Array) -> Array:
    """Vectors of length 1, of the same type; those of zeros stay zeros.

    They are divided by their largest number first: the norm may be beyond their type.
    """
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
    scaled = vectors / np.where(largest == 0, 1, largest)
    norms = norms_of(scaled).astype(vectors.dtype)[:, None]
    unit: Array = scaled / np.where(norms == 0, 1, norms)
    return unit


def random_cosines(vectors: Array, rng: np.random.Generator) -> Array:
    """Cosines of random pairs of different rows."""
    if len(vectors) < 2:
        return np.zeros(0, np.float32)
    first = rng.integers(len(vectors), size=_PAIRS)
    second = (first + rng.integers(1, len(vectors), size=_PAIRS)) % len(vectors)
    unit = unit_vectors(vectors)
    pieces = -(-_PAIRS * vectors.shape[1] // _PAIRS_AT_ONCE_NUMBERS)
    pairs = zip(np.array_split(first, pieces), np.array_split(second, pieces), strict=True)
    return np.concatenate([np.einsum("ij,ij->i", unit[one], unit[two]) for one, two in pairs])


def _principal_components(vectors: Array) -> tuple[Array, tuple[float, ...]]:
    """The rows on the two directions of largest variance, and its share along each."""
    largest = float(np.abs(vectors).max()) or 1.0
    centred = vectors / np.float32(largest)
    centred -= centred.mean(axis=0)
    directions, variances = _main_directions(centred)
    total = float(np.square(norms_of(centred)).sum())
    shares = variances / total if total > 0 else np.zeros(len(variances))
    projection = np.zeros((len(vectors), 2), np.float32)
    projection[:, : len(shares)] = centred @ directions * np.float32(largest)
    return projection, tuple(min(1.0, float(share)) for share in shares)


def _main_directions(centred: Array) -> tuple[Array, Array]:
    """``[dimensions, 2]`` directions of largest variance, and the variances; see
    https://arxiv.org/abs/0909.4061, algorithm 4.4: no matrix of all dimensions is ever made."""
    size = min(_SUBSPACE, *centred.shape)
    start = np.random.default_rng(0).standard_normal((centred.shape[1], size)).astype(np.float32)
    basis, _ = np.linalg.qr(start)
    for _ in range(_ITERATIONS):
        basis, _ = np.linalg.qr(centred.T @ (centred @ basis))
    _, values, rotation = np.linalg.svd(centred @ basis, full_matrices=False)
    return basis @ rotation[:2].T, values[:2] ** 2


def _neighbours(
    vectors: Array, rows: Array, rng: np.random.Generator
) -> tuple[tuple[int, tuple[tuple[int, float], ...]], ...]:
    unit = unit_vectors(vectors)
    found = []
    for query in np.sort(rng.choice(len(unit), min(_QUERIES, len(unit)), replace=False)):
        cosines = unit @ unit[query]
        cosines[query] = -np.inf
        nearest = np.argsort(-cosines, kind="stable")[: min(_NEIGHBOURS, len(unit) - 1)]
        found.append((int(rows[query]), tuple((int(rows[n]), float(cosines[n])) for n in nearest)))
    return tuple(found)
