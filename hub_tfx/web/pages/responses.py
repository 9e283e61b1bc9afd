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
from hub_tfx.web.site import Site

_HOST = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
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
    server = site.options.public_url or _asked(request)
    return Place(server.rstrip("/"), site.storage.url)


def as_page(site: Site, request: Request, answer: Answer, *, with_twin: bool = True) -> Response:
    """An answer as a page for people.

    Args:
      site: what is served.
      request: what was asked.
      answer: what to show.
      with_twin: whether there is a JSON document of it.
    """
    twin = _twin(request) if with_twin else None
    values = {"page": answer.page, "place": place_of(site, request), "twin": twin}
    body = render(answer.template, **values).encode("utf-8", "replace")
    return _told(request, answer, body, "text/html; charset=utf-8", twin, "application/json")


def as_json(request: Request, answer: Answer) -> Response:
    """An answer for programs."""
    document = known_only(answer.page) if answer.document is None else answer.document
    body = json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return _told(request, answer, body, "application/json", _twin(request), "text/html")


def _twin(request: Request) -> str:
    """The address of the other form, fit for a header."""
    return quote(twin_of(request.url.path, request.url.query), safe="/?&=%+,:@~.-_")


def _told(
    request: Request, answer: Answer, body: bytes, kind: str, twin: str | None, twin_kind: str
) -> Response:
    digest = hashlib.sha256(body).hexdigest()
    headers = {"Cache-Control": "no-cache", "ETag": f'"{digest}"', **answer.headers}
    if twin is not None:
        headers["Link"] = f'<{twin}>; rel="alternate"; type="{twin_kind}"'
    if answer.status == 200 and digest in _TAG.findall(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(body, answer.status, headers, kind)


def _asked(request: Request) -> str:
    """The server as the client names it; as it names itself where that is not the name of a host."""
    host = request.headers.get("host", "")
    if _HOST.fullmatch(host) is None:
        name, port = request.scope.get("server") or ("localhost", None)
        host = f"{name}:{port}" if port else str(name)
    return f"{request.url.scheme}://{host}"
