"""Cards of tfhub.dev: what they say is taken over, what is not is told."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tfx.errors import CardError
from hub_tfx.repository.card import parse_card
from hub_tfx.repository.card_import import ImportedCard, convert_card, import_card

TEXT = """\
# Module acme/news-en-dim64/3
Word vectors of **English** news, as in [our report](https://example.org/report).

<!-- asset-path: https://example.org/news.tar.gz -->
<!-- task: text-embedding -->
<!-- language: en -->
<!-- dataset: headlines, almanac -->
<!-- network-architecture: skip-gram -->
<!-- fine-tunable: true -->
<!-- format: saved_model_2 -->
<!-- license: apache-2.0 -->
<!-- colab: https://example.org/news.ipynb -->

## Overview

Each word has a vector; a text has the mean of them.

<!-- task: this one is a remark -->
"""

OLD_IMAGES = """\
# Module acme/planes/classification/1

<!-- module-type: image-classifier -->
<!-- task: image-classification -->
<!-- dataset: planes-2019 -->
<!-- network-architecture: TinyNet -->
<!-- interactive-visualizer: vision -->
<!-- license: custom -->
<!--
parent-model: acme/planes/1
-->

Tells forty kinds of planes apart.

Photographs were taken from below.
"""

SOUND = """\
# Lite acme/birds/lite/1
Calls of
birds.
<!-- interactive-visualizer: birds -->
<!-- task: audio-birds -->
<!-- language: english -->
<!-- license: Apache 2.0 -->
<!-- demo: http://example.org -->
"""


def converted(text: str) -> ImportedCard:
    return convert_card(text.encode(), "1.md")


def test_a_text_module_comes_over_whole() -> None:
    imported = converted(TEXT)
    card = parse_card(imported.text)
    assert card.summary == "Word vectors of English news, as in our report."
    assert (card.task, card.language) == (("text-embedding",), ("en",))
    assert (card.license, card.owners) == ("Apache-2.0", ("acme",))
    assert card.datasets == ("headlines", "almanac")
    assert card.architecture == ("skip-gram",)
    assert card.links == {"colab": "https://example.org/news.ipynb"}
    assert card.body.startswith("## Overview\n\nEach word has a vector")
    assert "this one is a remark" in card.body
    assert imported.notes == (
        "1.md:1: the version in the title is dropped: it is derived",
        "1.md:4: asset-path: is dropped: it is derived from the module",
        "1.md:9: fine-tunable: is dropped: it is derived from the module",
        "1.md:10: format: is dropped: it is derived from the module",
    )


def test_an_old_card_gets_todays_task_and_a_license_to_fill_in() -> None:
    imported = converted(OLD_IMAGES)
    with pytest.raises(CardError) as refused:
        parse_card(imported.text, "README.md")
    keys = [problem.split(": ")[1] for problem in refused.value.problems]
    assert keys == ["license_name", "license_link"]
    assert "task: [image-classification]" in imported.text
    assert "summary: Tells forty kinds of planes apart." in imported.text
    assert imported.text.endswith(
        "---\n\n<!-- interactive-visualizer: vision -->\n\nPhotographs were taken from below.\n"
    )
    assert [note for note in imported.notes if "custom" in note] == [
        "1.md:8: license: is custom: fill in its name and link"
    ]
    assert any(note.startswith("1.md:7: interactive-visualizer: is not") for note in imported.notes)
    assert not any("twice" in note for note in imported.notes)
    assert any(note.startswith("1.md:9: parent-model: is dropped") for note in imported.notes)


def test_what_cannot_be_mapped_is_told_and_left_to_be_filled_in() -> None:
    imported = converted(SOUND)
    told = {note.split(": ")[1]: note for note in imported.notes[1:]}
    assert "'audio-birds' is not a task; allowed are audio-command-detection" in told["task"]
    assert told["language"].endswith("; nearest: en")
    assert told["license"].endswith("; nearest: Apache-2.0")
    assert "'http://example.org' is not a URL that starts with https://" in told["links"]
    assert "\nsummary: Calls of birds.\n" in imported.text
    for key in ("task", "license"):
        assert f"\n{key}:\n" in imported.text


@pytest.mark.parametrize(
    ("language", "tag"), [("multilingual", "mul"), ("zh-cn", "zh-CN"), ("no", "no"), ("EN", "en")]
)
def test_languages_are_written_as_bcp_47_has_them(language: str, tag: str) -> None:
    imported = converted(TEXT.replace("language: en", f"language: {language}"))
    assert parse_card(imported.text).language == (tag,)


def test_a_long_first_paragraph_stays_where_it_is() -> None:
    imported = converted(TEXT.replace("Word vectors", "Word vectors " * 30))
    assert "1.md:2: summary: the first paragraph has " in "\n".join(imported.notes)
    assert "\nsummary:\n" in imported.text
    assert "\n---\n\nWord vectors Word vectors " in imported.text


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (b"", "1.md:1: it does not begin with `# Module publisher/name/version`"),
        (b"# News\n", "1.md:1: it does not begin with"),
        (b"# Publisher acme/x\n", "1.md:1: it is about a Publisher, not about a module"),
        (b"# Collection acme/all/1\n", "1.md:1: it is about a Collection, not about a module"),
        (b"\xff", "1.md:1: it is not UTF-8"),
        (b"x" * 70_000, "1.md:1: a card has at most 64 KiB"),
    ],
)
def test_what_is_not_about_a_module_is_refused(source: bytes, problem: str) -> None:
    with pytest.raises(CardError) as refused:
        convert_card(source, "1.md")
    assert str(refused.value).startswith(problem)


def test_files_are_read_and_named(tmp_path: Path) -> None:
    (tmp_path / "1.md").write_text(TEXT)
    assert import_card(tmp_path / "1.md").text == converted(TEXT).text
    with pytest.raises(CardError, match=r"no\.md: cannot be read"):
        import_card(tmp_path / "no.md")


@settings(deadline=None, max_examples=60)
@given(
    st.text(max_size=80),
    st.sampled_from(["task", "license", "language", "dataset", "colab", "asset-path", "x"]),
    st.text(st.sampled_from("ab<!->:/[]()*` \n,é"), max_size=60),
)
def test_any_text_gives_a_card_whose_errors_are_what_is_to_be_filled_in(
    value: str, name: str, rest: str
) -> None:
    try:
        imported = converted(f"# Module acme/x/1\n{rest}\n<!-- {name}: {value} -->\n{rest}")
    except CardError:  # Of a control character.
        return
    with pytest.raises(CardError) as refused:
        parse_card(imported.text)
    assert all("is empty; it takes" in problem for problem in refused.value.problems)
