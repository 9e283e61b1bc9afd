"""The routes of the server, and what every request passes through."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Route

from hub_tfx._text import printable
from hub_tfx.errors import FetchError, HubTfxError, TransientFetchError, UsageError
from hub_tfx.store.fetch.promises import MODULE_DIGEST, REPR_DIGEST
from hub_tfx.web import pages
from hub_tfx.web.access_log import AccessLog
from hub_tfx.web.download import Gate
from hub_tfx.web.feed import Feed
from hub_tfx.web.guard import Guard
from hub_tfx.web.headers import SecurityHeaders
from hub_tfx.web.observe import Metrics, Observer
from hub_tfx.web.openapi import document
from hub_tfx.web.operating import Operating
from hub_tfx.web.problems import ProblemError, told
from hub_tfx.web.protocol import Protocol
from hub_tfx.web.publishing import Publishing
from hub_tfx.web.refresh import Refresher
from hub_tfx.web.site import Site

_log = logging.getLogger(__name__)
_EXPOSED = (
    "Accept-Ranges",
    "Content-Range",
    "ETag",
    "Link",
    "Location",
    MODULE_DIGEST,
    REPR_DIGEST,
)
_ALLOWED = ("Authorization", "If-Match", "If-None-Match", "If-Range", "Range")


def create_app(site: Site, access_log: AccessLog | None = None) -> Starlette:
    """The application that answers for a repository; while it runs the index is kept up to date.

    Args:
      site: what is served.
      access_log: where each answer is written down; nowhere if None.
    """
    metrics, refresher = Metrics(), Refresher(site)
    listed = routes(site, metrics, refresher)
    tell = Teller(site, listed)

    @asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        refresher.start()
        try:
            yield
        finally:
            refresher.stop()

    return Starlette(
        routes=listed,
        lifespan=running,
        exception_handlers=dict.fromkeys((ProblemError, HTTPException, HubTfxError), tell.on_error),
        middleware=[
            Middleware(Observer, metrics=metrics, access_log=access_log),
            Middleware(SecurityHeaders),
            *_cors(site),
            Middleware(Guard, site=site, tell=tell.on_error),
        ],
    )


def routes(site: Site, metrics: Metrics, refresher: Refresher) -> list[BaseRoute]:
    """Every route, in the order in which they are tried."""
    downloads = Gate(site.options.max_downloads, "sends")
    publishing = (
        [Publishing(site, refresher, metrics).route()] if site.options.allow_publish else []
    )
    return [
        *Operating(site, metrics, refresher, downloads).routes(),
        Route("/-/feed.atom", Feed(site).answer),
        Route("/-/openapi.json", _openapi(site)),
        Protocol(site, downloads).route(),
        *publishing,
        *pages.routes(site),
    ]


class Teller:
    """Tells whoever asked what went wrong, as they can read it."""

    def __init__(self, site: Site, listed: Sequence[BaseRoute]):
        self._site, self._routes = site, listed

    def on_error(self, request: Request, error: Exception) -> Response:
        problem = self._problem(request, error)
        return told(request, problem) or pages.problem_page(self._site, request, problem)

    def _problem(self, request: Request, error: Exception) -> ProblemError:
        if isinstance(error, ProblemError):
            return error
        if isinstance(error, HubTfxError):
            return _of_ours(request, error)
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            allowed = self._allowed(request)
            message = f"This address takes {', '.join(allowed)}, and nothing else."
            return ProblemError(405, message, headers={"Allow": ", ".join(allowed)})
        if error.status_code == 404:
            path = request.scope["path"].strip("/")
            return ProblemError(404, "There is nothing at this address.", self._site.nearest(path))
        return ProblemError(error.status_code, f"{error.detail}.", (), error.headers or {})

    def _allowed(self, request: Request) -> list[str]:
        """The methods that some route takes for the path of a request."""
        methods = set[str]()
        for route in self._routes:
            if route.matches(request.scope)[0] != Match.NONE:
                methods |= getattr(route, "methods", None) or set()
        return sorted(methods)


def _of_ours(request: Request, error: HubTfxError) -> ProblemError:
    """The problem of an error; what is about the server's own files is said by its log alone."""
    if isinstance(error, UsageError):
        return ProblemError(400, " ".join(error.lines))
    _log.warning("%s %s: %s", request.method, printable(request.scope["path"][:200]), error)
    if isinstance(error, TransientFetchError):
        message = "The repository cannot be reached now: try again in a minute."
        return ProblemError(503, message, headers={"Retry-After": "60"})
    if isinstance(error, FetchError):
        return ProblemError(404, "There is no such version.")
    return ProblemError(
        500, "The repository is damaged or cannot be read: the server's log says why."
    )


def _cors(site: Site) -> list[Middleware]:
    origins = site.options.cors_origins
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "HEAD"),
            allow_headers=_ALLOWED,
            expose_headers=_EXPOSED,
        )
    ]


def _openapi(site: Site) -> Callable[[Request], Response]:
    def openapi(request: Request) -> Response:
        """What a program can ask for, as OpenAPI 3.1 describes it."""
        described = document(
            site.base_url(request),
            with_tokens=bool(site.options.tokens),
            with_publishing=site.options.allow_publish,
        )
        return JSONResponse(described)

    return openapi
