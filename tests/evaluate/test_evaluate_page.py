"""The page about an evaluation."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.measure import measure
from hub_tfx.evaluate.page import render
from hub_tfx.evaluate.rows import EvaluatedRows

HOSTILE = "<script>alert('x')</script> $x^ {{ 7*7 }} \x1b[31m_日本\udcff\u202e"
SHOWN = r"<script>alert('x')</script> $x^ {{ 7*7 }} \x1b[31m_日本\udcff\u202e"
ROWS = 90


def evaluation(candidate_loudness=2.0, baseline_loudness=0.1, **options):
    rng = np.random.default_rng(0)
    classes = np.arange(ROWS) % 3
    candidate, baseline = (
        np.eye(4)[classes] + loudness * rng.normal(size=(ROWS, 4))
        for loudness in (candidate_loudness, baseline_loudness or 0)
    )
    rows = EvaluatedRows(
        candidate,
        baseline if baseline_loudness else None,
        labels=[f"{HOSTILE}{n}" for n in classes],
        groups=[f"{HOSTILE}{n // 2}" for n in range(ROWS)],
        slices={"lang": [HOSTILE if n % 2 else None for n in range(ROWS)]},
        shown=[f"{HOSTILE}{n}" for n in range(ROWS)],
        left_out={HOSTILE: 3},
    )
    given = {"label": "label", "pairs": "pairs", "slices": ("lang",), "replicates": 200}
    config = EvaluateConfig(**given, **options)
    return measure(rows, config, provenance={HOSTILE: HOSTILE})


@pytest.fixture(scope="module")
def worse():
    return evaluation(thresholds=("probe_accuracy>=0.99",))


@pytest.fixture(scope="module")
def page(worse):
    return render(worse)


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words += data


def test_nothing_that_was_given_becomes_part_of_the_page(page):
    found = Tags(page)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in found.tags}
    assert not [name for _, given in found.tags for name in given if name.startswith("on")]
    assert SHOWN in found.words
    assert all(character.isprintable() or character == "\n" for character in found.words)
    assert page.encode()


def test_the_page_needs_nothing_but_itself(page):
    sources = [
        given[name] for _, given in Tags(page).tags for name in ("src", "href") if name in given
    ]
    assert sources
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert "url(" not in page.partition("</style>")[0]


def test_the_verdict_comes_first_and_provenance_last(worse, page):
    words = Tags(page).words
    order = [
        "Evaluation: not blessed",
        worse.reasons[0],
        worse.rule,
        "Measures of all rows",
        "Vectors and cost",
        "What the intervals cover",
        "another seed",
        "Thresholds",
        "Sanity of the vectors",
        "Rows that got worse",
        "Provenance",
        "config: replicates",
    ]
    places = [words.index(text) for text in order]
    assert places == sorted(places)


def test_every_number_is_in_a_table_with_its_interval_and_rows(worse, page):
    words = " ".join(Tags(page).words.split())
    primary = worse.primary_measure
    low, high = primary.difference_interval
    assert f"{primary.difference:.3f} ({low:.3f} to {high:.3f}) worse" in words
    assert f"{primary.value:.3f} ({primary.interval[0]:.3f} to" in words
    for row in worse.worse:
        assert row.before in Tags(page).words
    assert "recall@10 by slice" in words
    assert f"left out: {SHOWN}" in Tags(page).words


def test_drawings_have_words_and_a_table_and_their_bytes_are_the_same(worse, page):
    images = [given for tag, given in Tags(page).tags if tag == "img"]
    assert [image["alt"] for image in images] == [
        "Difference from the baseline, by measure",
        "Difference from the baseline, probe_accuracy by slice",
    ]
    assert page.count("As a table") == 2
    for image in images:
        svg = base64.b64decode(image["src"].partition(",")[2])
        assert svg.startswith(b"<?xml")
        assert b"<dc:date>" not in svg
    assert render(worse) == page


def test_one_heading_tables_with_captions_and_scopes_and_room_on_a_small_screen(page):
    assert len(re.findall("<h1>", page)) == 1
    assert page.count("<table>") == page.count("<caption>") == page.count('<div class="wide"')
    assert all(given.get("scope") == "col" for tag, given in Tags(page).tags if tag == "th")
    assert "color-scheme: light dark" in page
    assert 'name="viewport"' in page
    assert ".wide { overflow-x: auto; }" in page


def test_a_first_module_has_a_page_too():
    words = Tags(render(evaluation(0.1, None))).words
    assert "Evaluation: blessed" in words
    assert "There is no baseline." in words
    assert "Rows that got worse" not in words
    assert "Value, by measure" in words


def test_nothing_measured_is_a_page_that_says_why():
    found = measure(EvaluatedRows(np.zeros((0, 4))), EvaluateConfig(label="label"))
    words = Tags(render(found)).words
    assert "there are no rows" in words
    assert "Evaluation: not blessed" in words


def test_no_row_that_got_worse_is_said():
    assert re.search("Rows that got worse\\s+None.", Tags(render(evaluation(0.05, 0.05))).words)
