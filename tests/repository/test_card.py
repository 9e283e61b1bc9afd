"""Cards: what is right is taken as it is meant, what is wrong is told by file, line and key."""

import dataclasses
import hashlib
import re
from pathlib import Path

import pytest
from ending import must_end
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tfx.errors import CardError, HubTfxError, UsageError
from hub_tfx.repository.card import MAX_CARD_BYTES, Card, parse_card, read_card
from hub_tfx.repository.card_schema import DERIVED, KEYS, spdx
from hub_tfx.repository.vocabulary import DOMAINS, SAME_TASK, TASKS

RIGHT = {
    "summary": "Word vectors of English news.",
    "task": "text-embedding",
    "license": "Apache-2.0",
    "owners": "[Search Team]",
    "language": "en",
}


def card_of(body: str = "", **values: str | None) -> str:
    """A card that is right, with other values of some keys; None leaves a key out."""
    keys = {key: value for key, value in {**RIGHT, **values}.items() if value is not None}
    lines = [f"{key}: {value}" for key, value in keys.items()]
    return "\n".join(["---", *lines, "---", body])


def problems_of(source: str | bytes) -> tuple[str, ...]:
    with pytest.raises(CardError) as refused:
        parse_card(source, "README.md")
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems


def only_problem(source: str | bytes) -> str:
    [problem] = problems_of(source)
    return problem


def test_a_card_holds_what_its_author_says() -> None:
    source = card_of(
        "\n## Training data\n\nNews.\n",
        task="[text-embedding, text-classification]",
        license="mit or apache-2.0",
        language="[en, zh-hant]",
        datasets="[headlines, '2024']",
        architecture="skip-gram",
        collections="news",
        links="{paper: 'https://example.org/p?q=1#top'}",
    )
    assert parse_card(source) == Card(
        summary="Word vectors of English news.",
        task=("text-embedding", "text-classification"),
        license="MIT OR Apache-2.0",
        owners=("Search Team",),
        language=("en", "zh-Hant"),
        datasets=("headlines", "2024"),
        architecture=("skip-gram",),
        links={"paper": "https://example.org/p?q=1#top"},
        collections=("news",),
        body="## Training data\n\nNews.",
    )


def test_a_license_of_ones_own_has_a_name_and_a_link() -> None:
    card = parse_card(
        card_of(license="other", license_name="ACME 1", license_link="https://example.org/l")
    )
    assert (card.license, card.license_name) == ("other", "ACME 1")
    assert card.license_link == "https://example.org/l"


def test_the_digest_is_that_of_the_bytes_and_equal_words_make_equal_cards(tmp_path: Path) -> None:
    source = card_of("Text.\n").replace("\n", "\r\n").encode()
    (tmp_path / "README.md").write_bytes(source)
    card = read_card(tmp_path / "README.md")
    assert card.sha256 == hashlib.sha256(source).hexdigest()
    assert card == parse_card(card_of("Text.\n"))
    assert card.sha256 != parse_card(card_of("Text.\n")).sha256


def test_the_keys_are_the_attributes_of_a_card() -> None:
    names = {field.name for field in dataclasses.fields(Card)}
    assert names == {*KEYS, "body", "source", "path"}
    assert parse_card(card_of()).to_dict() == {
        "summary": "Word vectors of English news.",
        "task": ["text-embedding"],
        "license": "Apache-2.0",
        "owners": ["Search Team"],
        "language": ["en"],
    }
    assert not DERIVED & KEYS.keys()


def test_the_vocabulary_has_the_domains_of_tfhub_dev() -> None:
    assert all(task.startswith(tuple(f"{domain}-" for domain in DOMAINS)) for task in TASKS)
    assert len(set(TASKS)) == len(TASKS)
    assert set(SAME_TASK.values()) <= set(TASKS)
    assert not SAME_TASK.keys() & set(TASKS)


ROWS = {
    "summary": [
        (None, 1, "is missing; it takes plain text of at most 300 characters"),
        ("", 2, "is empty; it takes plain text of at most 300 characters"),
        ("'  '", 2, "is empty"),
        ("~", 2, "is empty"),
        ("a" * 301, 2, "has 301 characters; it takes at most 300"),
        ("[a, b]", 2, "takes plain text of at most 300 characters, not a list"),
        ("{a: b}", 2, "takes plain text of at most 300 characters, not a mapping"),
        ("2", 2, "2 is not a text to YAML: put it in quotes"),
        ("2024-01-01", 2, "2024-01-01 is not a text to YAML: put it in quotes"),
        ('"a\\nb"', 2, "holds a line break"),
        ('"a\\u202eb"', 2, r"holds characters that cannot be seen: 'a\u202eb'"),
        ('"a\\eb"', 2, r"holds characters that cannot be seen: 'a\x1bb'"),
        ('"see <b>this</b>"', 2, "holds '<b', which is markup"),
        ("see [this](https://example.org)", 2, "holds '](', which is markup"),
        ("the `module`", 2, "holds '`', which is markup"),
        ("'**best**'", 2, "holds '**', which is markup"),
    ],
    "task": [
        (None, 1, "is missing; it takes one of the tasks"),
        ("", 3, "is empty"),
        ("[]", 3, "is empty"),
        ("text-embeding", 3, "'text-embeding' is not a task; allowed are text-classification, "),
        ("text-embeding", 3, "; nearest: text-embedding"),
        ("image-classifier", 3, "; nearest: image-classification"),
        ("[text-embedding, text-embedding]", 3, "names 'text-embedding' twice"),
        ("music", 3, "'music' is not a task; allowed are image-aesthetic-quality, "),
        ("{a: b}", 3, "takes one of the tasks or a list of them"),
        (f"[{', '.join('a' * 101)}]", 3, "has 101 values; it takes at most 100"),
    ],
    "license": [
        (None, 1, "is missing; it takes an SPDX expression"),
        ("", 4, "is empty; it takes an SPDX expression"),
        ("Apache 2.0", 4, "'Apache 2.0' is not an SPDX license; it takes an SPDX expression"),
        ("Apache 2.0", 4, "or `other`; nearest: Apache-2.0"),
        ("apache2", 4, "; nearest: Apache-2.0"),
        ("The Apache License Version 2.0", 4, "; nearest: Apache-2.0"),
        ("MIT License", 4, "'MIT License' is not an SPDX license"),
        ("MIT License", 4, "; nearest: MIT"),
        ("CC BY 4.0", 4, "; nearest: CC-BY-4.0"),
        ("MIT OR Apache_2.0", 4, "'Apache_2.0' is not an SPDX license"),
        ("MIT OR (BSD-3-Clause", 4, "is not an SPDX expression"),
        ("MIT OR", 4, "is not an SPDX expression; it takes an SPDX expression, such as Apache-2.0"),
        ("MIT WITH MIT", 4, "is not an SPDX expression"),
        ("()", 4, "is not an SPDX expression"),
        ("'( OR :'", 4, "is not an SPDX expression"),
        ("MIT »", 4, "'MIT »' is not an SPDX license"),
        ("[MIT]", 4, "takes an SPDX expression, such as Apache-2.0 or `MIT OR Apache-2.0`"),
        ("mine", 4, "'mine' is not an SPDX license"),
    ],
    "owners": [
        (None, 1, "is missing; it takes a list of names"),
        ("", 5, "is empty"),
        ("[]", 5, "is empty"),
        ("Search Team", 5, "not one text: write `[Search Team]`"),
        ("[Ann, Ann]", 5, "names 'Ann' twice"),
        ("[Ann, '']", 5, "is empty"),
        ("{Ann: boss}", 5, "not a mapping"),
        ("[[Ann]]", 5, "takes a list of names, such as `[Jane Doe, Search Team]`, not a list"),
        ("[{Ann: boss}]", 5, "not a mapping"),
    ],
    "language": [
        (None, 3, "is missing for text-embedding; it takes a BCP-47 tag"),
        ("", 6, "is empty"),
        ("english", 6, "'english' is not a language tag of BCP-47"),
        ("english", 6, "; nearest: en"),
        ("en_US", 6, "; nearest: en-US"),
        ("iw", 6, "; nearest: he"),
        ("xx", 6, "'xx' is not a language tag of BCP-47"),
        ("no", 6, "no is not a text to YAML: put it in quotes"),
        ("[en, EN]", 6, "names 'en' twice"),
    ],
    "datasets": [
        ("", 7, "is empty; it takes a name or a list of names"),
        ("3", 7, "3 is not a text to YAML: put it in quotes"),
        ("{a: b}", 7, "takes a name or a list of names, not a mapping"),
    ],
    "architecture": [("[a, null]", 7, "is empty; it takes a name")],
    "collections": [("[a, a]", 7, "names 'a' twice")],
    "links": [
        ("https://example.org", 7, "takes names with URLs of https, such as `paper: https://"),
        ("{a: 'http://example.org'}", 7, "'http://example.org' is not a URL that starts with"),
        ("{a: 'javascript:alert(1)'}", 7, "is not a URL that starts with https://"),
        ("{a: '//example.org'}", 7, "is not a URL that starts with https://"),
        ("{a: 'https://'}", 7, "is not a URL that starts with https://"),
        ("{a: 'https://me:secret@example.org'}", 7, "holds a user name or password: remove what"),
        ("{a: 'me:secret@example.org/x'}", 7, "holds a user name or password: remove what"),
        ("{a: 'https://example.org:x'}", 7, "is not a valid URL: check its host and port"),
        ("{a: 'https://[::1'}", 7, "is not a valid URL"),
        ("{a: 'https://example.org/a b'}", 7, "holds a character that no URL may hold"),
        ("{a: 'https://exämple.org'}", 7, "holds a character that no URL may hold"),
        ("{a: [https://e.org]}", 7, "takes a URL that starts with https://, not a list"),
        ("{a: ''}", 7, "is empty; it takes a URL that starts with https://"),
        ("{a: 'https://e.org', a: 'https://e.org'}", 7, "names 'a' twice"),
        (f"{{a: 'https://e.org/{'x' * 2000}'}}", 7, "has 2014 characters; it takes at most 2000"),
    ],
    "license_name": [("ACME", 7, "goes with `license: other` only: remove it")],
    "license_link": [("https://e.org", 7, "goes with `license: other` only: remove it")],
}


@pytest.mark.parametrize(
    ("key", "value", "line", "what"),
    [(key, *row) for key, rows in ROWS.items() for row in rows],
)
def test_a_wrong_value_is_told_by_line_and_key(
    key: str, value: str | None, line: int, what: str
) -> None:
    problem = only_problem(card_of(**{key: value}))
    assert problem.startswith(f"README.md:{line}: {key}: ")
    assert what in problem
    assert "secret" not in problem


def test_language_is_asked_for_where_a_task_is_about_text() -> None:
    parse_card(card_of(task="image-feature-vector", language=None))
    problem = only_problem(card_of(task="[image-others, text-embedding]", language=None))
    assert problem.startswith("README.md:3: language: is missing for text-embedding")


@pytest.mark.parametrize("key", ["license_name", "license_link"])
def test_another_license_needs_both_a_name_and_a_link(key: str) -> None:
    both = {"license_name": "ACME", "license_link": "https://example.org"}
    problem = only_problem(card_of(license="other", **{**both, key: None}))
    assert problem.startswith(f"README.md:4: {key}: is missing for `license: other`; it takes ")


@pytest.mark.parametrize("key", sorted(DERIVED))
def test_what_is_derived_is_not_typed(key: str) -> None:
    problem = only_problem(card_of(**{key: "[{name: x, results: [{task: {type: y}}]}]"}))
    assert problem.startswith(f"README.md:7: {key}: is derived, remove it: ")


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("owner", "owners"),
        ("licence", "license"),
        ("Dataset", "datasets"),
        ("description", "summary"),
        ("pipeline_tag", "task"),
        ("zzz", None),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(key: str, near: str | None) -> None:
    problem = only_problem(card_of(**{key: "x"}))
    assert problem.startswith(f"README.md:7: {key}: is not a key of a card; allowed are summary, ")
    assert problem.partition("; nearest: ")[2] == (near or "")


def test_a_key_that_is_there_twice_is_refused() -> None:
    source = card_of().replace("language: en", "language: en\nsummary: Another.")
    assert only_problem(source) == (
        "README.md:7: summary: is there twice, first on line 2: remove one of them"
    )


def test_all_errors_of_a_card_are_told_at_once_by_line() -> None:
    source = card_of(summary="", task="music", license="mine", owner="x", language="xx")
    lines = [int(re.match(r"README.md:(\d+): ", problem)[1]) for problem in problems_of(source)]
    assert lines == [2, 3, 4, 6, 7]
    many = "---\n" + "".join(f"key{n}: x\n" for n in range(1000)) + "---\n"
    assert len(problems_of(many)) < 60
    assert "too many errors" in problems_of(many)[-1]


def test_a_wrong_item_of_a_list_has_its_own_line() -> None:
    source = card_of(language="\n  - en\n  - english")
    assert only_problem(source).startswith("README.md:8: language: 'english' is not")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("", "1: the card does not start with a line `---` and its keys in YAML"),
        ("# Title\n", "1: the card does not start with a line `---` and its keys in YAML"),
        ("---\nsummary: x\n", "1: the front matter has no end"),
        (b"\xef\xbb\xbf" + card_of().encode(), "1: it starts with a byte order mark"),
        (card_of().encode("utf-16"), "1: it is not UTF-8: save it in this encoding"),
        (card_of("caf\xe9").encode("latin-1"), "8: it is not UTF-8"),
        (card_of("a\0b"), r"8: it holds the character '\x00': remove it"),
        (card_of("\x1b[2J"), r"8: it holds the character '\x1b': remove it"),
        (card_of("a\rb"), r"8: it holds the character '\r': remove it"),
        (card_of("a\u2028b"), r"8: it holds the character '\u2028': remove it"),
        ("---\n- a\n---\n", "2: it is not a list of keys and values"),
        ("---\nabc\n---\n", "2: it is not a list of keys and values"),
        ("---\na: b: c\n---\n", "2: it is not YAML: mapping values are not allowed here"),
        ("---\na: b\n\tc: d\n---\n", "3: it is not YAML"),
        ("---\na: 'x\n---\n", "2: it is not YAML"),
        ("---\na: \ufffe\n---\n", "2: it is not YAML"),
        ("---\na: b\n...\nc: d\n---\n", "4: it holds two documents"),
        ("---\n--- {a: b}\n---\n", "2: directives and `--- ` are not taken"),
        ("---\n%YAML 1.1\n--- {a: b}\n---\n", "3: directives and `--- ` are not taken"),
        ("---\na: &x b\n---\n", "2: anchors and aliases are not taken: write the value out"),
        ("---\na: [b]\nc: *a\n---\n", "3: anchors and aliases are not taken"),
        ("---\na: !!str 3\n---\n", "2: tags are not taken: remove 'tag:yaml.org,2002:str'"),
        ("---\na: !!python/name:os.system\n---\n", "2: tags are not taken: remove "),
        ("---\na: !x [b]\n---\n", "2: tags are not taken: remove '!x'"),
        (f"---\na: {'[' * 20}{']' * 20}\n---\n", "2: it is nested more than 20 deep"),
        ("---\n? [a]\n: b\n---\n", "2: a key is a list or a mapping: it takes a text"),
    ],
)
def test_what_is_not_a_card_at_all_is_one_error_with_its_line(
    source: str | bytes, problem: str
) -> None:
    assert only_problem(source).startswith(f"README.md:{problem}")


def test_keys_of_odd_names_are_quoted() -> None:
    assert only_problem(card_of(**{'"a\\e[2J"': "x"})).startswith(
        r"README.md:7: 'a\x1b[2J': is not"
    )
    assert "…: is not a key" in only_problem(card_of(**{"k" * 500: "x"}))
    assert "README.md:7: '<<': is not a key" in only_problem(card_of(**{"<<": "x"}))


def test_a_card_has_at_most_64_kib() -> None:
    room = MAX_CARD_BYTES - len(card_of("\n"))
    parse_card(card_of("x" * room + "\n"))
    problem = only_problem(card_of("x" * (room + 1) + "\n"))
    assert problem == "README.md:1: a card has at most 64 KiB: shorten it"


def test_no_more_than_that_is_read_of_a_file_without_end(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(card_of().encode())
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(CardError, match="at most 64 KiB"):
        read_card(path)


def test_a_file_that_cannot_be_read_is_an_error_of_usage(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"no\.md: cannot be read: No such file") as refused:
        read_card(tmp_path / "no.md")
    assert isinstance(refused.value, UsageError)
    with pytest.raises(CardError, match="cannot be read: it is a directory, not a file"):
        read_card(tmp_path)


LAUGHS = "a: &a [lol, lol]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)
PIECES = ["[", "{", "{a: ", "- ", "? ", "a: [", "!x ", "&a ", "*a ", '"', "'", "1:"]


def test_aliases_that_would_grow_without_end_are_refused() -> None:
    assert "anchors and aliases are not taken" in only_problem(f"---\n{LAUGHS}---\n")


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("before", ["", "a: ["])
def test_hostile_yaml_takes_linear_time(before: str, piece: str) -> None:
    size = MAX_CARD_BYTES - 100
    with must_end():
        assert problems_of(f"---\n{before}{piece * (size // len(piece))}\n---\n")


def either(source: bytes | str) -> None:
    """A card, or an error of ours."""
    try:
        card = parse_card(source)
    except HubTfxError as error:
        told = error.lines
    else:
        told = (card.summary,)
    assert all(told)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_card_or_an_error_of_ours(source: bytes) -> None:
    either(source)
    either(b"---\n" + source + b"\n---\n")


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted({*KEYS, *list(DERIVED)[:2]})), st.text(max_size=60))
def test_any_value_of_a_key_is_taken_or_refused(key: str, value: str) -> None:
    either(card_of(**{key: value}))
    either(card_of(**{key: f"[{value}]"}))
    either(card_of(links=f"{{{value}: {value}}}"))


@settings(deadline=None, max_examples=60)
@given(st.text("ab:{}[]&*!|>'\"%#-?, \n\t\\~<", max_size=40))
def test_any_yaml_is_a_card_or_an_error_of_ours(yaml: str) -> None:
    either(f"---\n{yaml}\n---\n")


WORDS = ["MIT", "GPL-2.0", "Classpath-exception-2.0", "OR", "AND", "WITH", *"()+x:,é"]
SPDX = st.lists(st.sampled_from(WORDS), max_size=8)


@settings(deadline=None, max_examples=60)
@given(SPDX)
def test_any_expression_is_a_license_or_not(words: list[str]) -> None:
    normal, unknown = spdx(" ".join(words))
    assert not (normal and unknown)
    if normal:
        assert spdx(normal) == (normal, "")
