"""An answer as a page or as its JSON twin, from one context."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from hub_tfx._typed_json import known_only
from hub_tfx.web.pages.environment import render
from hub_tfx.web.pages.links import Place, twin_of
from hub_tfx.web.problems import ProblemError
from hub_tfx.web.site import Site

HTML = "text/html; charset=utf-8"
_TAG = re.compile(r'"([0-9a-f]{64})"')


@dataclass(frozen=True)
class Answer:
    """What a page shows.

    Attributes:
      template: name of its template.
      page: the context, a frozen dataclass.
      status: HTTP status.
      document: the JSON twin; the context without what is not known if None.
      headers: more headers.
    """

    template: str
    page: Any
    status: int = 200
    document: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def place_of(site: Site, request: Request) -> Place:
    """Where the pages of a request are served from."""
    return Place(site.base_url(request), site.storage.url)


def as_page(site: Site, request: Request, answer: Answer) -> Response:
    """An answer as a page for people."""
    twin, server = _twin(request), site.base_url(request)
    body = _rendered(answer, twin=twin, server=server)
    return _told(request, answer, body, HTML, twin, "application/json")


def problem_page(site: Site, request: Request, problem: ProblemError) -> Response:
    """The page of a problem, with its status and headers.

    What was asked may be anything, so that nothing of it is used.
    """
    headers = {"Cache-Control": "no-store", **problem.headers}
    body = _rendered(Answer("problem.html.j2", problem), twin=None, server=None)
    return Response(body, problem.status, headers, HTML)


def as_json(request: Request, answer: Answer) -> Response:
    """An answer for programs."""
    document = known_only(answer.page) if answer.document is None else answer.document
    body = json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return _told(request, answer, body, "application/json", _twin(request), "text/html")


def _twin(request: Request) -> str:
    """The address of the other form, fit for a header."""
    return quote(twin_of(request.url.path, request.url.query), safe="/?&=%+,:@~.-_")


def _rendered(answer: Answer, **values: str | None) -> bytes:
    return render(answer.template, page=answer.page, **values).encode("utf-8", "replace")


def _told(
    request: Request, answer: Answer, body: bytes, kind: str, twin: str, twin_kind: str
) -> Response:
    digest = hashlib.sha256(body).hexdigest()
    headers = {
        "Cache-Control": "no-cache",
        "ETag": f'"{digest}"',
        "Link": f'<{twin}>; rel="alternate"; type="{twin_kind}"',
        **answer.headers,
    }
    if answer.status == 200 and digest in _TAG.findall(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(body, answer.status, headers, kind)
