"""A catalogue finds what is in a repository, by words, facets and names."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from catalogues import add
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tfx.errors import ConfigError
from hub_tfx.repository import layout
from hub_tfx.repository.catalogue import (
    FACETS,
    SORTS,
    Catalogue,
    CatalogueQuery,
    Publisher,
    query_from_parameters,
    query_to_parameters,
    results_from_json,
    results_to_json,
)
from hub_tfx.repository.changes import set_alias, set_yanked
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import Storage, open_storage

WORDS, CODE, CAFE = "acme/nnlm-en_dim128", "acme/code", "bob/cafe"


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """Three modules, and one whose versions are all yanked."""
    folder = tmp_path_factory.mktemp("catalogue")
    storage = open_storage(folder / "r")
    add(storage, folder, WORDS, when="2026-01-01T00:00:00Z", summary="Vectors of English news.")
    add(storage, folder, WORDS, 2, when="2026-01-04T00:00:00Z", summary="Vectors of news, better.")
    add(
        storage,
        folder,
        CODE,
        when="2026-01-02T00:00:00+00:00",
        summary="Understands C++ and O'Brien.",
        task=["text-classification"],
        license="MIT",
        language=["en", "de"],
        facts={"fine_tunable": True, "embedding_dim": 4},
    )
    add(
        storage,
        folder,
        CAFE,
        when="2026-01-03T00:00:00+00:00",
        summary="Bilder aus Cafés.",
        task=["image-classification"],
        language=[],
        body="Trained on photographs of news stands.",
        facts={"format": "tf1_hub", "fine_tunable": False, "blessing": {"blessed": True}},
    )
    add(storage, folder, "eve/gone", when="2026-01-09T00:00:00+00:00")
    set_yanked(storage, ModuleName("eve", "gone"), 1, "wrong rows")
    set_alias(storage, ModuleName.parse(WORDS), "stable", 1, "judged")
    with Catalogue.open(storage, folder / "index.sqlite") as made:
        made.refresh()
        yield made


def found(catalogue: Catalogue, text: str = "", **more: Any) -> list[str]:
    return [e.handle for e in catalogue.search(CatalogueQuery(text, **more)).entries]


def test_an_entry_says_what_card_facts_and_records_say(catalogue: Catalogue) -> None:
    words, cafe = (catalogue.module(ModuleName.parse(name)) for name in (WORDS, CAFE))
    assert words is not None
    assert cafe is not None
    assert (words.version, words.versions, words.aliases) == (2, 2, {"stable": 1})
    assert (words.summary, words.when) == ("Vectors of news, better.", "2026-01-04T00:00:00+00:00")
    assert (words.publisher, words.model) == tuple(WORDS.split("/"))
    assert (cafe.format, cafe.fine_tunable, cafe.blessed) == ("tf1_hub", False, True)
    assert (words.fine_tunable, words.blessed, words.embedding_dim) == (None, None, None)
    assert catalogue.module(ModuleName("acme", "other")) is None


@pytest.mark.parametrize(
    ("text", "handles"),
    [
        ("vectors", [WORDS]),
        ("VECTORS of news", [WORDS]),
        ("vect", [WORDS]),  # The last word may be the beginning of one,
        ("vect news", []),  # and the others may not.
        ("cafes", [CAFE]),
        ("CAFÉS", [CAFE]),
        ("dim128", [WORDS]),
        ("nnlm-en", [WORDS]),
        (WORDS, [WORDS]),
        ("acme", [CODE, WORDS]),
        ("stable", [WORDS]),
        ("text-classification", [CODE]),
        ("mit", [CODE]),
        ("photographs", [CAFE]),
        ("news", [WORDS, CAFE]),  # A summary counts more than the text of a card.
        ("c++", [CODE]),
        ("o'brien", [CODE]),
        ("gone", []),
        ("AND", [CODE]),  # It is a word, and not syntax.
        ("NEAR(", []),
        ('"', []),
        ("vectors OR code", []),
        ("summary : vectors", []),
        ("vectors\x00\ud800", [WORDS]),
    ],
)
def test_words_find_names_summaries_labels_and_cards(
    catalogue: Catalogue, text: str, handles: list[str]
) -> None:
    assert found(catalogue, text) == handles


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_text_is_a_query(catalogue: Catalogue, text: str) -> None:
    results = catalogue.search(CatalogueQuery(text))
    assert len(results.entries) == results.total <= 3
    assert CatalogueQuery(text) == results.query


@pytest.mark.parametrize(
    ("filters", "handles"),
    [
        ({"task": ("text-embedding",)}, [WORDS]),
        ({"task": ("text-embedding", "image-classification")}, [WORDS, CAFE]),
        ({"publisher": ("acme",), "license": ("MIT",)}, [CODE]),
        ({"publisher": ("bob",), "license": ("MIT",)}, []),
        ({"language": ("de",)}, [CODE]),
        ({"format": ("tf1_hub",)}, [CAFE]),
        ({"fine_tunable": True}, [CODE]),
        ({"fine_tunable": False}, [CAFE]),
        ({"task": ("video-text",)}, []),  # A task, which nothing here has.
        ({"yanked": True}, ["eve/gone", WORDS, CAFE, CODE]),
        ({"publisher": ("eve",)}, []),
    ],
)
def test_filters_of_a_facet_widen_and_several_facets_narrow(
    catalogue: Catalogue, filters: dict[str, Any], handles: list[str]
) -> None:
    assert found(catalogue, **filters) == handles


def test_facets_are_counted_without_their_own_filter(catalogue: Catalogue) -> None:
    query = CatalogueQuery("news", task=("text-embedding",))
    facets = catalogue.search(query).facets
    assert tuple(facets) == FACETS
    tasks = [(facet.value, facet.count, facet.selected) for facet in facets["task"]]
    assert tasks == [("image-classification", 1, False), ("text-embedding", 1, True)]
    assert [(f.value, f.count) for f in facets["publisher"]] == [("acme", 1)]
    everything = catalogue.search(CatalogueQuery()).facets
    assert [(f.value, f.count) for f in everything["language"]] == [("en", 2), ("de", 1)]
    assert [(f.value, f.count) for f in everything["fine_tunable"]] == [("no", 1), ("yes", 1)]
    unused = catalogue.search(CatalogueQuery(task=("video-text",))).facets["task"]
    assert ("video-text", 0, True) in [(f.value, f.count, f.selected) for f in unused]


@pytest.mark.parametrize(
    ("sort", "handles"),
    [
        ("relevance", [WORDS, CAFE, CODE]),
        ("newest", [WORDS, CAFE, CODE]),
        ("name", [CODE, WORDS, CAFE]),
    ],
)
def test_modules_come_in_an_order_that_is_asked_for(
    catalogue: Catalogue, sort: Any, handles: list[str]
) -> None:
    assert found(catalogue, sort=sort) == handles


def test_size_is_an_order_too(catalogue: Catalogue) -> None:
    sizes = [e.size_bytes for e in catalogue.search(CatalogueQuery(sort="size")).entries]
    assert sizes == sorted(sizes)


def test_pages_are_parts_of_the_whole(catalogue: Catalogue) -> None:
    pages = [catalogue.search(CatalogueQuery(page=page, per_page=2)) for page in (1, 2, 3)]
    assert [len(page.entries) for page in pages] == [2, 1, 0]
    assert {(page.total, page.pages) for page in pages} == {(3, 2)}
    assert [e.handle for page in pages for e in page.entries] == found(catalogue)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"task": ("text-embeding",)}, "nearest: text-embedding"),
        ({"publisher": ("acmee",)}, "use one of acme, bob, eve; nearest: acme"),
        ({"license": ("GPL",)}, "no module has the license 'GPL'"),
        ({"sort": "nam"}, "use one of relevance, newest, name, size; nearest: name"),
        ({"page": 0}, "page is 0: it takes a number from 1"),
        ({"per_page": 101}, "from 1 to 100"),
        ({"text": "x" * 501}, "501 characters, more than 500"),
        ({"task": ("x",) * 51}, "more than 50 values"),
    ],
)
def test_what_cannot_be_asked_is_told_with_choices(
    catalogue: Catalogue, wrong: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        catalogue.search(CatalogueQuery(**wrong))


@pytest.mark.parametrize(
    ("text", "handles"),
    [
        ("acme/nnlm-en-dim128", [WORDS]),
        ("acme/coed", [CODE]),
        ("coed", [CODE]),
        ("ACME/CODE", [CODE]),
        ("eve/gone", []),  # Nobody is sent to what is yanked.
        ("zzzzzz", []),
        ("x" * 5000, []),
        ("", []),
    ],
)
def test_a_wrong_handle_leads_to_one_that_looks_like_it(
    catalogue: Catalogue, text: str, handles: list[str]
) -> None:
    assert catalogue.nearest(text)[: max(1, len(handles))] == handles


def test_new_versions_come_first_and_yanked_ones_do_not_come(catalogue: Catalogue) -> None:
    newest = catalogue.newest(3)
    assert [v.handle for v in newest] == [f"{WORDS}/2", f"{CAFE}/1", f"{CODE}/1"]
    assert newest[1].when == "2026-01-03T00:00:00+00:00"
    assert newest[1].summary == "Bilder aus Cafés."
    assert catalogue.newest(0) == []


def test_publishers_are_counted(catalogue: Catalogue) -> None:
    assert [p.name for p in catalogue.publishers()] == ["acme", "bob", "eve"]
    assert catalogue.publisher("acme") == Publisher("acme", 2, "2026-01-04T00:00:00+00:00")
    assert catalogue.publisher("eve") == Publisher("eve", 0, "")
    assert catalogue.publisher("carol") is None
    counts = catalogue.count()
    assert (counts.modules, counts.versions) == (4, 5)


def test_results_are_the_same_after_json(catalogue: Catalogue) -> None:
    for query in (CatalogueQuery(), CatalogueQuery("news", task=("text-embedding",), yanked=True)):
        results = catalogue.search(query)
        document = results_to_json(results)
        assert results_from_json(document) == results
        newer = {**document, "more": 1, "modules": [{**m, "x": 1} for m in document["modules"]]}
        assert results_from_json(newer) == results
    for damaged in ({}, {**document, "modules": 1}, {**document, "modules": [1]}, {"modules": []}):
        with pytest.raises(ValueError, match=r"it |lacks"):
            results_from_json(damaged)


def queries() -> st.SearchStrategy[CatalogueQuery]:
    texts = st.lists(st.text(min_size=1, max_size=5).filter(str.strip), max_size=3, unique=True)
    values = texts.map(tuple)
    return st.builds(
        CatalogueQuery,
        text=st.text(max_size=20).filter(lambda text: not text or bool(text.strip())),
        **{name: values for name in FACETS if name != "fine_tunable"},
        fine_tunable=st.sampled_from([None, True, False]),
        yanked=st.booleans(),
        sort=st.sampled_from(SORTS),
        page=st.integers(1, 1_000_000),
        per_page=st.integers(1, 100),
    )


@given(queries())
def test_a_query_is_the_same_after_a_url(query: CatalogueQuery) -> None:
    assert query_from_parameters(query_to_parameters(query)) == query


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ([("tsk", "x")], "'tsk' is not a parameter.*nearest: task"),
        ([("page", "two")], "page is 'two'"),
        ([("page", "9" * 5000)], "it takes a number"),
        ([("fine_tunable", "maybe")], "use yes or no"),
        ([("q", "a"), ("q", "b")], "q is given twice"),
    ],
)
def test_parameters_that_are_wrong_are_named(pairs: list[tuple[str, str]], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        query_from_parameters(pairs)


def test_empty_parameters_of_a_form_are_left_out() -> None:
    pairs = [("q", ""), ("task", " "), ("fine_tunable", ""), ("sort", "name")]
    assert query_from_parameters(pairs) == CatalogueQuery(sort="name")


def test_stamps_are_of_markers_and_records_only(tmp_path: Path) -> None:
    """On a disk and in a bucket alike."""
    for storage in map(open_storage, (tmp_path / "r", f"memory://{uuid.uuid4().hex}")):
        add(storage, tmp_path / str(len(storage.url)), CODE)
        set_alias(storage, ModuleName.parse(CODE), "stable", 1, "x")
        keys = {key for key, _ in storage.stamps()}
        assert keys == {f"{CODE}/1/version.json", f"{CODE}/-/aliases/stable/0001.json"}


@pytest.fixture(params=["disk", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    bucket = f"memory://{uuid.uuid4().hex}"
    return open_storage(tmp_path / "r" if request.param == "disk" else bucket)


Step = Callable[[Storage, Path], object]
STEPS: list[tuple[Step, str, str]] = [
    (lambda s, f: add(s, f, CAFE), "added", CAFE),
    (lambda s, f: add(s, f, CODE, 2), "updated", CODE),
    (lambda s, f: set_alias(s, ModuleName.parse(CODE), "prod", 1, "x"), "updated", CODE),
    (lambda s, f: set_alias(s, ModuleName.parse(CODE), "prod", 2, "x"), "updated", CODE),
    (lambda s, f: set_yanked(s, ModuleName.parse(CODE), 2, "x"), "updated", CODE),
    (lambda s, f: set_yanked(s, ModuleName.parse(CODE), 2, "x", yanked=False), "updated", CODE),
]


def test_a_refresh_brings_what_has_happened_and_nothing_else(
    storage: Storage, tmp_path: Path
) -> None:
    add(storage, tmp_path, CODE)
    add(storage, tmp_path, WORDS)
    with Catalogue.open(storage, tmp_path / "i") as catalogue:
        assert catalogue.refresh().added == (CODE, WORDS)
        assert catalogue.refresh().is_empty
        for step, kind, handle in STEPS:
            step(storage, tmp_path)
            changes = catalogue.refresh()
            assert (getattr(changes, kind), changes.problems) == ((handle,), ())
            assert catalogue.refresh().is_empty
            with Catalogue.open(storage, tmp_path / f"{uuid.uuid4()}") as fresh:
                fresh.refresh()
                for query in (CatalogueQuery(), CatalogueQuery("words"), CatalogueQuery("prod")):
                    assert catalogue.search(query) == fresh.search(query)
                assert catalogue.newest(9) == fresh.newest(9)


def test_a_repository_in_the_place_of_another_is_read_again(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "r")
    add(storage, tmp_path, CODE, summary="The old one.")
    with Catalogue.open(storage, tmp_path / "i") as catalogue:
        catalogue.refresh()
        (tmp_path / "r").rename(tmp_path / "aside")
        add(storage, tmp_path / "2", CODE, summary="The new one.")
        assert catalogue.refresh().updated == (CODE,)
        assert catalogue.search(CatalogueQuery()).entries[0].summary == "The new one."


def test_what_was_removed_by_hand_is_not_found(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "r")
    add(storage, tmp_path, CODE)
    add(storage, tmp_path, CAFE)
    with Catalogue.open(storage, tmp_path / "i") as catalogue:
        catalogue.refresh()
        (tmp_path / "r" / "bob").rename(tmp_path / "aside")
        assert catalogue.refresh().removed == (CAFE,)
        assert found(catalogue) == found(catalogue, "vectors") == [CODE]
        assert [v.handle for v in catalogue.newest(9)] == [f"{CODE}/1"]


def test_a_version_of_a_bucket_is_complete_before_its_files_lie_beside_it(tmp_path: Path) -> None:
    """A publisher creates the marker first, and then copies card and facts from the blobs."""
    storage: Any = open_storage(f"memory://{uuid.uuid4().hex}")
    storage.finish = lambda version: None
    add(storage, tmp_path, CODE, summary="All is here.")
    assert storage.read(f"{CODE}/1/{layout.CARD}") is None
    with Catalogue.open(storage, tmp_path / "i") as catalogue:
        assert catalogue.refresh().problems == ()
        [entry] = catalogue.search(CatalogueQuery("all is here")).entries
        assert entry.format == "saved_model"
