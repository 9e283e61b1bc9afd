"""The routes of the server, and what every request passes through."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from hub_tfx.web import pages
from hub_tfx.web.problems import ProblemError, told
from hub_tfx.web.site import Site


def create_app(site: Site) -> Starlette:
    """The application that answers for a repository."""

    async def on_problem(request: Request, error: Exception) -> Response:
        problem = error if isinstance(error, ProblemError) else _of_starlette(error)
        return told(request, problem) or pages.problem_page(site, request, problem)

    return Starlette(
        routes=routes(site),
        exception_handlers={ProblemError: on_problem, HTTPException: on_problem},
    )


def routes(site: Site) -> list[BaseRoute]:
    """Every route, in the order in which they are tried."""
    return [Route("/-/healthz", _healthz), *pages.routes(site)]


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


def _of_starlette(error: Exception) -> ProblemError:
    assert isinstance(error, HTTPException)
    return ProblemError(error.status_code, f"{error.detail}.", headers=dict(error.headers or {}))
