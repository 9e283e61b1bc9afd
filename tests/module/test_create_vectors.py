"""Reading word vectors as GloVe, fastText and word2vec have them."""

import bz2
import gzip
import lzma
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub_tfx.errors import InputError
from hub_tfx.module.vectors import read_vectors, read_word_vectors

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
def test_a_strict_error_names_the_line_and_what_is_wrong(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_vectors(tmp_path / "v.txt", strict=True)


# GloVe 840B has words with spaces; official files of fastText have blank words and equal ones.
AS_PUBLISHED = {
    "spaces in words": (
        b"the 1 2\n. . . 3 4\nat me@x.com 5 6\nat 5 7 8\n",
        {"the": [1, 2], ". . .": [3, 4], "at me@x.com": [5, 6], "at 5": [7, 8]},
        (),
    ),
    "a number for a word": (b"2 1 2\n1,5 3 4\n", {"2": [1, 2], "1,5": [3, 4]}, ()),
    "nan and inf for words": (
        b"the 1 2\nnan 3 4\ninf 5 6\n",
        {"the": [1, 2], "nan": [3, 4], "inf": [5, 6]},
        (),
    ),
    "a blank word": (
        b"3 2\nthe 1 2\n  3 4\ncat 5 6\n",
        {"the": [1, 2], "cat": [5, 6]},
        ("line 3: expected a word and its numbers, got an empty word",),
    ),
    "a word of no-break space": (
        b"the 1 2\n\xc2\xa0 3 4\n",
        {"the": [1, 2], "\u00a0": [3, 4]},
        (),
    ),
    "a blank before a word": (b"the 1 2\n cat 3 4\n", {"the": [1, 2], "cat": [3, 4]}, ()),
    "an equal word": (
        b"the 1 2\ncat 3 4\nthe 5 6\n",
        {"the": [1, 2], "cat": [3, 4]},
        ("line 3: the word 'the' was already on line 1: keep one",),
    ),
    "an empty line": (
        b"2 2\nthe 1 2\ncat 3 4\n\n",
        {"the": [1, 2], "cat": [3, 4]},
        ("line 4: expected a word and its numbers, got an empty word",),
    ),
    "a last line cut short": (
        b"the 1 2\ncat 3 4\ndog 5",
        {"the": [1, 2], "cat": [3, 4]},
        ("line 3: expected 2 numbers, got 1, where the file ends",),
    ),
    "no line break at the end": (b"the 1 2\ncat 3 4", {"the": [1, 2], "cat": [3, 4]}, ()),
    "a byte order mark": (b"\xef\xbb\xbfthe 1 2\ncat 3 4\n", {"the": [1, 2], "cat": [3, 4]}, ()),
    "one before the header": (b"\xef\xbb\xbf1 2\nthe 1 2\n", {"the": [1, 2]}, ()),
    "blanks at the end": (b"2 2 \nthe 1 2 \ncat\t3\t4\t\n", {"the": [1, 2], "cat": [3, 4]}, ()),
    "carriage returns": (b"2 2\r\nthe 1 2\r\ncat 3 4\r\n", {"the": [1, 2], "cat": [3, 4]}, ()),
    "a word that is not UTF-8": (
        b"the 1 2\nd\xe9j\xe0 3 4\n",
        {"the": [1, 2]},
        (
            "line 2: the word is not UTF-8 (invalid continuation byte): save the vectors as text "
            "in UTF-8",
        ),
    ),
    "what is not a number": (
        b"the 1 2\ncat 1 x\ndog nan 2\nowl 1 1e39\n",
        {"the": [1, 2]},
        (
            "line 2: 'x' is not a number",
            "line 3: nan is not a finite float32 number",
            "line 4: 1e39 is not a finite float32 number",
        ),
    ),
    "a bad first line": (
        b"cat 1\ndog 3 4\nowl 5 6\n",
        {"dog": [3, 4], "owl": [5, 6]},
        ("line 1: expected 2 numbers, got 1",),
    ),
    "a first word with a space": (
        b". . 1 2\nthe 3 4\n",
        {". .": [1, 2], "the": [3, 4]},
        (),
    ),
}


@pytest.mark.parametrize("kind", AS_PUBLISHED)
def test_a_file_is_read_as_it_is_published(kind: str, tmp_path: Path, caplog) -> None:
    content, words, left_out = AS_PUBLISHED[kind]
    (tmp_path / "v.txt").write_bytes(content)
    read = read_word_vectors(tmp_path / "v.txt")
    assert dict(zip(read.vocabulary, read.vectors.tolist(), strict=True)) == words
    assert read.left_out == left_out
    assert caplog.messages == (
        [
            f"{tmp_path}/v.txt: lines left out because they give no word: {len(left_out)} "
            f"({'; '.join(left_out)})"
        ]
        if left_out
        else []
    )


def test_the_warning_names_the_first_lines_only(tmp_path: Path, caplog) -> None:
    (tmp_path / "v.txt").write_bytes(b"the 1 2\n" * 9)
    assert len(read_word_vectors(tmp_path / "v.txt").left_out) == 8
    assert "line 6: " in caplog.text
    assert "line 7" not in caplog.text
    assert "no word: 8 (line 2: " in caplog.text


def test_a_count_that_is_not_true_is_a_warning(tmp_path: Path, caplog) -> None:
    (tmp_path / "v.txt").write_bytes(b"3 2\nthe 1 2\ncat 3 4\n")
    assert read_vectors(tmp_path / "v.txt")[0] == ["the", "cat"]
    assert "promises 3 vectors, but it holds 2: is it cut short?" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"v\.txt: holds no vectors"),
        (b"0 3\n", r"v\.txt: holds no vectors"),
        (b"cat\n", r"v\.txt:1: expected at least 1 number, got 0"),
        (b"cat 1 x\n", r"v\.txt:1: 'x' is not a number"),
        (b"2 3\ncat 1 2\ndog 3 4\n", r"promises vectors of 3 numbers, but line 2 .* have 2"),
        (b"\x80\x04\x95pickle", "is a pickle"),
        (b"\xba\x16\x4f\x2f\x0c\0\0\0", r"binary model of fastText: take its \.vec"),
        (b"\0\1\2\3", r"v\.txt:1: expected at least 1 number"),
        (b"\xff\xfet\0h\0e\0 \x001\0\n\0", r"v\.txt:1: "),
    ],
)
def test_what_holds_no_vectors_is_one_error(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_vectors(tmp_path / "v.txt")


@example(table={"0": [-1412249805651968.0]}, breaks=False, strict=True)  # It ends in half a letter.
@given(table=tables(), breaks=st.booleans(), strict=st.booleans())
def test_word2vecs_binary_format(
    table: dict[str, list[float]],
    breaks: bool,
    strict: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    dim = len(next(iter(table.values())))
    end = b"\n" if breaks else b""
    records = [
        word.encode() + b" " + np.array(vector, "<f4").tobytes() + end
        for word, vector in table.items()
    ]
    path = tmp_path_factory.mktemp("vectors") / "v.bin"
    path.write_bytes(b"%d %d\n" % (len(table), dim) + b"".join(records))
    if _looks_like_text(records[0], dim):
        return
    vocabulary, vectors = read_vectors(path, strict=strict)
    assert vocabulary == list(table)
    assert vectors.tolist() == list(table.values())


def _looks_like_text(record: bytes, dim: int) -> bool:
    """Some few floats are made of bytes that are letters."""
    numbers = record.partition(b" ")[2][: 4 * dim]
    try:
        numbers.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in numbers


def test_a_binary_file_that_is_cut_short_is_a_warning(tmp_path: Path, caplog) -> None:
    records = [b"w%d " % n + np.array([n, 0.5], "<f4").tobytes() for n in range(3)]
    content = b"3 2\n" + b"".join(records)
    (tmp_path / "v.bin").write_bytes(content[:-3])
    assert read_vectors(tmp_path / "v.bin")[0] == ["w0", "w1"]
    assert "promises 3 vectors, but it holds 2" in caplog.text
    (tmp_path / "v.bin").write_bytes(content.replace(b"w2", b"w0"))
    assert read_word_vectors(tmp_path / "v.bin").left_out == (
        "record 3: the word 'w0' was already on record 1: keep one",
    )
    with pytest.raises(InputError, match=r"v\.bin: record 3: the word 'w0'"):
        read_vectors(tmp_path / "v.bin", strict=True)


def _write_packed(path: Path, content: bytes) -> None:
    """As its suffix says; by gzip for any other."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("glove.txt", content)
        return
    pack = {".bz2": bz2.compress, ".xz": lzma.compress}.get(path.suffix, gzip.compress)
    path.write_bytes(pack(content))


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zip", "txt"])
def test_a_packed_file_is_known_by_its_bytes(suffix: str, tmp_path: Path) -> None:
    _write_packed(tmp_path / f"v.{suffix}", b"the 1 2\ncat 3 4\n")
    assert read_vectors(tmp_path / f"v.{suffix}")[0] == ["the", "cat"]


def test_a_zip_archive_of_several_files_is_one_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "v.zip", "w") as archive:
        for name in ("a.50d.txt", "a.100d.txt"):
            archive.writestr(name, "the 1 2\n")
    with pytest.raises(InputError, match=r"several files: .* give one of a\.50d\.txt, a\.100d"):
        read_vectors(tmp_path / "v.zip")


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_vectors(tmp_path / "v.txt")


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"no archive"])
@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zip"])
def test_a_damaged_packed_file_is_an_input_error(suffix: str, damage, tmp_path: Path) -> None:
    _write_packed(tmp_path / f"v.{suffix}", b"".join(b"w%d 1 2\n" % n for n in range(1000)))
    path = tmp_path / f"v.{suffix}"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=rf"v\.{suffix}: cannot be read"):
        read_vectors(path)


def test_reading_imports_no_tensorflow() -> None:
    code = "import sys, hub_tfx.module.vectors; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
