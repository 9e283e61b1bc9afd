"""Reading word2vec and GloVe text files."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.errors import InputError
from hub_tfx.module.vectors import read_vectors

words = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters=" \t\r\n"), min_size=1
)
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[float]]:
    dim = draw(st.integers(1, 5))
    return draw(
        st.dictionaries(
            words, st.lists(numbers, min_size=dim, max_size=dim), min_size=1, max_size=8
        )
    )


@given(table=tables(), header=st.booleans(), packed=st.booleans())
def test_what_was_written_is_read(
    table: dict[str, list[float]],
    header: bool,
    packed: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    lines = [" ".join([word, *map(repr, vector)]) for word, vector in table.items()]
    dim = len(next(iter(table.values())))
    text = "".join(f"{line}\n" for line in ([f"{len(table)} {dim}"] if header else []) + lines)
    path = tmp_path_factory.mktemp("vectors") / ("v.txt.gz" if packed else "v.txt")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    vocabulary, vectors = read_vectors(path)
    assert vocabulary == list(table)
    assert vectors.dtype == np.float32
    assert vectors.tolist() == list(table.values())


def test_tabs_and_trailing_blanks_are_separators(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(b"2 2 \r\ncat\t1\t2 \r\ndog 3 4")
    vocabulary, vectors = read_vectors(tmp_path / "v.txt")
    assert vocabulary == ["cat", "dog"]
    assert vectors.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat 1 2\ndog 3\n", r"v\.txt:2: expected 2 numbers, got 1"),
        (b"2 3\ncat 1 2\n", r"v\.txt:2: expected 3 numbers, got 2"),
        (b"cat 1 2\ndog 3 4 5\n", r"v\.txt:2: expected 2 numbers, got 3"),
        (b"cat\n", r"v\.txt:1: expected at least 1 number, got 0"),
        (b"cat 1 2\n\n", r"v\.txt:2: expected a word and its numbers, got an empty word"),
        (b"cat 1 x\n", r"v\.txt:1: 'x' is not a number"),
        (b"cat 1 nan\n", r"v\.txt:1: nan is not a finite float32 number"),
        (b"cat 1 2\ndog -inf 1\n", r"v\.txt:2: -inf is not a finite"),
        (b"cat 1 1e39\n", r"v\.txt:1: 1e39 is not a finite"),
        (b"cat 1\ndog 2\ncat 3\n", r"v\.txt:3: the word 'cat' was already on line 1"),
        (b"3 1\ncat 1\ndog 2\n", r"promises 3 vectors, but it holds 2"),
        (b"\xff\xfe 1 2\n", r"v\.txt:1: the word is not UTF-8"),
        (b"", r"v\.txt: holds no vectors"),
        (b"0 3\n", r"v\.txt: holds no vectors"),
    ],
)
def test_an_error_names_the_line_and_what_is_wrong(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_vectors(tmp_path / "v.txt")


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_vectors(tmp_path / "v.txt")


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"no gzip"])
def test_a_damaged_gzip_file_is_an_input_error(damage, tmp_path: Path) -> None:
    (tmp_path / "v.txt.gz").write_bytes(damage(gzip.compress(b"cat 1 2\n" * 100)))
    with pytest.raises(InputError, match=r"v\.txt\.gz"):
        read_vectors(tmp_path / "v.txt.gz")


def test_reading_imports_no_tensorflow() -> None:
    code = "import sys, hub_tfx.module.vectors; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
