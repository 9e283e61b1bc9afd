"""Word vectors from texts by counting: no training loop, no sampling, seconds on one core.

Words that come near each other are counted, the counts become positive pointwise mutual information
(PPMI), and its truncated SVD gives the vectors: Levy, Goldberg and Dagan, "Improving Distributional
Similarity with Lessons Learned from Word Embeddings" (2015). Frequent words are made short, as in
Arora, Liang and Ma, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings" (2017), since the
module adds the vectors of a text's words just as they are.

``python -m demo.vectors`` learns from the standard library and says how good the vectors are.
"""

import os
import re
import string
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from hub_tfx.errors import AuthoringError

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

# Chosen on the standard library by label agreement; near the best, none of them is delicate.
_SMOOTHING = 0.75  # Levy et al.: contexts count as count**0.75, or rare ones get too much of a say.
_SINGULAR_VALUE_POWER = 0.5  # Levy et al.: 1 would let the few largest decide everything.
_FREQUENT = 1e-3  # Arora et al.: a word of this share of all words weighs one half.
_FEWEST_OCCURRENCES = 2  # What comes once has no company to be known by but its own text.

# White space as the module knows it; str.split would also split at the ASCII separators.
_WORD = re.compile(r"[^ \t-\r\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")


@dataclass(frozen=True)
class WordVectors:
    """Words, frequent ones first, and their vectors ``[words, dim] float32``."""

    words: tuple[str, ...]
    vectors: Vectors

    def embed(self, texts: Sequence[str]) -> Vectors:
        """``[texts, dim] float32``: what ``text_embedding_module`` makes of the texts.

        The vectors of a text's words added and divided by the square root of their number; unknown
        words are zero, but count.
        """
        return _embed(_word_ids(texts, self.words), self.vectors)

    def write_text(self, path: str | os.PathLike[str]) -> None:
        """Writes word2vec's text format, from which float32 numbers come back exactly."""
        line = " ".join(["%s", *["%.9g"] * self.vectors.shape[1]]) + "\n"
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.write("{} {}\n".format(*self.vectors.shape))
            for word, vector in zip(self.words, self.vectors.tolist(), strict=True):
                file.write(line % (word, *vector))


def words_of(text: str) -> list[str]:
    """The words of a text as the graph of ``text_embedding_module`` has them.

    Lower case, punctuation removed (``os.path`` becomes ``ospath``), split at white space.
    """
    return _WORD.findall(text.lower().translate(_WITHOUT_PUNCTUATION))


def learn(
    texts: Sequence[str],
    *,
    dim: int = 128,
    vocabulary_size: int = 20_000,
    window: int = 20,
    seed: int = 0,
) -> WordVectors:
    """Learns a vector for each word that comes at least twice.

    Equal arguments give equal vectors on one machine; with another number of BLAS threads, sums are
    taken in another order and the last digits differ.

    Args:
      texts: taken apart by ``words_of``.
      dim: numbers a vector.
      vocabulary_size: at most so many words; the most frequent.
      window: words up to so many places apart count as near. Wide windows bring together words of
        one subject, narrow ones words of one grammatical kind; search wants subjects.
      seed: of the vector with which the decomposition starts.

    Raises:
      AuthoringError: the texts have too few words for ``dim``.
    """
    counts = _count(texts, vocabulary_size)
    if len(counts) <= dim:
        raise AuthoringError(
            f"{len(texts)} texts have {len(counts)} words that come more than once: "
            f"vectors of {dim} numbers need more than {dim} words"
        )
    words = tuple(counts)
    ids = _word_ids(texts, words)
    vectors = _unit(_factors(_ppmi(_cooccurrences(ids, len(words), window)), dim, seed))
    frequencies = np.array(list(counts.values())) / counts.total()
    vectors *= (_FREQUENT / (_FREQUENT + frequencies))[:, None]
    vectors = _without_common_direction(vectors, _embed(ids, vectors))
    return WordVectors(words, vectors.astype(np.float32))


class _PunctuationTable(dict[int, int | None]):
    """For str.translate. ASCII's punctuation includes what Unicode calls symbols: $ + < = > ^."""

    def __missing__(self, code: int) -> int | None:
        character = chr(code)
        is_punctuation = (
            character in string.punctuation or unicodedata.category(character)[0] == "P"
        )
        self[code] = None if is_punctuation else code
        return self[code]


_WITHOUT_PUNCTUATION = _PunctuationTable()


# --- Counting ------------------------------------------------------------------------------------


def _count(texts: Iterable[str], vocabulary_size: int) -> Counter[str]:
    """The vocabulary: words with their counts, most frequent first, then by the alphabet."""
    counts = Counter(word for text in texts for word in words_of(text))
    frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:vocabulary_size]
    return Counter({word: n for word, n in frequent if n >= _FEWEST_OCCURRENCES})


def _word_ids(texts: Sequence[str], words: Sequence[str]) -> list[Ids]:
    """The rows of each text's words; -1 for unknown ones."""
    row_of = {word: row for row, word in enumerate(words)}
    return [np.array([row_of.get(w, -1) for w in words_of(t)], np.int64) for t in texts]


def _cooccurrences(ids: Sequence[Ids], size: int, window: int) -> sp.csr_matrix:
    """``[size, size]``: how often two words come within ``window`` places of each other."""
    gap = np.full(window, -1)  # So that no window reaches into the next text.
    stream = np.concatenate([part for text in ids for part in (text, gap)])
    total = sp.csr_matrix((size, size))
    for distance in range(1, window + 1):
        left, right = stream[:-distance], stream[distance:]
        both = (left >= 0) & (right >= 0)
        ones = np.ones(np.count_nonzero(both))
        total += sp.csr_matrix((ones, (left[both], right[both])), (size, size))
    return (total + total.T).tocsr()


def _embed(ids: Sequence[Ids], vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """``[texts, dim]`` of the dtype of ``vectors``: sums over the square roots of the numbers."""
    lengths = np.array([len(text) for text in ids])
    rows = np.repeat(np.arange(len(ids)), lengths)
    columns = np.concatenate([np.empty(0, np.int64), *ids])
    known = columns >= 0
    weights = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths).astype(vectors.dtype)
    shape = (len(ids), len(vectors))
    return sp.csr_matrix((weights[known], (rows[known], columns[known])), shape) @ vectors


# --- Decomposing ---------------------------------------------------------------------------------


def _ppmi(counts: sp.csr_matrix) -> sp.csr_matrix:
    """``log(P(word, context) / (P(word) P(context)))`` where that is positive, otherwise 0."""
    pairs = counts.tocoo()
    totals = np.asarray(counts.sum(axis=1)).ravel()
    contexts = totals**_SMOOTHING / np.sum(totals**_SMOOTHING)
    information = np.log(pairs.data / (totals[pairs.row] * contexts[pairs.col]))
    positive = information > 0
    places = pairs.row[positive], pairs.col[positive]
    return sp.csr_matrix((information[positive], places), counts.shape)


def _factors(matrix: sp.csr_matrix, dim: int, seed: int) -> Numbers:
    """``[rows, dim]``: the left singular vectors, each by a power of its singular value."""
    start = np.random.default_rng(seed).uniform(size=min(matrix.shape))
    left, values, _ = svds(matrix, dim, v0=start, return_singular_vectors="u")
    return left[:, ::-1] * values[::-1] ** _SINGULAR_VALUE_POWER


def _unit(vectors: Numbers) -> Numbers:
    """Of length 1. A word's length in the SVD grows with how much is known of it, not with how much
    it says."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _without_common_direction(vectors: Numbers, texts: Numbers) -> Numbers:
    """Without what all texts have in common (Arora et al.).

    With it, any two texts of the standard library have a cosine of 0.24 on average; without it, of
    0.003, so that a cosine says something. They project it out of the texts; a text is a sum of
    words, so doing it to words is the same.
    """
    _, directions = np.linalg.eigh(texts.T @ texts)
    common = directions[:, -1]
    return vectors - np.outer(vectors @ common, common)


# --- How good they are ---------------------------------------------------------------------------


def _random_directions(words: WordVectors) -> WordVectors:
    """Vectors that know only which words are equal: what learning must beat."""
    directions = np.random.default_rng(0).normal(size=words.vectors.shape)
    lengths = np.linalg.norm(words.vectors, axis=1, keepdims=True)
    return replace(words, vectors=(_unit(directions) * lengths).astype(np.float32))


def main() -> None:
    from demo.corpus import read_docstrings
    from demo.nearest import QUERIES, chance_agreement, label_agreement, nearest, print_answers

    start = time.perf_counter()
    documents = read_docstrings()
    read_s = time.perf_counter() - start
    texts, labels = [d.text for d in documents], [d.package for d in documents]
    words = learn(texts)
    learn_s = time.perf_counter() - start - read_s
    vectors = words.embed(texts)
    print(f"{len(texts)} texts of {len(set(labels))} packages, read in {read_s:.1f} s")
    print("{} words of {} numbers, learned in {:.1f} s".format(*words.vectors.shape, learn_s))
    print("share of texts whose nearest other text is of the same package:")
    print(f"  by chance       {chance_agreement(labels):.3f}")
    print(
        f"  random vectors  {label_agreement(_random_directions(words).embed(texts), labels):.3f}"
    )
    print(f"  these vectors   {label_agreement(vectors, labels):.3f}")
    print_answers(QUERIES, documents, *nearest(words.embed(QUERIES), vectors, 3))


if __name__ == "__main__":
    main()
