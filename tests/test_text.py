"""What is printed on a terminal cannot command it."""

from hypothesis import given
from hypothesis import strategies as st

from hub_tfx._text import printable


def test_control_characters_are_shown_as_escapes() -> None:
    assert printable("\x1b[2Jgone\n\x7f\u202e") == r"\x1b[2Jgone\n\x7f\u202e"


@given(st.text())
def test_any_text_becomes_one_printable_line_and_printable_text_stays(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


def test_letters_of_any_script_stay() -> None:
    assert printable("wörld 猫 №1") == "wörld 猫 №1"
