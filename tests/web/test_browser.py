"""Pages in a real browser, as people use them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import opened_browser, quantised, served
from hostile import BODY as HOSTILE
from published import published
from serving import opened_site

from hub_tfx.repository.changes import correct_card
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import Storage, open_storage
from hub_tfx.web.app import create_app
from hub_tfx.web.site import ServeOptions

pytestmark = pytest.mark.engines

IMAGES = Path(__file__).parents[2] / "docs" / "images"
PUBLIC = "https://hub.example.org"
MAX_IMAGE_BYTES = 100_000
COMPARED = "/-/compare?left=search/headlines/2&right=search/queries/1"
PAGES = {
    "catalogue": "/",
    "search": "/?q=vectors&task=text-embedding",
    "nothing": "/?q=headlinez",
    "publisher": "/search",
    "module": "/search/headlines/3",
    "versions": "/-/versions/search/headlines",
    "compare": COMPARED,
    "lineage": "/-/lineage/search/headlines/3",
    "evaluation": "/-/reports/search/headlines/3",
    "withdrawn": "/search/headlines/1",
    "problem": "/search/headlin",
    "choices": "/?sort=best",
}
SHOWN = ("catalogue", "module", "compare", "evaluation", "lineage", "versions")
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 320, "height": 640}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def url(demo_storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("index")
    options = ServeOptions(public_url=PUBLIC)  # As the pictures in docs show it.
    with opened_site(demo_storage, folder, options=options) as site, served(create_app(site)) as at:
        yield at


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    """A page that must not tell of an error, nor ask another server."""
    with browser.new_context(base_url=url, viewport=WIDE) as context:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        opened, errors = context.new_page(), list[str]()
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.on("request", lambda asked: asked.url.startswith(url) or errors.append(asked.url))
        opened.on("dialog", lambda dialog: (errors.append(dialog.message), dialog.dismiss()))
        yield opened
        assert errors == []


def violations(page: Any) -> list[str]:
    """What axe finds on a page, with the tags it finds it at."""
    from axe_playwright_python.sync_playwright import Axe

    rules = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
    found = Axe().run(page, options={"runOnly": rules, "resultTypes": ["violations"]})
    return [
        f"{one['id']}: {node['html']}"
        for one in found.response["violations"]
        for node in one["nodes"]
    ]


def width_of(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth"))


# --- Every page -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    for path in PAGES.values():
        page.goto(path)
        assert violations(page) == [], path


def test_no_page_is_wider_than_a_small_screen(page: Any) -> None:
    page.set_viewport_size(NARROW)
    for path in PAGES.values():
        page.goto(path)
        assert width_of(page) == NARROW["width"], path
        assert violations(page) == [], path


def test_a_dark_page_is_dark(page: Any) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    page.goto("/")
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    assert (light, page.evaluate(background)) == ("rgb(247, 248, 250)", "rgb(17, 20, 24)")


def test_on_paper_there_is_every_way_to_use_a_module(page: Any) -> None:
    page.goto(PAGES["module"])
    assert not page.get_by_text("curl -fL").is_visible()
    page.emulate_media(media="print")
    assert page.get_by_text("curl -fL").is_visible()
    assert not page.get_by_role("button", name="Search").is_visible()


def test_without_javascript_nothing_is_missing_but_buttons_that_copy(
    browser: Any, url: str
) -> None:
    with browser.new_context(base_url=url, java_script_enabled=False) as context:
        page = context.new_page()
        for path in PAGES.values():
            page.goto(path)
            assert page.locator("h1").is_visible()
            assert page.locator("button.copy:visible").count() == 0
        page.goto("/")
        page.get_by_placeholder("Names, tasks").fill("headlines")
        page.get_by_role("button", name="Search").click()
        page.get_by_role("link", name="search/headlines-de").click()
        page.get_by_text("curl", exact=True).first.click()
        assert page.get_by_text("curl -fL").is_visible()


# --- What people do -------------------------------------------------------------------------------


def test_search_filter_and_the_way_back(page: Any) -> None:
    words, filters = page.get_by_placeholder("Names, tasks"), page.locator(".facets a")
    page.goto("/")
    words.fill("vectors")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=vectors")
    filters.filter(has_text=re.compile(r"^de\b")).click()
    page.wait_for_url("**/?q=vectors&language=de")
    assert "search/headlines-de" in page.locator(".row h2 a").all_inner_texts()
    german = page.locator(".row .tag", has_text=re.compile("^de$"))
    assert page.locator(".row").count() == german.count() == 3
    page.go_back()
    page.wait_for_url("**/?q=vectors")
    assert words.input_value() == "vectors"
    page.go_forward()
    page.get_by_role("list", name="Chosen filters").get_by_role("link").first.click()
    page.wait_for_url("**/?q=vectors")


def test_a_filter_stays_when_the_words_change(page: Any) -> None:
    page.goto("/?task=text-embedding")
    page.get_by_placeholder("Names, tasks").fill("german")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=german&task=text-embedding")
    assert page.locator(".row").count() == 1


def test_on_a_small_screen_filters_open_on_demand(page: Any) -> None:
    page.set_viewport_size(NARROW)
    page.goto("/")
    filters = page.get_by_role("navigation", name="Filters")
    assert not filters.is_visible()
    page.get_by_text("Show filters").click()
    assert filters.is_visible()
    assert width_of(page) == NARROW["width"]


def test_a_button_copies_and_says_so(page: Any) -> None:
    page.goto("/search/headlines/3")
    button = page.get_by_role("button", name="Copy the handle")
    button.click()
    page.locator("#told", has_text="Copied the handle").wait_for(state="attached")
    assert button.inner_text() == "Copied"
    assert page.evaluate("navigator.clipboard.readText()") == f"{PUBLIC}/search/headlines/3"
    page.get_by_text("hub.KerasLayer", exact=True).first.click()
    page.get_by_role("button", name="Copy the lines for hub.KerasLayer").click()
    assert "hub.KerasLayer(" in page.evaluate("navigator.clipboard.readText()")


def test_two_versions_are_compared_from_their_list(page: Any) -> None:
    page.goto("/search/headlines/3")
    page.get_by_role("link", name="All 3 versions, and compare").click()
    page.get_by_role("button", name="Compare the two").click()
    assert page.locator(".verdict").inner_text() == "✓ drop-in: same inputs, 128→128"
    page.get_by_role("link", name="Everything").click()
    assert page.get_by_text("the same", exact=True).count() > 5


def test_a_lineage_is_followed_in_the_drawing(page: Any) -> None:
    page.goto("/search/headlines/3")
    page.locator(".drawing a").first.click()
    assert page.url.endswith("/search/headlines/2")


def test_a_module_is_downloaded(page: Any) -> None:
    page.goto("/search/headlines/3")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert Path(download.value.path()).read_bytes()[:2] == b"\x1f\x8b"


def test_all_of_it_works_by_keyboard(page: Any) -> None:
    page.goto("/search/headlines/3")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.locator(".skip").bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached = set[str]()
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        assert focused["seen"], focused
        reached.add(focused["what"])
    assert {"a", "button", "input", "pre", "div", "summary"} <= reached
    page.locator("#use-1").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_text("layer = hub.KerasLayer(").is_visible()


FOCUSED = """
(() => {
  const at = document.activeElement;
  const shown = at.matches(".tabs input") ? at.nextElementSibling : at;
  const box = at.querySelector && at.querySelector(".box");
  const ring = (of) => { const s = getComputedStyle(of); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 1; };
  const seen = at === document.body || ring(shown) || (box && parseFloat(getComputedStyle(box).strokeWidth) > 2);
  return { what: at.tagName.toLowerCase(), html: at.outerHTML.slice(0, 200), seen: Boolean(seen) };
})()
"""  # noqa: E501


# --- Somebody means harm --------------------------------------------------------------------------


def test_a_hostile_card_is_harmless(page: Any, tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "repository")
    published(tmp_path, storage.url, b"1")
    card = tmp_path / "hostile.md"
    head = "summary: x\ntask: text-embedding\nlicense: MIT\nowners: [x]\nlanguage: en"
    card.write_text(f"---\n{head}\n---\n{HOSTILE}")
    why = "<img src=x onerror=alert(20)>\u202e"
    correct_card(storage, ModuleName.parse("acme/words"), 1, card, why, "<b onclick=alert(21)>")
    with opened_site(storage, tmp_path) as site, served(create_app(site)) as at:
        asked = list[str]()
        other = page.context.new_page()
        other.on("request", lambda request: asked.append(request.url))
        other.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
        other.goto(f"{at}/acme/words/1")
        other.wait_for_load_state("networkidle")
        assert other.locator("h1").inner_text() == "acme/words version 1"
        assert other.locator("footer").is_visible()
        for link in other.locator(".card a[href]").all():
            assert link.get_attribute("href").lower().startswith("https://")
        assert other.locator("script").count() == 1
        assert violations(other) == []
        for size in (NARROW, WIDE):
            other.set_viewport_size(size)
            assert width_of(other) == size["width"]
        assert [one for one in asked if not one.startswith((at, "data:"))] == []


# --- Pictures of the pages in docs ----------------------------------------------------------------


@pytest.mark.parametrize("name", [*SHOWN, "catalogue-dark", "module-dark", "module-narrow"])
def test_docs_have_a_small_picture(page: Any, name: str, update_golden: bool) -> None:
    """``--update-golden`` draws it again; somebody then has to look at it."""
    image = IMAGES / f"{name}.png"
    shown, _, form = name.partition("-")
    if update_golden:
        IMAGES.mkdir(exist_ok=True)
        page.set_viewport_size(NARROW if form == "narrow" else WIDE)
        page.emulate_media(color_scheme="dark" if form == "dark" else "light")
        page.goto(PAGES[shown])
        page.screenshot(path=image)
        quantised(image)
    assert 0 < image.stat().st_size < MAX_IMAGE_BYTES
