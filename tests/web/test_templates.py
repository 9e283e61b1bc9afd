"""What pages show of contexts that the demo repository does not have."""

from dataclasses import replace

from hub_tfx.module.manifest import FileEntry
from hub_tfx.repository.card import Card
from hub_tfx.repository.catalogue import CatalogueEntry, CatalogueQuery, CatalogueResults, Facet
from hub_tfx.repository.facts import Learned, VariantFacts
from hub_tfx.web.pages.catalogue import ListPage
from hub_tfx.web.pages.environment import render
from hub_tfx.web.pages.links import Link
from hub_tfx.web.pages.module import ModulePage, Signature, Tensor, Verdict
from hub_tfx.web.pages.text import date, figure, shape, shown, signed, size
from hub_tfx.web.pages.versions import VersionRow, VersionsPage
from hub_tfx.web.pages.withdrawn import WithdrawnPage

ENTRY = CatalogueEntry("acme/words", 3, "2026-11-28T10:00:00+00:00", "d" * 64, 1234, 3, False)
ROW = VersionRow(3, "2026-11-28T10:00:00+00:00", "ann@here", "d" * 64, 1234, ("stable",), "leaks")
MODULE = ModulePage(
    "https://hub.example.org/acme/words/3", "acme/words", 3, "d" * 64, 1234,
    "2026-11-28T10:00:00+00:00", "ann@here", 4, 4, (ROW,), {"stable": 3},
)  # fmt: skip


def html(template: str, page: object) -> str:
    return render(template, page=page, twin="/twin.json", server="https://hub.example.org")


def listed(page: int, pages: int, **query: object) -> ListPage:
    asked = CatalogueQuery(page=page, **query)  # type: ignore[arg-type]
    facets = {"task": (Facet("text-embedding", 7, True), Facet("text-generation", 2, False))}
    return ListPage(CatalogueResults(asked, (ENTRY,), pages * 50, page, pages, facets), "/")


def test_a_module_of_which_everything_is_known() -> None:
    card = Card(
        "x", ("text-embedding",), "other", ("A", "B"), "Ours", "https://example.org/license",
        ("en",), ("corpus",), ("CNN",), {"paper": "https://example.org/p"}, ("sets",),
    )  # fmt: skip
    page = replace(
        MODULE,
        card=card,
        parent=Link("google/nnlm/2", "https://tfhub.dev/google/nnlm/2", "a" * 64),
        verdict=Verdict(False, ("recall is worse",)),
        signatures=(Signature("default", True, (Tensor("x", "int64", None, "ragged"),), ()),) * 2,
        files=(FileEntry("module/a", 1, "b" * 64),) * 101,
        variants=(
            VariantFacts("tflite", "default", 1e-6, 99, needs_flex=True),
            VariantFacts("serving", "default", 0.0, 99),
        ),
        signed_by=("fingerprint",),
        run="run-7",
        learned=Learned({"1": "f"}),
    )
    shown_page = html("module.html.j2", page)
    for part in (
        'href="https://example.org/license" rel="nofollow noopener noreferrer"><bdi>Ours',
        'href="https://tfhub.dev/google/nnlm/2" rel="nofollow noopener noreferrer"',
        '<a href="/acme/words/3?lite-format=tflite">tflite</a>',
        "needs the Flex delegate", "fingerprint", "Learned spans", "100 of 101 files", "ragged",
        "did not bless this version", "recall is worse", "withdrawn", "Version 4</a> is newer",
    ):  # fmt: skip
        assert part in shown_page


def test_pages_of_a_long_list() -> None:
    shown_page = html("catalogue.html.j2", listed(7, 20, text="a b", task=("text-embedding",)))
    assert 'rel="prev"' in shown_page
    assert 'href="/?q=a+b&amp;task=text-embedding&amp;page=8" rel="next"' in shown_page
    numbers = [choice and choice.label for choice in listed(7, 20).numbered]
    assert numbers == ["1", None, "5", "6", "7", "8", "9", None, "20"]
    assert [choice and choice.label for choice in listed(1, 2).numbered] == ["1", "2"]
    assert listed(1, 2).previous is None
    assert listed(2, 2).next is None


def test_a_page_beyond_the_last_one_leads_back() -> None:
    beyond = ListPage(CatalogueResults(CatalogueQuery(page=9), (), 60, 9, 2, {}), "/")
    assert '<a href="/?page=2">page 2</a>' in html("catalogue.html.j2", beyond)
    assert beyond.previous == "/?page=2"


def test_pages_of_many_versions() -> None:
    page = VersionsPage("acme/words", None, 120, 2, 3, (ROW, ROW), {"stable": 3}, ())
    shown_page = html("versions.html.j2", page)
    assert 'href="/-/versions/acme/words?page=1"' in shown_page
    assert 'href="/-/versions/acme/words?page=3"' in shown_page
    assert "all are withdrawn" in shown_page


def test_a_withdrawn_version_that_an_alias_still_stands_for() -> None:
    page = WithdrawnPage("acme/words", 3, "d" * 64, "leaks", "ann", "2026", "2025", 2, ("stable",))
    assert "stable still stands for this version" in html("withdrawn.html.j2", page)


def test_texts_are_shown_with_all_their_characters() -> None:
    assert shown("a\u202eb\x1b\ud800") == "a\\u202eb\\x1b\\ud800"
    assert shown("日本\u3000語 x\u200d") == "日本\u3000語 x\u200d"


def test_figures_sizes_and_shapes() -> None:
    assert [size(n) for n in (0, 1023, 1024, 5 << 30)] == [
        "0 bytes",
        "1,023 bytes",
        "1 KiB",
        "5 GiB",
    ]
    assert [figure(x) for x in (0.123456, 12345.6, 1e-9)] == ["0.1235", "12,346", "1e-09"]
    assert [signed(x) for x in (0.5, -0.5, 0.0)] == ["+0.5", "−0.5", "±0"]
    assert [shape(s) for s in (None, (), (None, 3))] == ["any", "[]", "[?, 3]"]
    assert date("2026-11-28T10:00:00+00:00") == "2026-11-28"
