"""The body of a card becomes HTML that is safe, and fits a page."""

import re
from html.parser import HTMLParser

import pytest
from hostile import BODY, PICTURE
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tfx.web.pages.markdown import card_html

LINKS = re.compile(r'(?:href|src)="([^"]*)"')
EVENTS = re.compile(r"on[a-z]+|style|class|id|srcset|action")


class Read(HTMLParser):
    """What a browser makes of HTML: tags, attributes, and whether all tags are closed."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("img", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_harmless(html: str) -> Read:
    read = Read(html)
    assert read.open == []
    for tag, attributes in read.tags:
        assert tag not in (
            "script",
            "style",
            "iframe",
            "object",
            "form",
            "input",
            "svg",
            "math",
            "link",
        )
        ours = {"class", "role", "aria-label"} if attributes.get("class") == "scroll" else set()
        for name in attributes.keys() - ours:
            assert not EVENTS.fullmatch(name), (tag, name)
        for name in ("href", "src"):
            value = attributes.get(name)
            assert value is None or value.lower().startswith("https://") or value == PICTURE
    return read


def test_a_hostile_card_is_harmless() -> None:
    html = card_html(f"a bell \x07\n\n{BODY}")
    read = check_harmless(html)
    assert "evil.example" not in "".join(LINKS.findall(html))
    assert html.count(PICTURE) == 2
    assert not {"\u202e", "\u202c", "\u2066", "\x07"} & set(html)
    assert not [tag for tag, _ in read.tags if tag in ("h1", "h2")]


@pytest.mark.parametrize("tag", ["pre", "table", "h1", "img"])
def test_a_tag_in_an_attribute_is_not_taken_for_one(tag: str) -> None:
    title = f"<{tag}> onmouseover=alert(1) <script>alert(2)</script>"
    html = card_html(f'<a href="https://example.org/" title="{title}">x</a>')
    assert [name for name, _ in check_harmless(html).tags] == ["p", "a"]


PIECES = """
< > " ' = / ` [ ] ( ) ! | # &lt; text title= alt= src= href= onerror=alert(1) https://x.org
javascript:alert(1) <a <img </a> <table> <pre> <h1> <svg> <math> <style> <!-- --> <![CDATA[ <script>
</script> <template> <noscript>
"""


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*PIECES.split(), " ", "\n"]), max_size=30).map("".join))
def test_no_card_breaks_out(body: str) -> None:
    check_harmless(card_html(body))


def test_links_lead_to_https_and_nothing_is_told_to_them() -> None:
    html = card_html(
        "[good](https://example.org/a) [bad](http://example.org) [worse](javascript:x)"
    )
    assert html.count("href=") == 1
    assert '<a href="https://example.org/a" rel="nofollow noopener noreferrer">good</a>' in html
    assert "bad" in html


def test_headings_begin_below_those_of_the_page() -> None:
    assert card_html("# A\n\n## B\n\n###### C") == "<h3>A</h3>\n<h4>B</h4>\n<h6>C</h6>\n"
    assert card_html("## Only B") == "<h3>Only B</h3>\n"


def test_pictures_of_other_servers_leave_their_description() -> None:
    assert card_html("![a cat](https://example.org/cat.png)") == "<p><em>a cat</em></p>\n"
    assert f'<img src="{PICTURE}" alt="a dot">' in card_html(f"![a dot]({PICTURE})")
    assert 'alt=""' in card_html(f'<img src="{PICTURE}">')


def test_tables_scroll_by_themselves_and_keep_their_alignment() -> None:
    html = card_html("|a|b|\n|--|--:|\n|1|2|")
    assert html.startswith(
        '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>'
    )
    assert '<td align="right">2</td>' in html


def test_hebrew_and_emoji_stay_as_they_are() -> None:
    text = "שלום\u200f and 👩\u200d🔬"
    assert card_html(text) == f"<p>{text}</p>\n"
