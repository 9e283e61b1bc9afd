"""Reads word vectors as they are published: GloVe, word2vec, fastText. Imports no TensorFlow."""

import logging
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hub_tfx._text import quoted, shortened
from hub_tfx.errors import InputError
from hub_tfx.module.vector_files import DAMAGE, Header, binary_records, open_vectors

Vectors = npt.NDArray[np.float32]

_log = logging.getLogger(__name__)

_HEADER = re.compile(rb"(\d{1,18})[ \t]{1,100}(\d{1,18})")
_SEPARATORS = re.compile(rb"[ \t]+")
_NUMBER = re.compile(rb"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_BLANKS = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_MAX_LINE_BYTES = 1 << 24
_MAX_DIM = 1 << 20
_DECIDING_LINES = 20
_NAMED = 5


@dataclass(frozen=True)
class WordVectors:
    """What a file of word vectors holds.

    Attributes:
      vocabulary: the words in the order of the file, each once.
      vectors: ``[words, dim] float32``.
      left_out: lines that give no word, such as ``line 3: expected 2 numbers, got 1``.
    """

    vocabulary: list[str]
    vectors: Vectors
    left_out: tuple[str, ...] = ()


def read_vectors(
    path: str | os.PathLike[str], *, strict: bool = False
) -> tuple[list[str], Vectors]:
    """The words of a file in its order, and their vectors; see ``read_word_vectors``."""
    read = read_word_vectors(path, strict=strict)
    return read.vocabulary, read.vectors


def read_word_vectors(path: str | os.PathLike[str], *, strict: bool = False) -> WordVectors:
    """Reads a file of one word and its numbers a line, or of word2vec's binary format.

    The last numbers of a line, as many as in most lines, are the vector; what stands before them is
    the word, with the spaces in it. A line that gives no word in this way is left out, as is one
    whose word came before; a warning counts them and names the first. A first line of two whole
    numbers is word2vec's header, count and dimension; another count is a warning. A byte order mark
    is dropped. The file may be packed by gzip, bzip2 or xz, or be alone in a zip archive.

    Args:
      path: of the file.
      strict: whether all this is an error: a line that gives no word, or has more than a word
        before its numbers, a word that came before, and a count that is not true.

    Raises:
      InputError: the file is missing, empty, damaged, of another format, or not as ``strict`` wants
        it; the message begins with ``file:line`` where one line is to blame.
    """
    if "://" in os.fspath(path):
        raise InputError(f"{path} is not on this machine: copy the file to it first")
    path = Path(path)
    try:
        with open_vectors(path) as file, warnings.catch_warnings(), np.errstate(over="ignore"):
            # np.fromstring only warns about what is no number; it is ten times as fast as float().
            warnings.simplefilter("error", DeprecationWarning)
            return _read(path, file, strict)
    except DAMAGE as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read: {reason}") from error


def _read(path: Path, file: Any, strict: bool) -> WordVectors:
    start = file.readline(_MAX_LINE_BYTES).removeprefix(_BOM)
    match = _HEADER.fullmatch(start.rstrip(_BLANKS))
    header = Header(int(match[1]), int(match[2])) if match else None
    if header and header.dim > _MAX_DIM:
        raise InputError(
            f"{path}: its first line promises vectors of {header.dim:,} numbers, and at most "
            f"{_MAX_DIM:,} are taken: correct the first line"
        )
    words = _Words(path, header, strict)
    if header is None:
        words.read_lines(_lines(path, file, start), 1)
    elif (records := binary_records(path, file, header)) is not None:
        words.read_records(records)
    else:
        words.read_lines(_lines(path, file), 2)
    return words.finish()


def _lines(path: Path, file: Any, first: bytes = b"") -> Iterator[bytes]:
    """The first line, if there is one, and those that follow it.

    Raises:
      InputError: a line does not end.
    """
    for line in chain([first] if first else [], iter(partial(file.readline, _MAX_LINE_BYTES), b"")):
        if len(line) >= _MAX_LINE_BYTES and not line.endswith(b"\n"):
            raise InputError(
                f"{path} has a line of more than {_MAX_LINE_BYTES:,} bytes: it is not a file of "
                "word vectors, one word and its numbers a line"
            )
        yield line


class _NoWordError(Exception):
    """A line gives no word; the message says why."""


class _Words:
    """What was read so far. Numbers go to one growing buffer: files of gigabytes are common."""

    def __init__(self, path: Path, header: Header | None, strict: bool):
        self._path = path
        self._header = header
        self._strict = strict
        self._dim = header.dim if header else None
        self._unit = "line"
        self._lines: dict[str, int] = {}
        self._numbers = bytearray()
        self._left_out: list[tuple[int, str]] = []
        self._empty = 0

    def read_lines(self, lines: Iterable[bytes], first: int) -> None:
        """Reads a text whose first line has this number."""
        lines = iter(lines)
        deciding = list(islice(lines, _DECIDING_LINES))
        if not self._strict:
            self._decide_dim(deciding, first)
        split = _split if self._strict else _split_from_end
        for number, line in enumerate(chain(deciding, lines), start=first):
            try:
                self._add(number, *split(line.rstrip(_BLANKS), self._dim))
            except _NoWordError as error:
                self._empty += not line.strip()
                is_cut = not line.endswith(b"\n")
                self._leave_out(number, f"{error}{', where the file ends' if is_cut else ''}")

    def read_records(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Reads words and the bytes of their float32s."""
        self._unit = "record"
        for number, (word, vector) in enumerate(records, start=1):
            try:
                self._add(number, word, _finite(np.frombuffer(vector, "<f4")))
            except _NoWordError as error:
                self._leave_out(number, str(error))

    def finish(self) -> WordVectors:
        """What was read.

        Raises:
          InputError: it is nothing, or the count of the header is not true and it is to be.
        """
        if not self._lines:
            reasons = [f":{number}: {why}" for number, why in self._left_out[:1]]
            raise InputError(f"{self._path}{(reasons or [': holds no vectors'])[0]}")
        self._check_count()
        left_out = tuple(f"{self._unit} {number}: {why}" for number, why in self._left_out)
        if left_out:
            named = "; ".join(left_out[:_NAMED]) + ("; …" if len(left_out) > _NAMED else "")
            message = "%s: %ss left out because they give no word: %d (%s)"
            _log.warning(message, self._path, self._unit, len(left_out), named)
        vectors = np.frombuffer(self._numbers, np.float32).reshape(len(self._lines), -1)
        return WordVectors(list(self._lines), vectors, left_out)

    def _check_count(self) -> None:
        found = len(self._lines) + len(self._left_out) - self._empty
        if self._header is None or found == self._header.count:
            return
        message = (
            f"{self._path}: its first line promises {self._header.count} vectors, "
            f"but it holds {found}: is it cut short?"
        )
        if self._strict:
            raise InputError(message)
        _log.warning("%s", message)

    def _decide_dim(self, lines: Sequence[bytes], first: int) -> None:
        """As many numbers are a vector as most of these lines end in."""
        counts = Counter(filter(None, map(_numbers_at_end, lines)))
        most = counts.most_common(1)[0][0] if counts else None
        if self._dim is None:
            self._dim = most
        elif most not in (None, self._dim):
            raise InputError(
                f"{self._path}: its first line promises vectors of {self._dim} numbers, but line "
                f"{first} or those after it have {most}: correct the first line"
            )

    def _add(self, number: int, word: bytes, vector: Vectors) -> None:
        try:
            text = word.decode()
        except UnicodeDecodeError as error:
            raise _NoWordError(
                f"the word is not UTF-8 ({error.reason}): save the vectors as text in UTF-8"
            ) from error
        if text in self._lines:
            raise _NoWordError(
                f"the word {quoted(text)} was already on {self._unit} {self._lines[text]}: keep one"
            )
        self._dim = len(vector)
        self._lines[text] = number
        self._numbers += vector.tobytes()

    def _leave_out(self, number: int, why: str) -> None:
        if self._strict:
            where = f":{number}" if self._unit == "line" else f": {self._unit} {number}"
            raise InputError(f"{self._path}{where}: {why}")
        self._left_out.append((number, why))


def _numbers_at_end(line: bytes) -> int:
    """How many numbers a line ends in, its word not counted among them."""
    count = 0
    for field in reversed(_SEPARATORS.split(line.strip(_BLANKS))):
        if not _NUMBER.fullmatch(field):
            return count
        count += 1
    return count if line[:1] in _BLANKS else count - 1


def _split(line: bytes, dim: int | None) -> tuple[bytes, Vectors]:
    """The first field of a line, and all others as numbers."""
    word, *numbers = _SEPARATORS.split(line, maxsplit=1)
    if not word:
        raise _NoWordError("expected a word and its numbers, got an empty word")
    return word, _parse(numbers[0] if numbers else b"", dim)


def _split_from_end(line: bytes, dim: int | None) -> tuple[bytes, Vectors]:
    """The last ``dim`` fields of a line as numbers, and what stands before them."""
    try:
        return _split(line, dim)
    except _NoWordError:
        line = line.lstrip(_BLANKS)
        separators = [match.span() for match in _SEPARATORS.finditer(line)]
        if dim is None or len(separators) < dim:
            raise
    start, stop = separators[-dim]
    return line[:start], _parse(line[stop:], dim)


def _parse(numbers: bytes, dim: int | None) -> Vectors:
    """``[dim] float32``; ``dim`` None for the first line, which decides."""
    try:
        vector: Vectors = np.fromstring(numbers, np.float32, sep=" ")
    except (DeprecationWarning, ValueError):
        raise _NoWordError(f"{quoted(_first_bad(numbers))} is not a number") from None
    if len(vector) != dim and (dim is not None or not len(vector)):
        expected = "at least 1 number" if dim is None else f"{dim} numbers"
        raise _NoWordError(f"expected {expected}, got {len(vector)}")
    return _finite(vector, numbers)


def _finite(vector: Vectors, numbers: bytes = b"") -> Vectors:
    is_finite = np.isfinite(vector)
    if is_finite.all():
        return vector
    place = int(np.argmin(is_finite))
    bad = numbers.split()[place].decode() if numbers else vector[place]
    raise _NoWordError(f"{shortened(str(bad))} is not a finite float32 number")


def _first_bad(numbers: bytes) -> str:
    for field in numbers.split():
        try:
            float(field)
        except ValueError:
            return field.decode(errors="replace")
    return numbers.decode(errors="replace")
