"""Text embedding modules: words, their vectors, and the graph that turns a text into one vector."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_hub as hub

from hub_tfx.errors import AuthoringError, ConfigError
from hub_tfx.module.create.export import (
    CreatedModule,
    check_is_free,
    created,
    eagerly,
    export_with_values,
    staged,
)
from hub_tfx.module.spec import ModuleFormat
from hub_tfx.module.vectors import Vectors

_log = logging.getLogger(__name__)

# RE2 syntax. [:punct:] adds what ASCII calls punctuation and Unicode calls a symbol, such as $ + <.
_PUNCTUATION = r"[[:punct:]\pP]"
# White space other than the plain space, which is all that the fast split op knows.
_OTHER_SPACE = (
    r"[\t-\r\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]"
)
_VOCABULARY_FILE = "vocabulary.txt"
_TEXTS = tf.TensorSpec([None], tf.string)


def text_embedding_module(
    vocabulary: Sequence[str],
    vectors: npt.ArrayLike,
    export_path: str | os.PathLike[str],
    *,
    format: ModuleFormat = "tf1_hub",
    num_oov_buckets: int = 1,
    oov_seed: int | None = None,
    l2_regularization: float = 1e-6,
) -> CreatedModule:
    """Exports a module that turns texts into vectors.

    It takes string ``[batch]`` and gives float32 ``[batch, dim]``, with output key ``default``.

    In the graph: punctuation is removed (``don't`` becomes ``dont``), letters become lower case as
    Unicode has it, the text is split at white space, and the vectors of its words are added and
    divided by the square root of their number. A text without words gives the zero vector.

    The same is done to the vocabulary, so that ``U.S.`` is found for "U.S.". Where several entries
    then are one word, the one that was in that form already counts, otherwise the first: files have
    the frequent words first. Entries that no text can reach, such as ``","`` and ``"new york"``,
    are left out. Both are listed in the result's ``left_out`` and logged.

    Words outside the vocabulary are hashed to ``num_oov_buckets`` rows after it. These are zero, so
    an unknown word says nothing until the module is fine-tuned, but counts in the square root. With
    ``oov_seed`` they are drawn from a normal distribution of the vectors' own standard deviation:
    then texts that share a rare word are near each other.

    Both formats give equal vectors. ``tf1_hub`` has a variant without tags and one tagged
    ``train``, which has the L2 loss of the table in REGULARIZATION_LOSSES; a ``saved_model`` has it
    in ``regularization_losses``, and besides ``__call__(inputs, training=False)`` the signatures
    ``default`` and ``serving_default``, with input key ``default`` as in the TF1 hub format.

    Args:
      vocabulary: the words, each once.
      vectors: ``[len(vocabulary), dim]`` finite numbers, stored as float32.
      export_path: the new directory; missing parents are made.
      format: ``tf1_hub`` or ``saved_model``.
      num_oov_buckets: rows for unknown words, at least 1.
      oov_seed: seed of random vectors for unknown words; they are zero if None.
      l2_regularization: factor of the sum of the table's squares; 0 for no loss.

    Raises:
      AuthoringError: the vocabulary or the vectors cannot make a module.
      ConfigError: an option has an invalid value.
      OutputError: ``export_path`` is taken or cannot be written.
    """
    check_is_free(export_path)
    if num_oov_buckets < 1:
        raise ConfigError(f"num_oov_buckets is {num_oov_buckets}: unknown words need at least one")
    if not (np.isfinite(l2_regularization) and l2_regularization >= 0):
        raise ConfigError(f"l2_regularization is {l2_regularization}: it must be 0 or more")
    vocabulary, matrix = _check(vocabulary, vectors)
    words, rows, left_out = _normalized(vocabulary)
    table = np.concatenate([matrix[rows], _oov_vectors(matrix, num_oov_buckets, oov_seed)])
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, _VOCABULARY_FILE)
        file.write_bytes(b"".join(word + b"\n" for word in words))
        lookup = _Lookup(os.fspath(file), len(words), num_oov_buckets, _digest(words))
        exporters = {"tf1_hub": _export_tf1_hub, "saved_model": _export_saved_model}
        if format not in exporters:
            raise ConfigError(f"unknown format {format!r}: choose tf1_hub or saved_model")
        exporters[format](lookup, table, l2_regularization, export_path)
    return created(export_path, left_out)


# --- What is put in ------------------------------------------------------------------------------


def _check(vocabulary: Sequence[str], vectors: npt.ArrayLike) -> tuple[list[str], Vectors]:
    vocabulary = list(vocabulary)
    if not vocabulary:
        raise AuthoringError("the vocabulary is empty: give at least one word")
    _check_words(vocabulary)
    try:
        with np.errstate(over="ignore"):
            matrix = np.asarray(vectors, np.float32)
    except (TypeError, ValueError) as error:
        raise AuthoringError(f"the vectors are not a matrix of numbers: {error}") from error
    if matrix.ndim != 2 or len(matrix) != len(vocabulary) or not matrix.shape[1]:
        raise AuthoringError(
            f"the vectors have shape {matrix.shape}, but {len(vocabulary)} words need "
            f"({len(vocabulary)}, dim): give one vector a word"
        )
    if len(bad := np.flatnonzero(~np.isfinite(matrix).all(axis=1))):
        raise AuthoringError(
            f"{len(bad)} vectors hold numbers that are not finite in float32: the first is "
            f"row {bad[0]}, {vocabulary[bad[0]]!r}"
        )
    return vocabulary, matrix


def _check_words(vocabulary: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for row, word in enumerate(vocabulary):
        if not isinstance(word, str):
            raise AuthoringError(f"row {row} of the vocabulary is {word!r}, not a string")
        if not word:
            raise AuthoringError(f"row {row} of the vocabulary is empty: remove it")
        if word.encode("utf-8", "replace").decode() != word:
            raise AuthoringError(f"row {row} of the vocabulary, {word!r}, is not valid Unicode")
        if word in first:
            raise AuthoringError(
                f"row {row} of the vocabulary, {word!r}, is also row {first[word]}: keep one"
            )
        first[word] = row


def _normalized(vocabulary: Sequence[str]) -> tuple[list[bytes], list[int], list[str]]:
    """The words as the graph will see them, the row of each, and the entries left out."""
    row_of: dict[bytes, int] = {}
    for row, form in enumerate(_normal_forms(vocabulary)):
        # An entry in normal form takes the place of the "Word" or "word," that came before it.
        if form is not None and (form not in row_of or vocabulary[row].encode() == form):
            row_of[form] = row
    if not row_of:
        raise AuthoringError(
            f"no word of the vocabulary is left without its punctuation: {_some(vocabulary)}"
        )
    kept = set(row_of.values())
    left_out = [word for row, word in enumerate(vocabulary) if row not in kept]
    if left_out:
        _log.warning(
            "%d of %d words left out: in lower case and without punctuation they are nothing, "
            "another word, or several words: %s",
            len(left_out),
            len(vocabulary),
            _some(left_out),
        )
    return list(row_of), list(row_of.values()), left_out


def _normal_forms(vocabulary: Sequence[str]) -> list[bytes | None]:
    """What the graph makes of each word; None unless that is one word.

    The very ops of the module are used, since Python's idea of lower case and punctuation differs.
    """
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        text = tf.compat.v1.placeholder(tf.string, [None])
        rows, tokens = session.run(_words(text), {text: [word.encode() for word in vocabulary]})
    forms: list[bytes | None] = [None] * len(vocabulary)
    counts = np.bincount(rows, minlength=len(vocabulary))
    for row, token in zip(rows, tokens, strict=True):
        if counts[row] == 1:
            forms[row] = token
    return forms


def _oov_vectors(matrix: Vectors, count: int, seed: int | None) -> Vectors:
    shape = (count, matrix.shape[1])
    if seed is None:
        return np.zeros(shape, np.float32)
    scale = float(np.std(matrix, dtype=np.float64))
    return np.random.default_rng(seed).normal(scale=scale, size=shape).astype(np.float32)


def _digest(words: Sequence[bytes]) -> str:
    return hashlib.sha256(b"\n".join(words)).hexdigest()


def _some(words: Sequence[str], count: int = 5) -> str:
    return ", ".join(map(repr, words[:count])) + (", …" if len(words) > count else "")


# --- The graph -----------------------------------------------------------------------------------


def _words(text: Any) -> tuple[Any, Any]:
    """``[batch] string`` -> (row of the batch ``[words] int64``, word ``[words] string``).

    Measured on 20 words a text (µs of CPU a text): split at a plain space 0.7, at any white space
    1.3; so the rarer kinds of white space become plain ones first, which costs 0.6 and is what
    splits at Unicode's white space at all.
    """
    text = tf.strings.lower(text, encoding="utf-8")
    text = tf.strings.regex_replace(text, _PUNCTUATION, "")
    text = tf.strings.regex_replace(text, _OTHER_SPACE, " ")
    words = tf.compat.v1.string_split(text, " ")
    return words.indices[:, 0], words.values


def _embed(text: Any, lookup: Callable[[Any], Any], embeddings: Any) -> Any:
    """``[batch] string`` -> ``[batch, dim] float32``.

    The distinct rows are gathered before they are added: a fifth to a third less CPU than adding
    straight from the table (128 and 300 numbers a word), and the gradient touches only them.
    """
    rows, words = _words(text)
    ids, places = tf.unique(lookup(words))
    vectors = tf.gather(embeddings, ids)
    return tf.sparse.segment_sqrt_n(vectors, places, rows, num_segments=tf.size(text))


def _l2_loss(embeddings: Any, factor: float) -> Any:
    return factor * tf.reduce_sum(tf.square(embeddings))


class _VocabularyFile(tf.lookup.TextFileInitializer):  # type: ignore[misc]
    """Line -> line number, in a table that is named after its content.

    TensorFlow would name it after the file's path on the author's machine, and share tables between
    modules by that name.
    """

    def __init__(self, path: str, size: int, digest: str):
        index = tf.lookup.TextFileIndex
        super().__init__(
            path, tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER, vocab_size=size
        )
        self._name_of_table = f"vocabulary_{digest}"

    @property
    def _shared_name(self) -> str:
        return self._name_of_table


@dataclass(frozen=True)
class _Lookup:
    """Makes the function word -> row of the table, in whatever graph is current."""

    file: str
    size: int
    num_oov_buckets: int
    digest: str

    def table(self) -> Any:
        initializer = _VocabularyFile(self.file, self.size, self.digest)
        if self.num_oov_buckets == 1:  # Saves a hash for every word: 0.6 of 6 µs a text.
            return tf.lookup.StaticHashTable(initializer, self.size)
        return tf.lookup.StaticVocabularyTable(initializer, self.num_oov_buckets)


def _export_tf1_hub(
    lookup: _Lookup, table: Vectors, l2: float, export_path: str | os.PathLike[str]
) -> None:
    def module_fn(training: bool) -> None:
        embeddings = tf.compat.v1.get_variable(
            "embeddings", table.shape, initializer=tf.compat.v1.zeros_initializer()
        )
        text = tf.compat.v1.placeholder(tf.string, [None], name="text")
        vectors = _embed(text, lookup.table().lookup, embeddings)
        vectors.set_shape([None, table.shape[1]])
        if training and l2:
            tf.compat.v1.add_to_collection(
                tf.compat.v1.GraphKeys.REGULARIZATION_LOSSES, _l2_loss(embeddings, l2)
            )
        hub.add_signature(inputs=text, outputs=vectors)

    export_with_values(module_fn, {"embeddings": table}, export_path)


def _export_saved_model(
    lookup: _Lookup, table: Vectors, l2: float, export_path: str | os.PathLike[str]
) -> None:
    with eagerly(), staged(export_path) as directory:
        model = _TextEmbedding(lookup, table, l2)
        for training in (False, True):
            model.__call__.get_concrete_function(_TEXTS, training=training)
        signature = model.signature.get_concrete_function(default=_TEXTS)
        signatures = {"default": signature, "serving_default": signature}
        tf.saved_model.save(model, os.fspath(directory), signatures=signatures)


class _TextEmbedding(tf.train.Checkpoint):  # type: ignore[misc]
    """The reusable SavedModel. Not a tf.Module: hub looks for saved attributes ``variables`` and
    ``trainable_variables``, and those of a tf.Module are properties, which are not saved."""

    def __init__(self, lookup: _Lookup, table: Vectors, l2: float):
        super().__init__()
        self.embeddings = tf.Variable(table, name="embeddings")
        self.table = lookup.table()
        self.variables = [self.embeddings]
        self.trainable_variables = [self.embeddings]
        loss = tf.function(lambda: _l2_loss(self.embeddings, l2), input_signature=[])
        self.regularization_losses = [loss] if l2 else []

    @tf.function
    def __call__(self, inputs: Any, training: bool = False) -> Any:
        vectors = _embed(inputs, self.table.lookup, self.embeddings)
        return tf.ensure_shape(vectors, [None, self.embeddings.shape[1]])

    @tf.function
    def signature(self, default: Any) -> Any:
        return {"default": self(default)}
