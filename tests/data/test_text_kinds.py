"""What becomes of text files: the table "Text" of docs/inputs.md."""

import pytest
from kinds import BYTES, TEXT, Kinds, read_one

from hub_tfx.data.readers import streams
from hub_tfx.errors import InputError

KINDS = Kinds("Text")


def test_each_row_of_the_table_is_tested():
    KINDS.check_all_are_tested()


@pytest.fixture
def texts(tmp_path):
    """Reads a text file of these bytes."""

    def read(content, use=TEXT):
        (tmp_path / "a.txt").write_bytes(content)
        return read_one(tmp_path / "a.txt", use, "text")

    return read


@KINDS.row("a line")
def test_a_line_is_a_record_even_if_it_is_empty(texts):
    assert texts(b"one\n\n three \n") == ["one", "", " three "]


@KINDS.row("Windows line ends, no last line end")
def test_line_ends_are_no_part_of_the_text(texts):
    assert texts(b"one\r\ntwo\r\nthree") == ["one", "two", "three"]


@KINDS.row("a byte order mark of UTF-8")
def test_a_byte_order_mark_is_no_part_of_the_text(texts):
    assert texts(b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n") == ["one", "\ufefftwo"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["le", "be"])
@KINDS.row("UTF-16, UTF-32 with a byte order mark")
def test_utf_16_and_utf_32_are_known_by_their_mark(texts, encoding, order):
    content = "\ufeffone ü 猫\r\n\ntwo 🐈".encode(f"{encoding}-{order}")
    assert texts(content) == ["one ü 猫", "", "two 🐈"]
    with pytest.raises(InputError, match=rf"a\.txt begins as {encoding.upper()} but is not"):
        texts(content[:-1])


def test_half_a_character_of_utf_16_is_rejected_alone(texts):
    content = "\ufeffone\ncut \ud83d\nthree\n".encode("utf-16-le", "surrogatepass")
    one, reason, three = texts(content)
    assert (one, three) == ("one", "three")
    assert "UTF-8" in reason


@KINDS.row("bytes that are not UTF-8")
def test_bytes_that_are_not_utf_8_are_rejected_or_fed_as_they_are(texts):
    content = b"one\ncaf\xe9\nthree\n"
    one, reason, three = texts(content)
    assert (one, three) == ("one", "three")
    assert "UTF-8" in reason
    assert texts(content, BYTES) == [b"one", b"caf\xe9", b"three"]


@KINDS.row("a line of more than 1 GiB")
def test_a_line_that_is_too_long_is_rejected_alone(texts, monkeypatch):
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 1000)
    assert texts(b"one\n" + b"x" * 5000 + b"\nthree\n") == [
        "one",
        "a line of 1,000 bytes or more",
        "three",
    ]
    long = f"\ufeffone\n{'x' * 5000}\nthree\n".encode("utf-16-le")
    assert texts(long) == ["one", "a line of 1,000 bytes or more", "three"]
