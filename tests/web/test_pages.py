"""Pages and their JSON twins, without a browser."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from demo_repository import MODULES, make_demo
from hostile import BODY as HOSTILE
from published import published
from serving import SERVER, client_of, opened_site
from starlette.testclient import TestClient

from hub_tfx._typed_json import known_only
from hub_tfx.lineage.connection import Connection
from hub_tfx.repository.changes import correct_card, set_yanked
from hub_tfx.repository.names import ModuleName, Reference
from hub_tfx.repository.storage import Storage, open_storage
from hub_tfx.repository.versions import find
from hub_tfx.web.pages.links import Place
from hub_tfx.web.pages.module import module_page
from hub_tfx.web.pages.parts import Parts

PAGES = (
    "/",
    "/?q=vectors&task=text-embedding&sort=name",
    "/search",
    "/search/headlines",
    "/search/headlines/2",
    "/-/versions/search/headlines",
    "/-/compare?left=search/headlines/2&right=search/headlines/3&all=1",
    "/-/lineage/search/headlines/3",
    "/-/reports/search/headlines/3",
)
WHOLE = re.compile(r"<!doctype html>.*</html>\s*", re.DOTALL)


def twin(path: str) -> str:
    at, mark, query = path.partition("?")
    return f"{at}.json{mark}{query}"


def parsed(client: TestClient, path: str, status: int = 200) -> Any:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


# --- Every page -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_a_page_and_its_twin_name_each_other(demo_client: TestClient, path: str) -> None:
    page, document = demo_client.get(path), demo_client.get(twin(path))
    assert (page.status_code, document.status_code) == (200, 200)
    assert WHOLE.fullmatch(page.text)
    assert page.text.count("<h1") == 1
    assert page.headers["link"] == f'<{twin(path)}>; rel="alternate"; type="application/json"'
    assert document.headers["link"] == f'<{path}>; rel="alternate"; type="text/html"'
    escaped = twin(path).replace("&", "&amp;")
    assert f'<link rel="alternate" type="application/json" href="{escaped}">' in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert not re.search(r"<[^>]+ (?:style|on[a-z]+)=", page.text)


@pytest.mark.parametrize("path", [PAGES[0], twin(PAGES[4])])
def test_a_page_that_is_known_is_not_sent_again(demo_client: TestClient, path: str) -> None:
    tag = demo_client.get(path).headers["etag"]
    again = demo_client.get(path, headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag


def test_stylesheet_and_script_are_kept_for_good(demo_client: TestClient) -> None:
    paths = re.findall(r'(?:href|src)="(/-/static/[^"]+)"', demo_client.get("/").text)
    assert {Path(path).suffix for path in paths} == {".css", ".js", ".svg"}
    for path in paths:
        answer = demo_client.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        known = {"If-None-Match": answer.headers["etag"]}
        assert demo_client.get(path, headers=known).status_code == 304
    assert demo_client.get("/-/static/style.css").status_code == 404
    assert demo_client.get("/-/static/..%2fstatic.py").status_code == 404


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/?sort=best", "use one of relevance, newest, name, size"),
        ("/?page=0", "it takes a number from 1"),
        ("/?page=x", "it takes a number from 1"),
        ("/?tasks=a", "nearest: task"),
        ("/?fine_tunable=1", "use yes or no"),
        ("/?task=text-embeding", "text-embedding"),
        ("/search?publisher=vision", "leave &#39;publisher&#39; out"),
        ("/search/headlines/3?x=1", "leave it out"),
        ("/-/versions/search/headlines?page=2", "from 1 to 1"),
        ("/-/compare", "left is missing"),
        ("/-/compare?left=search/headlines/2", "search/headlines/3"),
        ("/-/compare?left=a/b&left=a/c", "given twice"),
        ("/-/compare?left=a/b&right=a/c&all=2", "use 1 or 0"),
    ],
)
def test_a_wrong_parameter_is_told_with_the_choices(
    demo_client: TestClient, path: str, says: str
) -> None:
    page = demo_client.get(path)
    assert page.status_code == 400
    assert says in page.text
    assert parsed(demo_client, twin(path), 400)["error"]


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/serch", "search/queries"),
        ("/search/headlins", "search/headlines"),
        ("/search/headlines/9", "search/headlines/3"),
        ("/search/headlines@prod", "search/headlines@stable"),
        ("/-/versions/search/headlins", "search/headlines"),
        ("/-/lineage/search/headlines/9", "search/headlines/3"),
        ("/-/reports/search/querie/1", "search/queries"),
        ("/-/compare?left=search/headlines/9&right=search/headlines/3", "search/headlines/3"),
        ("/search/headlines/03", "search/headlines"),
    ],
)
def test_what_is_not_there_has_neighbours(demo_client: TestClient, path: str, near: str) -> None:
    page = demo_client.get(path)
    assert page.status_code == 404
    assert f'<a href="/{near}">{near}</a>' in page.text
    assert near in parsed(demo_client, twin(path), 404)["nearest"]


@pytest.mark.parametrize(
    "path",
    [
        *("/%00", "/a/%ff", "/-", "/-/-/-", "//", "/a//b", "/" + "a/" * 40, "/%e2%80%ae/x"),
        *("/..%2f..%2fetc/passwd", "/-/compare?left=../../x&right=%00", "/?q=%00%22"),
        *("/-/compare?left=%80&right=a/b", "/search/<script>/1"),
    ],
)
def test_odd_addresses_are_no_trouble(demo_client: TestClient, path: str) -> None:
    page = demo_client.get(path)
    assert page.status_code in (200, 400, 404)
    assert "<script>" not in page.text


# --- Lists ----------------------------------------------------------------------------------------


def test_the_catalogue_lists_every_module(demo_client: TestClient) -> None:
    page, document = demo_client.get("/").text, parsed(demo_client, "/.json")
    assert document["total"] == len(MODULES)
    for demo in MODULES:
        assert f'href="/{demo.name}"' in page
        assert demo.summary in page


def test_filters_are_links_with_counts_and_can_be_taken_away(demo_client: TestClient) -> None:
    page = demo_client.get("/?q=vectors&task=text-embedding").text
    assert 'href="/?q=vectors&amp;task=text-embedding&amp;language=de"' in page
    chosen = re.search(r'<a class="chip" href="([^"]*)">', page)
    assert chosen is not None
    assert chosen[1] == "/?q=vectors"
    assert '<input type="hidden" name="task" value="text-embedding">' in page


def test_the_page_of_a_publisher_has_theirs_only(demo_client: TestClient) -> None:
    document = parsed(demo_client, "/search.json?q=vectors")
    assert {module["handle"].partition("/")[0] for module in document["modules"]} == {"search"}
    assert 'href="/search?task=' not in demo_client.get("/voice?task=audio-embedding").text


def test_an_empty_catalogue_says_the_next_command(tmp_path: Path) -> None:
    storage = make_demo(tmp_path, MODULES[:1])
    shutil.rmtree(tmp_path / "repository" / "search")
    with opened_site(storage, tmp_path) as site:
        page = client_of(site).get("/").text
    assert "hub-tfx publish ./my_module" in page
    assert str(tmp_path) not in page


def test_a_search_that_finds_nothing_says_so(demo_client: TestClient) -> None:
    page = demo_client.get("/?q=headlinez").text
    assert "Nothing is found" in page
    assert '<a href="/search/headlines">search/headlines</a>' in page


# --- A module -------------------------------------------------------------------------------------


def test_the_twin_of_a_module_is_its_context(
    demo_client: TestClient, demo_storage: Storage
) -> None:
    version = find(demo_storage, Reference.parse("search/headlines/3"))
    place = Place(SERVER, demo_storage.url)
    page = module_page(demo_storage, place, version, Parts(demo_storage.url))
    document = parsed(demo_client, "/search/headlines/3.json")
    assert document == json.loads(json.dumps(known_only(page)))
    assert document["handle"] == f"{SERVER}/search/headlines/3"
    assert document["signatures"][0]["outputs"] == [
        {"key": "default", "dtype": "float32", "shape": [None, 128]}
    ]


def test_a_module_page_has_its_parts_in_order(demo_client: TestClient) -> None:
    page = demo_client.get("/search/headlines/2").text
    parts = [
        f'<code id="handle">{SERVER}/search/headlines/2</code>',
        *("✓</span> blessed", "Version 3</a> is newer", ">Versions<", ">Use this module<"),
        *("hub.load(", ">Signatures<", ">Metrics<", "4,812", ">Card<", ">Intended use<"),
        *(">Lineage<", ">Files<", "variables.index", ">Origin<", "retrain-2026-11-12"),
    ]
    found = [page.index(part) for part in parts]
    assert found == sorted(found)
    assert "None" not in page


def test_what_is_not_known_is_left_out(demo_client: TestClient) -> None:
    page = demo_client.get("/vision/shelves/1").text
    for part in (">Metrics<", ">Lineage<", "Tuned from", "blessed", ">Run<", "Spans", "None"):
        assert part not in page
    document = parsed(demo_client, "/vision/shelves/1.json")
    assert not {"measured", "verdict", "parent", "run", "spans"} & document.keys()


def test_a_name_without_a_number_is_its_newest_version(demo_client: TestClient) -> None:
    page = demo_client.get("/search/headlines").text
    assert f'<link rel="canonical" href="{SERVER}/search/headlines/3">' in page


def test_an_alias_leads_to_its_version(demo_client: TestClient) -> None:
    for path, there in (("stable", "2"), ("stable.json", "2.json"), ("latest", "3")):
        answer = demo_client.get(f"/search/headlines@{path}")
        assert answer.status_code == 302
        assert answer.headers["location"] == f"/search/headlines/{there}"


def test_a_withdrawn_version_is_gone_and_says_why(demo_client: TestClient) -> None:
    page = demo_client.get("/search/headlines/1")
    assert page.status_code == 410
    assert "trained on the test rows" in page.text
    assert '<a href="/search/headlines/3">version 3</a>' in page.text
    document = parsed(demo_client, "/search/headlines/1.json", 410)
    assert (document["why"], document["latest"]) == ("trained on the test rows", 3)


def test_a_module_of_which_all_is_withdrawn_says_why(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "repository")
    published(tmp_path, storage.url, b"1")
    set_yanked(storage, ModuleName.parse("acme/words"), 1, "leaks addresses", who="ann@here")
    with opened_site(storage, tmp_path) as site:
        page = client_of(site).get("/acme/words")
    assert page.status_code == 410
    assert "leaks addresses" in page.text


def test_a_module_without_an_archive_has_no_lines_to_copy(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "repository")
    published(tmp_path, storage.url, b"1", archive=False)
    with opened_site(storage, tmp_path) as site:
        page = client_of(site).get("/acme/words/1").text
    assert "Use this module" not in page
    assert "Download" not in page


def test_texts_of_others_are_escaped_and_seen(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "repository")
    published(tmp_path, storage.url, b"1")
    why = "<script>alert(1)</script> \u202egnp"
    card = tmp_path / "hostile.md"
    head = "summary: '5 < 6 & more'\ntask: text-embedding\nlicense: MIT\nowners: ['<b>x']\n"
    card.write_text(f"---\n{head}language: en\n---\n{HOSTILE}")
    correct_card(storage, ModuleName.parse("acme/words"), 1, card, why, "<i>@x")
    with opened_site(storage, tmp_path) as site:
        client = client_of(site)
        page, document = client.get("/acme/words/1").text, parsed(client, "/acme/words/1.json")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\u202egnp" in page
    assert "<b>x" not in page
    assert "5 &lt; 6 &amp; more" in page
    assert page.count("<script ") == page.count("<script") == 1
    assert document["card_corrected"]["why"] == why


# --- What is out of reach -------------------------------------------------------------------------


def test_a_damaged_part_is_marked_and_the_others_stay(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "repository")
    published(tmp_path, storage.url, b"1")
    facts = tmp_path / "repository" / "acme" / "words" / "1" / "module.json"
    with opened_site(storage, tmp_path) as site:
        facts.unlink()
        facts.write_text("{}")
        page = client_of(site).get("/acme/words/1")
    assert page.status_code == 503
    assert "Missing at the moment: signatures" in page.text
    assert "Vectors of words." in page.text
    assert str(tmp_path) not in page.text


def test_without_its_repository_a_page_has_what_the_catalogue_knows(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "repository")
    published(tmp_path, storage.url, b"1")
    with opened_site(storage, tmp_path) as site:
        shutil.move(tmp_path / "repository", tmp_path / "elsewhere")
        client = client_of(site)
        page, unknown = client.get("/acme/words"), client.get("/acme/words/7")
        document = parsed(client, "/acme/words/1.json", 503)
    assert page.status_code == 503
    assert page.headers["retry-after"]
    assert "Vectors of words." in page.text
    assert str(tmp_path) not in page.text
    assert document["missing"][0]["what"] == "all but what the catalogue knows"
    assert unknown.status_code == 503


def test_without_its_metadata_a_page_has_all_else(demo_storage: Storage, tmp_path: Path) -> None:
    nowhere = Connection.sqlite(str(tmp_path / "missing.sqlite"))
    with opened_site(demo_storage, tmp_path, metadata=nowhere) as site:
        page = client_of(site).get("/-/lineage/search/headlines/3")
    assert page.status_code == 503
    assert "ML Metadata cannot be reached" in page.text
    assert "search/headlines/2" in page.text


# --- Two versions ---------------------------------------------------------------------------------


def test_a_breaking_change_comes_first_in_the_verdict_and_the_table(
    demo_client: TestClient,
) -> None:
    path = "/-/compare.json?left=search/headlines/2&right=search/queries/1"
    document = parsed(demo_client, path)
    assert document["verdict"] == "not drop-in: 1 breaking change"
    assert document["groups"][0]["title"] == "Signatures"
    assert document["groups"][0]["rows"][0] == {
        "what": "output default of signature serving_default",
        "left": "float32[?, 128]",
        "right": "float32[?, 256]",
        "breaks": True,
    }


def test_differences_only_are_listed_unless_all_is_asked_for(demo_client: TestClient) -> None:
    path = "/-/compare.json?left=search/headlines@stable&right=search/headlines"
    differing, everything = parsed(demo_client, path), parsed(demo_client, f"{path}&all=1")
    assert differing["verdict"] == "drop-in: same inputs, 128→128"
    assert differing["left"]["version"] == 2
    rows = [row for group in differing["groups"] for row in group["rows"]]
    assert all(row["left"] != row["right"] for row in rows)
    assert len([row for group in everything["groups"] for row in group["rows"]]) > len(rows)


def test_slices_are_on_the_page_of_the_evaluation(demo_client: TestClient) -> None:
    document = parsed(demo_client, "/-/reports/search/headlines/3.json")
    assert document["slice_count"] == len(document["slices"]) == 9
    assert document["whole"][0]["difference"] == pytest.approx(0.02)
    assert demo_client.get("/-/reports/vision/shelves/1").status_code == 404


def test_changes_of_aliases_are_told(demo_client: TestClient) -> None:
    changes = parsed(demo_client, "/-/versions/search/headlines.json")["changes"]
    assert {change["what"] for change in changes} == {
        "alias stable",
        "alias canary",
        "version 1 withdrawn",
    }
