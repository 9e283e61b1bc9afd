"""What those see who run a server, and what programs read of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hubs import COMPRESSED, ask, serving
from prometheus_client.parser import text_string_to_metric_families
from published import published

from hub_tfx.repository.catalogue import Catalogue
from hub_tfx.repository.changes import set_yanked
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import open_storage
from hub_tfx.web.app import routes
from hub_tfx.web.observe import Metrics
from hub_tfx.web.openapi import document
from hub_tfx.web.refresh import Refresher
from hub_tfx.web.site import ServeOptions, Site

ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    published(tmp_path, tmp_path / "modules", b"one")
    storage = open_storage(tmp_path / "modules")
    with Catalogue.open(storage, tmp_path / "index") as catalogue:
        yield Site(storage, catalogue, None, ServeOptions())


def samples(url: str) -> dict[str, float]:
    """Name and labels of each number -> its value."""
    text = ask(url, "/-/metrics").text
    return {
        " ".join([sample.name, *map(str, sample.labels.values())]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_numbers_for_prometheus(url: str) -> None:
    before = samples(url)
    body = ask(url, f"/acme/words/3?{COMPRESSED}").body
    ask(url, f"/acme/words/9?{COMPRESSED}")
    ask(url, "/a/path/that/nobody/knows")
    told = samples(url)

    def grown(name: str) -> float:
        return told[name] - before.get(name, 0)

    protocol = "hosting protocol"
    assert grown(f"hub_tfx_requests_total GET {protocol} 200") == 1
    assert grown(f"hub_tfx_requests_total GET {protocol} 404") == 1
    assert grown("hub_tfx_requests_total GET none 404") == 1
    assert grown(f"hub_tfx_sent_bytes_total {protocol}") >= len(body)
    assert grown(f"hub_tfx_request_seconds_count {protocol}") == 2
    assert (told["hub_tfx_modules"], told["hub_tfx_versions"]) == (2, 4)
    assert told["hub_tfx_index_age_seconds"] >= 0
    assert told["hub_tfx_index_problem"] == 0
    assert not any("nobody" in name for name in told)


def test_new_versions_as_a_feed(url: str) -> None:
    answer = ask(url, "/-/feed.atom", Host="hub.example:80")
    assert answer.headers["content-type"] == "application/atom+xml"
    feed = ElementTree.fromstring(answer.body)
    entries = feed.findall(f"{ATOM}entry")
    titles = [entry.findtext(f"{ATOM}title") for entry in entries]
    assert sorted(map(str, titles)) == ["acme/bare/1", "acme/words/2", "acme/words/3"]
    link = entries[0].find(f"{ATOM}link")
    assert link is not None
    assert link.attrib["href"] == f"http://hub.example:80/{titles[0]}"
    assert entries[0].findtext(f"{ATOM}summary") == "Vectors of words."


def test_a_server_behind_another_tells_its_public_url(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path / "index", public_url="https://hub.example/") as address:
        feed = ElementTree.fromstring(ask(address, "/-/feed.atom").body)
        described = json.loads(ask(address, "/-/openapi.json").body)
    assert feed.findtext(f"{ATOM}id") == "https://hub.example/-/feed.atom"
    assert described["servers"] == [{"url": "https://hub.example"}]


def test_a_version_is_found_soon_after_it_was_published(tmp_path: Path) -> None:
    root = tmp_path / "modules"
    published(tmp_path, root, b"one")
    with serving(root, tmp_path / "index", refresh_s=0.05) as address:
        published(tmp_path, root, b"two")
        assert ask(address, f"/acme/words/2?{COMPRESSED}").status == 200
        while samples(address)["hub_tfx_versions"] != 2:
            pass
        set_yanked(open_storage(root), ModuleName("acme", "words"), 2, "wrong")
        while b"acme/words/2" in ask(address, "/-/feed.atom").body:
            pass


def test_a_look_that_fails_keeps_the_index(site: Site, tmp_path: Path) -> None:
    refresher = Refresher(site)
    refresher.refresh()
    assert (refresher.state.is_ready, refresher.state.problem) == (True, None)
    before_s = refresher.state.refreshed_s
    (tmp_path / "modules" / "-" / "repository.json").rename(tmp_path / "aside")
    refresher.refresh()
    assert refresher.state.is_ready
    assert "is not a repository" in str(refresher.state.problem)
    assert refresher.state.refreshed_s == before_s
    assert site.catalogue.count().versions == 1
    (tmp_path / "aside").rename(tmp_path / "modules" / "-" / "repository.json")
    refresher.refresh()
    assert refresher.state.problem is None


def test_a_look_that_fails_is_told_without_a_path(tmp_path: Path) -> None:
    root = tmp_path / "modules"
    published(tmp_path, root, b"one")
    with serving(root, tmp_path / "index", refresh_s=0.05) as address:
        (root / "-" / "repository.json").unlink()
        while samples(address)["hub_tfx_index_problem"] == 0:
            pass
        ready = ask(address, "/-/readyz")
        document = json.loads(ready.body)
        assert (ready.status, document["ready"]) == (200, True)
        assert document["problem"] == "the repository cannot be read: see the log"
        assert ask(address, f"/acme/words/1?{COMPRESSED}").status == 200


def test_a_server_without_an_index_is_not_ready(site: Site) -> None:
    refresher = Refresher(site)
    assert not refresher.state.is_ready
    assert refresher.state.age_s is None


def addresses(listed: list[Any]) -> set[str]:
    """The addresses that programs ask, as OpenAPI writes them: not those of pages and styles."""
    paths = {re.sub(r":\w+}", "}", route.path) for route in listed}
    twins = {path for path in paths if path.endswith(".json")}
    pages = {path.removesuffix(".json") for path in twins} - {"/-/openapi"}
    return {p for p in paths - pages if p.startswith("/-/") or p in twins if "static" not in p}


def test_the_openapi_document_has_every_address(site: Site) -> None:
    listed = routes(site, Metrics(), Refresher(site))
    described = document("https://hub.example", with_tokens=False, with_publishing=False)
    protocol = {"/{publisher}/{name}", "/{publisher}/{name}/{version}"}
    assert set(described["paths"]) == addresses(listed) | protocol


def test_the_openapi_document_tells_of_tokens_and_publishing(site: Site) -> None:
    described = document("https://hub.example", with_tokens=True, with_publishing=True)
    assert described["security"] == [{"bearer": []}, {"basic": []}]
    assert described["paths"]["/-/healthz"]["get"]["security"] == []
    assert "put" in described["paths"]["/{publisher}/{name}"]
    plain = document("https://hub.example", with_tokens=False, with_publishing=False)
    assert "security" not in plain
    assert "put" not in plain["paths"]["/{publisher}/{name}"]
