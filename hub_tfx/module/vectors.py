"""Reads word vectors from word2vec and GloVe text files. Imports no TensorFlow."""

import gzip
import os
import re
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hub_tfx.errors import InputError

Vectors = npt.NDArray[np.float32]

_HEADER = re.compile(rb"(\d+)[ \t]+(\d+)")
_SEPARATOR = re.compile(rb"[ \t]")


def read_vectors(path: str | os.PathLike[str]) -> tuple[list[str], Vectors]:
    """Reads a file of one word and its numbers a line, separated by spaces or tabs.

    A first line of two whole numbers is word2vec's header, count and dimension, and is held to be
    true. Files whose name ends in ``.gz`` are unpacked on the way. Every word may come once.

    Returns:
      The words in the order of the file, and their vectors ``[words, dim] float32``.

    Raises:
      InputError: the file is missing, empty, cut short or damaged, or a line of it is no word with
        as many finite numbers as the first; the message begins with ``file:line``.
    """
    path = Path(path)
    reader = _Reader(path)
    try:
        with _open(path) as file:
            for number, line in enumerate(file, start=1):
                reader.read(number, line)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read: {reason}") from error
    return reader.finish()


def _open(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


class _Reader:
    """What was read so far. Numbers go to one growing buffer: files of gigabytes are common."""

    def __init__(self, path: Path):
        self._path = path
        self._lines: dict[str, int] = {}
        self._numbers = bytearray()
        self._dim: int | None = None
        self._promised: int | None = None

    def read(self, number: int, line: bytes) -> None:
        line = line.rstrip(b" \t\r\n")
        where = f"{self._path}:{number}"
        if number == 1 and (header := _HEADER.fullmatch(line)):
            self._promised, self._dim = int(header[1]), int(header[2])
            return
        word, numbers = self._split(where, line)
        vector = _parse(where, numbers, self._dim)
        if word in self._lines:
            raise InputError(
                f"{where}: the word {word!r} was already on line {self._lines[word]}: keep one"
            )
        self._dim = len(vector)
        self._lines[word] = number
        self._numbers += vector.tobytes()

    def finish(self) -> tuple[list[str], Vectors]:
        if not self._lines:
            raise InputError(f"{self._path}: holds no vectors")
        if self._promised not in (None, len(self._lines)):
            raise InputError(
                f"{self._path}: its first line promises {self._promised} vectors, "
                f"but it holds {len(self._lines)}: is it cut short?"
            )
        vectors = np.frombuffer(self._numbers, np.float32).reshape(len(self._lines), -1)
        return list(self._lines), vectors

    @staticmethod
    def _split(where: str, line: bytes) -> tuple[str, bytes]:
        word, *numbers = _SEPARATOR.split(line, maxsplit=1)
        if not word:
            raise InputError(f"{where}: expected a word and its numbers, got an empty word")
        try:
            return word.decode(), numbers[0] if numbers else b""
        except UnicodeDecodeError as error:
            raise InputError(
                f"{where}: the word is not UTF-8 ({error.reason}): is this the binary format? "
                "Save the vectors as text"
            ) from error


def _parse(where: str, numbers: bytes, dim: int | None) -> Vectors:
    """``[dim] float32``; ``dim`` None for the first line, which decides."""
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        # np.fromstring only warns about what is no number; it is ten times as fast as float().
        warnings.simplefilter("error", DeprecationWarning)
        try:
            vector = np.fromstring(numbers, np.float32, sep=" ")
        except (DeprecationWarning, ValueError):
            raise InputError(f"{where}: {_first_bad(numbers)!r} is not a number") from None
    if len(vector) != dim and (dim is not None or not len(vector)):
        expected = "at least 1 number" if dim is None else f"{dim} numbers"
        raise InputError(f"{where}: expected {expected}, got {len(vector)}")
    if not np.isfinite(vector).all():
        bad = numbers.split()[int(np.argmin(np.isfinite(vector)))].decode()
        raise InputError(f"{where}: {bad} is not a finite float32 number")
    return vector


def _first_bad(numbers: bytes) -> str:
    for field in numbers.split():
        try:
            float(field)
        except ValueError:
            return field.decode(errors="replace")
    return numbers.decode(errors="replace")
