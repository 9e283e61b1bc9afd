"""Cards as text: what is written says the same when it is read."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hub_tfx.errors import CardError
from hub_tfx.repository.card import Card, parse_card
from hub_tfx.repository.card_text import card_text, render_card, skeleton
from hub_tfx.repository.facts import Metric, ModuleFacts
from hub_tfx.repository.vocabulary import TASKS

CARD = Card("Word vectors.", ("text-embedding",), "MIT", ("Ann",), language=("en",))
FACTS = ModuleFacts("saved_model", "0" * 64, 0, (), {})

_TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Co", "Cs", "Zl", "Zp")),
    min_size=1,
    max_size=40,
).filter(lambda text: text == text.strip() and "\ufffe" not in text and "\uffff" not in text)
_LISTS = st.lists(_TEXTS, unique=True, max_size=3).map(tuple)
_SOME = st.lists(_TEXTS, unique=True, min_size=1, max_size=3).map(tuple)
_BODIES = st.text(st.sampled_from("ab-#`<é \n:"), max_size=40).map(lambda body: body.strip("\n"))


@st.composite
def cards(draw: Any) -> Card:
    is_other = draw(st.booleans())
    return Card(
        summary=draw(_TEXTS.filter(lambda t: not set("<`#*]") & set(t))),
        task=draw(st.lists(st.sampled_from(TASKS), unique=True, min_size=1, max_size=3).map(tuple)),
        license="other" if is_other else draw(st.sampled_from(["MIT", "MIT OR Apache-2.0"])),
        owners=draw(_SOME),
        license_name=draw(_TEXTS) if is_other else None,
        license_link="https://example.org/l" if is_other else None,
        language=draw(st.sampled_from([("en",), ("no", "zh-Hant")])),
        datasets=draw(_LISTS),
        architecture=draw(_LISTS),
        links=dict.fromkeys(draw(_LISTS), "https://example.org/?a=1,b:#c"),
        collections=draw(_LISTS),
        body=draw(_BODIES),
    )


@settings(deadline=None, max_examples=60)
@given(cards())
def test_a_card_that_is_written_reads_as_the_same_card(card: Card) -> None:
    text = card_text(card)
    assume(len(text.encode()) < 60_000)
    assert parse_card(text) == card


@pytest.mark.parametrize("version", [(1, 1), (1, 2)])
@pytest.mark.parametrize("name", ["no", "1e3", "null", "2024-01-01", "0x1f", "a: b", "# c", "1_0"])
def test_other_readers_of_yaml_take_texts_for_texts(name: str, version: tuple[int, int]) -> None:
    card = Card("x", ("image-others",), "MIT", (name, "plain"), links={name: "https://e.org"})
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    document = yaml.load(card_text(card).split("---")[1])
    assert document["owners"] == [name, "plain"]
    assert document["links"] == {name: "https://e.org"}


def test_what_is_left_of_a_skeleton_is_told_by_line() -> None:
    text = skeleton({})
    lines = text.split("\n")
    with pytest.raises(CardError) as refused:
        parse_card(text, "README.md")
    told = {
        problem.split(": ")[1]: int(problem.split(":")[1]) for problem in refused.value.problems
    }
    assert [*told] == ["summary", "task", "license", "owners"]
    assert all(lines[line - 1] == f"{key}:" for key, line in told.items())
    assert all(task in text for task in TASKS)
    assert max(map(len, lines)) <= 100


def test_a_skeleton_names_the_tasks_that_fit_and_asks_for_what_they_need() -> None:
    text = skeleton({"license": "other"}, like=["text-embedding"])
    assert "# Fitting its signatures: text-embedding." in text
    for key in ("language", "license_name", "license_link"):
        assert f"\n{key}:\n" in text
    assert "\nlanguage:\n" not in skeleton({}, like=["image-others"])


def test_a_filled_skeleton_is_a_card() -> None:
    values = {**CARD.to_dict(), "summary": "What it is."}
    card = parse_card(skeleton(values, "Text."))
    assert (card.summary, card.language, card.body) == ("What it is.", ("en",), "Text.")


def test_hugging_face_gets_the_card_with_metrics_and_its_own_names() -> None:
    metrics = (
        Metric("probe_accuracy", 1e-5, "news, 2024", n=200, interval=(0.0, 2e-05)),
        Metric("mrr", 0.5, "pairs"),
    )
    facts = ModuleFacts("saved_model", "0" * 64, 0, (), {}, metrics=metrics)
    text = render_card(CARD, facts, "acme/news")
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)  # As PyYAML reads it, which takes 1e-05 for a text.
    document = yaml.load(text.split("---")[1])
    assert document["license"] == "mit"
    assert document["pipeline_tag"] == "feature-extraction"
    assert document["task"] == ["text-embedding"]
    [index] = document["model-index"]
    assert index["name"] == "acme/news"
    assert index["results"] == [
        {
            "task": {"type": "text-embedding"},
            "dataset": {"name": "news, 2024", "type": "news, 2024"},
            "metrics": [
                {
                    "type": "probe_accuracy",
                    "value": 1e-5,
                    "args": {"n": 200, "interval": [0.0, 2e-5]},
                }
            ],
        },
        {
            "task": {"type": "text-embedding"},
            "dataset": {"name": "pairs", "type": "pairs"},
            "metrics": [{"type": "mrr", "value": 0.5}],
        },
    ]
    with pytest.raises(CardError, match="model-index: is derived, remove it"):
        parse_card(text)


def test_what_was_not_measured_is_left_out() -> None:
    text = render_card(CARD, FACTS, "acme/news")
    assert "model-index" not in text
    assert "null" not in text
