"""YAML in blocks: what is written for other programs is what every one of them reads."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hub_tfx._yaml import YamlError, block, plain, read_mapping

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["no", "1e5", "0o14", "1:30", "~", "- a", "a: b", "#", "|", "\n"]),
    st.lists(st.text(" abc:#-é\t", max_size=8), max_size=5).map("\n".join),
)
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(-(10**9), 10**9), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=15,
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4))
def test_all_readers_read_what_was_written(value):
    text = block(value)
    assert yaml.safe_load(text) == value
    assert YAML(typ="safe", pure=True).load(text) == value
    assert plain(read_mapping(text, like="a: b")) == value


def test_a_text_of_several_lines_is_as_it_was():
    text = "a: b\n\n  c: # d\n"
    written = block({"file": text, "files": [text.removesuffix("\n")]})
    assert written == ("file: |\n  a: b\n\n    c: # d\nfiles:\n- |-\n  a: b\n\n    c: # d\n")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("a: 1\nb: 2\na: 3", "'a' is there twice"), ("a: yes", "'yes' is a text to some tools only")],
)
def test_what_has_two_meanings_is_refused(text, complaint):
    with pytest.raises(YamlError, match=complaint):
        plain(read_mapping(text, like="a: b"))
