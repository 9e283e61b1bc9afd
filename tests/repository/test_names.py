"""Names of modules, versions and aliases: what is refused, and by which rule."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub_tfx.errors import HandleError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.repository.names import MAX_CHARS, ModuleName, Reference, check_alias

HOSTILE = {
    "": "two parts",
    "words": "two parts",
    "acme/words/en/x": "two parts",
    "../words": "begin with a letter",
    "acme/..": "begin with a letter",
    "acme/a..b": r"holds '\.\.'",
    "/words": "publisher is empty",
    "acme/": "model is empty",
    "-/words": "begin with a letter",
    "-acme/words": "begin with a letter",
    ".acme/words": "begin with a letter",
    "acme/.words": "begin with a letter",
    "acme/words.": "ends with",
    "acme/words-": "ends with",
    "acme/%2e%2e": r"holds '%' \(U\+0025\)",
    "acme/wo rds": r"holds ' ' \(U\+0020\)",
    "acme/wоrds": r"U\+043E",  # A Cyrillic o.
    "аcme/words": r"U\+0430",  # A Cyrillic a.
    "acme/ｗords": r"U\+FF57",
    "acme/words\n": r"U\+000A",
    "acme/wo\0rds": r"U\+0000",
    "acme/wo\\rds": r"U\+005C",
    "acme/wo:rds": r"U\+003A",
    f"acme/{'w' * 300}": "300 characters, more than 100",
    f"{'a' * 300}/words": "300 characters, more than 100",
    "acme/words.json": r"ends as a file does, with \.json",
    "acme/words.JSON": "ends as a file does",
    "acme/words.tar.gz": r"ends as a file does, with \.gz",
    "acme/words.tgz": "ends as a file does",
    "acme/123": "is a number",
    "acme/١٢": r"U\+0661",  # Arabic digits.
}


@pytest.mark.parametrize(("text", "rule"), HOSTILE.items(), ids=map(ascii, HOSTILE))
def test_a_hostile_name_is_refused_by_the_rule_that_it_breaks(text: str, rule: str) -> None:
    with pytest.raises(HandleError, match=rule) as error:
        ModuleName.parse(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    "text",
    ["acme/words", "a/b", "Acme-2/bert_en_L-12_H-768.v2", f"{'a' * 100}/{'b' * 100}", "0a/1b"],
)
def test_a_plain_name_is_itself(text: str) -> None:
    assert str(ModuleName.parse(text)) == text
    assert ModuleHandle.parse(f"repo+/r//{text}").path == text


_ALLOWED = string.ascii_letters + string.digits + "._-"


@given(st.text() | st.text(_ALLOWED + "/", max_size=12) | st.text("./-%~a1A", max_size=8))
@example("a/b")
def test_what_is_allowed_is_one_path_of_plain_letters_everywhere(text: str) -> None:
    try:
        name = ModuleName.parse(text)
    except HandleError:
        return
    assert str(name) == text
    for part in (name.publisher, name.model):
        assert set(part) <= set(_ALLOWED)
        assert part[0].isalnum()
        assert len(part) <= MAX_CHARS
        assert not part.isdigit()
        assert ".." not in part
    assert Reference.parse(f"{text}/7") == Reference(name, version=7)
    assert Reference.parse(f"{text}@stable") == Reference(name, alias="stable")
    handle = ModuleHandle.parse(f"repo+/r//{text}/7")
    assert (handle.path, handle.version) == (text, 7)


@given(st.builds(ModuleName, *[st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)] * 2))
def test_a_reference_is_read_back(name: ModuleName) -> None:
    for reference in (Reference(name), Reference(name, 3), Reference(name, alias="stable")):
        assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize("text", ["a/b/0", "a/b/01", "a/b/-1", "a/b/x", "a/b@", "a/b@7", "a/b@x/1"])
def test_what_is_not_a_reference(text: str) -> None:
    with pytest.raises(HandleError):
        Reference.parse(text)


@pytest.mark.parametrize("text", ["", "7", "../x", "a b", "-x", "x.json", "é", "a/b", "x" * 300])
def test_a_hostile_alias_is_refused(text: str) -> None:
    with pytest.raises(HandleError, match="is not an alias"):
        check_alias(text)
