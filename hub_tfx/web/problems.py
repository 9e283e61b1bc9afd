"""What went wrong with a request: raised anywhere, told as whoever asked can read it.

A client of the hosting protocol gets one line of text, whoever asks for JSON a document, and a
person a page.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

PROTOCOL_KEYS = ("tf-hub-format", "lite-format")
"""Names of query parameters by which clients of the hosting protocol are known."""


@dataclass(eq=False)  # Otherwise it could not be hashed, as exceptions are.
class ProblemError(Exception):
    """An answer that is not what was asked for.

    Attributes:
      status: HTTP status, such as 404.
      message: one sentence: what was wrong, and what to do.
      nearest: handles or choices that may have been meant.
      headers: more headers of the answer.
    """

    status: int
    message: str
    nearest: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    @property
    def title(self) -> str:
        return HTTPStatus(self.status).phrase

    @property
    def line(self) -> str:
        """The problem in one line of text."""
        what = "Use one of" if self.status == 400 else "The nearest"
        near = f" {what}: {', '.join(self.nearest)}." if self.nearest else ""
        return " ".join(f"{self.message}{near}".split())


def is_of_protocol(request: Request) -> bool:
    """Whether a request comes from a client of the hosting protocol."""
    return any(key in request.query_params for key in PROTOCOL_KEYS)


def told(request: Request, problem: ProblemError) -> Response | None:
    """The answer to a program; None for a person, who gets a page."""
    headers = {"Cache-Control": "no-store", **problem.headers}
    if is_of_protocol(request) or request.method not in ("GET", "HEAD"):
        return PlainTextResponse(f"{problem.line}\n", problem.status, headers)
    path = request.scope["path"]  # Of a URL, "#" and line breaks would be lost.
    if path.endswith(".json") or path.startswith("/-/api"):
        document = {
            "status": problem.status,
            "error": problem.message,
            "nearest": list(problem.nearest),
        }
        return JSONResponse(document, problem.status, headers)
    return None
