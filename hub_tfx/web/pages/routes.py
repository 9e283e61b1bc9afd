"""The addresses of pages, and what each of them shows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from hub_tfx._text import quoted
from hub_tfx.errors import ConfigError, HubTfxError, OutputError
from hub_tfx.repository.catalogue import (
    CatalogueQuery,
    query_from_parameters,
    results_to_json,
)
from hub_tfx.repository.facts import facts_of
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import Reference
from hub_tfx.repository.versions import (
    check_repository,
    found,
    latest,
    numbers,
    read_version,
    yank_of,
)
from hub_tfx.web.lookup import number_of, reference_of, version_of
from hub_tfx.web.pages.catalogue import ListPage
from hub_tfx.web.pages.compare import Compared, compare_page
from hub_tfx.web.pages.evaluation import evaluation_page
from hub_tfx.web.pages.graph import Graph
from hub_tfx.web.pages.lineage import lineage_page
from hub_tfx.web.pages.links import Place, version_path
from hub_tfx.web.pages.metadata import Metadata
from hub_tfx.web.pages.module import card_of, module_page, page_of_entry
from hub_tfx.web.pages.parameters import parameters, whole_number
from hub_tfx.web.pages.parts import Parts, without_place
from hub_tfx.web.pages.responses import Answer, as_json, as_page, place_of
from hub_tfx.web.pages.static import ROUTE, static_file
from hub_tfx.web.pages.versions import PER_PAGE, versions_page
from hub_tfx.web.pages.withdrawn import withdrawn_page
from hub_tfx.web.problems import ProblemError
from hub_tfx.web.site import Site

_NEAREST = 5
_RETRY = {"Retry-After": "30"}

Shown = Callable[[Request], Answer | Response]


def routes(site: Site) -> list[BaseRoute]:
    """The routes of all pages and twins, the most special first."""
    pages = _Pages(site)
    shown: tuple[tuple[str, Shown], ...] = (
        ("/-/versions/{publisher}/{name}", pages.versions),
        ("/-/compare", pages.compare),
        ("/-/lineage/{publisher}/{name}/{version}", pages.lineage),
        ("/-/reports/{publisher}/{name}/{version}", pages.evaluation),
        ("/", pages.catalogue),
        ("/{publisher}/{name}/{version}", pages.version),
        ("/{publisher}/{name}", pages.newest),
        ("/{publisher}", pages.publisher),
    )
    return [
        Route(ROUTE, static_file),
        *(r for path, page in shown for r in _both(site, path, page)),
    ]


def _both(site: Site, path: str, shown: Shown) -> Iterator[Route]:
    """The routes of a page's twin and of the page."""

    def twin(request: Request) -> Response:
        answer = _answer(site, shown, request)
        return answer if isinstance(answer, Response) else as_json(request, answer)

    def page(request: Request) -> Response:
        answer = _answer(site, shown, request)
        return answer if isinstance(answer, Response) else as_page(site, request, answer)

    yield Route(f"{path}.json", twin)
    yield Route(path, page)


def _answer(site: Site, shown: Shown, request: Request) -> Answer | Response:
    """What is shown; an error of ours as the problem that it is to whoever asks."""
    try:
        return shown(request)
    except ConfigError as error:
        raise ProblemError(400, f"{_sentence(site, error)}.") from error
    except OutputError as error:  # It names the file of the index, which is nobody's business.
        why = "The catalogue cannot be read at the moment: try again."
        raise ProblemError(503, why, headers=_RETRY) from error
    except HubTfxError as error:
        raise ProblemError(503, f"{_sentence(site, error)}.", headers=_RETRY) from error


def _sentence(site: Site, error: HubTfxError) -> str:
    text = without_place(error, site.storage.url)
    return text[:1].upper() + text[1:]


class _Pages:
    """What each address shows."""

    def __init__(self, site: Site):
        self._site = site
        self._storage = site.storage
        self._metadata = None if site.metadata is None else Metadata(site.metadata)

    # --- Lists ------------------------------------------------------------------------------------

    def catalogue(self, request: Request) -> Answer:
        return self._list(request, _query(request))

    def publisher(self, request: Request) -> Answer:
        name = request.path_params["publisher"]
        if self._site.catalogue.publisher(name) is None:
            near = self._site.nearest(name)
            raise ProblemError(404, f"Nobody has published as {quoted(name)} here.", near)
        query = _query(request)
        if query.publisher not in ((), (name,)):
            raise ProblemError(400, f"This is the page of {name}: leave 'publisher' out.")
        return self._list(request, replace(query, publisher=(name,)), name)

    def _list(
        self, request: Request, query: CatalogueQuery, publisher: str | None = None
    ) -> Answer:
        results = self._site.catalogue.search(query)
        near = tuple[str, ...]()
        if not results.total and query.text:
            near = self._site.nearest(query.text)
        path = request.url.path.removesuffix(".json")
        page = ListPage(results, path, publisher, near)
        return Answer("catalogue.html.j2", page, document=results_to_json(results))

    # --- A module ---------------------------------------------------------------------------------

    def version(self, request: Request) -> Answer:
        parameters(request, ())
        return self._module(request, reference_of(self._site, _named(request)))

    def newest(self, request: Request) -> Answer | Response:
        parameters(request, ())
        named = reference_of(self._site, _named(request))
        if named.alias is None:
            return self._module(request, named)
        version = _named_version(self._site, named)
        ending = ".json" if request.url.path.endswith(".json") else ""
        path = quote(version_path(version.name, version.number))
        return RedirectResponse(f"{path}{ending}", 302, {"Cache-Control": "no-cache"})

    def _module(self, request: Request, named: Reference) -> Answer:
        place, parts = place_of(self._site, request), Parts(self._storage.url)
        try:
            version = self._wanted(named)
            yank = yank_of(self._storage, version.name, version.number)
        except HubTfxError as error:
            return self._by_catalogue(place, named, error)
        if yank is not None:
            page = withdrawn_page(self._storage, version, yank)
            return Answer("withdrawn.html.j2", page, 410)
        known = self._lineage(place, version, parts, 1)
        shown = module_page(self._storage, place, version, parts, known)
        return _marked(Answer("module.html.j2", shown), bool(parts.missing))

    def _wanted(self, named: Reference) -> Version:
        """The version of a reference; where all are withdrawn the newest, to say why."""
        check_repository(self._storage)
        if named.version is None and latest(self._storage, named.name) is None:
            there = numbers(self._storage, named.name)
            if there:
                return read_version(self._storage, named.name, there[-1])
        return _named_version(self._site, named)

    def _by_catalogue(self, place: Place, named: Reference, error: HubTfxError) -> Answer:
        """What the catalogue knows of a version, where the repository cannot be read."""
        entry = self._site.catalogue.module(named.name)
        if entry is None or named.version not in (None, entry.version):
            raise error
        page = page_of_entry(place, entry, without_place(error, self._storage.url))
        return _marked(Answer("module.html.j2", page), True)

    def versions(self, request: Request) -> Answer:
        name = reference_of(self._site, _module_named(request)).name
        check_repository(self._storage)
        if not numbers(self._storage, name):
            number_of(self._site, Reference(name))  # It raises, and names what is near.
        pages = max(1, -(-len(numbers(self._storage, name)) // PER_PAGE))
        asked = parameters(request, ("page",)).get("page", "1")
        page = versions_page(self._storage, name, whole_number(asked, "page", pages))
        return Answer("versions.html.j2", page)

    def evaluation(self, request: Request) -> Answer:
        parameters(request, ())
        version = _named_version(self._site, reference_of(self._site, _named(request)))
        facts = facts_of(self._storage, version)
        place = place_of(self._site, request)
        page = None if facts is None else evaluation_page(place, version, facts)
        if page is None:
            raise ProblemError(
                404, f"{version.key} was published without an evaluation.", (version.key,)
            )
        return Answer("evaluation.html.j2", page)

    # --- Lineage ----------------------------------------------------------------------------------

    def lineage(self, request: Request) -> Answer:
        parameters(request, ())
        version = _named_version(self._site, reference_of(self._site, _named(request)))
        place, parts = place_of(self._site, request), Parts(self._storage.url)
        known = self._lineage(place, version, parts, 2)
        page = lineage_page(self._storage, place, version, parts, known)
        return _marked(Answer("lineage.html.j2", page), bool(parts.missing))

    def _lineage(
        self, place: Place, version: Version, parts: Parts, generations: int
    ) -> Graph | None:
        """What ML Metadata knows of a version; None without it, or where it cannot be asked."""
        metadata = self._metadata
        if metadata is None:
            return None
        return parts.read(
            "lineage",
            lambda: metadata.lineage(place, version.key, version.digest, generations),
            None,
        )

    # --- Two modules ------------------------------------------------------------------------------

    def compare(self, request: Request) -> Answer:
        asked = parameters(request, ("left", "right", "all"))
        if (everything := asked.get("all", "0")) not in ("0", "1"):
            raise ProblemError(400, f"all is {quoted(everything)}: use 1 or 0.")
        sides = [self._side(request, side, asked) for side in ("left", "right")]
        place = place_of(self._site, request)
        page = compare_page(place, sides[0], sides[1], everything == "1")
        return Answer("compare.html.j2", page)

    def _side(self, request: Request, side: str, asked: Mapping[str, str]) -> Compared:
        if side not in asked:
            raise ProblemError(
                400,
                f"{side} is missing: name two versions, as in "
                "/-/compare?left=acme/words/1&right=acme/words/2.",
                self._versions_near(asked),
            )
        version = _named_version(self._site, reference_of(self._site, asked[side]))
        facts = facts_of(self._storage, version)
        if facts is None:
            raise ProblemError(
                404, f"{version.key} was published without facts, so it cannot be compared."
            )
        parts = Parts(self._storage.url)
        card = parts.read("card", lambda: card_of(self._storage, version), None)
        return Compared(version, facts, card, place_of(self._site, request).handle(version))

    def _versions_near(self, asked: Mapping[str, str]) -> tuple[str, ...]:
        """Versions to compare with the one that is named."""
        for text in asked.values():
            if "/" in text:
                name = reference_of(self._site, text).name
                there = numbers(self._storage, name)[: -_NEAREST - 1 : -1]
                return tuple(f"{name}/{number}" for number in there)
        return ()


def _marked(answer: Answer, is_partial: bool) -> Answer:
    """A page that lacks a part says so by its status, too."""
    return replace(answer, status=503, headers=_RETRY) if is_partial else answer


def _named_version(site: Site, named: Reference) -> Version:
    """The version that a reference stands for now, also one that is withdrawn.

    Raises:
      ProblemError: there is none.
    """
    number = number_of(site, named)
    return found(site.storage, named.name, number) or version_of(site, named.name, number)


def _query(request: Request) -> CatalogueQuery:
    return query_from_parameters(request.query_params.multi_items())


def _module_named(request: Request) -> str:
    return f"{request.path_params['publisher']}/{request.path_params['name']}"


def _named(request: Request) -> str:
    """``publisher/model``, with a version if the address has one."""
    version = request.path_params.get("version")
    return _module_named(request) if version is None else f"{_module_named(request)}/{version}"
