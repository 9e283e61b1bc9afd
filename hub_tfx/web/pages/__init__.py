"""What people see: pages, each with a JSON twin from the same context."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute

from hub_tfx.web.problems import ProblemError
from hub_tfx.web.site import Site


def routes(site: Site) -> list[BaseRoute]:
    """The routes of all pages and twins, the most special first."""
    return []


def problem_page(site: Site, request: Request, problem: ProblemError) -> Response:
    """The page of a problem, with its status and headers."""
    headers = {"Cache-Control": "no-store", **problem.headers}
    return PlainTextResponse(f"{problem.line}\n", problem.status, headers)
