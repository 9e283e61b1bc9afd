"""What a request has to pass before it is looked at: limits, and the token."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hub_tfx.web.problems import ProblemError
from hub_tfx.web.site import Site

MAX_HEADER_BYTES = 16 << 10
MAX_PATH_BYTES = 1024
MAX_QUERY_BYTES = 2048
MAX_BODY_BYTES = 64 << 10
OPEN_PATHS = ("/-/healthz", "/-/readyz")
"""What is answered without a token, for those who watch over the server."""

_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_CHALLENGE = 'Bearer realm="hub-tfx", Basic realm="hub-tfx", charset="UTF-8"'


class Guard:
    """Middleware that refuses what breaks a limit, or comes without a token where one is needed.

    The name of the token is ``scope["state"]["token"]`` afterwards.
    """

    def __init__(self, app: ASGIApp, site: Site, tell: Callable[[Request, Exception], Response]):
        self._app, self._site, self._tell = app, site, tell
        self._tokens = {name: _hash(secret) for name, secret in site.options.tokens.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope)
            except ProblemError as problem:
                request = Request(scope)
                await (await run_in_threadpool(self._tell, request, problem))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        _check_sizes(scope)
        _check_host(headers)
        if self._tokens and scope["path"] not in OPEN_PATHS:
            name = token_name(headers.get("authorization", ""), self._tokens)
            if name is None:
                raise ProblemError(
                    401,
                    "A token is needed: send it as `Authorization: Bearer TOKEN`, or as the "
                    "password of any user.",
                    headers={"WWW-Authenticate": _CHALLENGE},
                )
            scope.setdefault("state", {})["token"] = name
        _check_length(headers, self._body_limit(scope))

    def _body_limit(self, scope: Scope) -> int:
        publishes = self._site.options.allow_publish and scope["method"] == "PUT"
        return self._site.options.max_upload_bytes if publishes else MAX_BODY_BYTES


def token_name(authorization: str, hashes: Mapping[str, bytes]) -> str | None:
    """The name of the token that a request brings; None where it is none of ours.

    Every token is compared, in a time that does not depend on how much of it is right.
    """
    given = _hash(_secret(authorization))
    names = [name for name, known in hashes.items() if hmac.compare_digest(given, known)]
    return names[0] if names else None


def _secret(authorization: str) -> str:
    """What ``Authorization`` holds: a bearer token, or the password of a user."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _check_sizes(scope: Scope) -> None:
    if len(scope.get("raw_path") or scope["path"]) > MAX_PATH_BYTES:
        raise ProblemError(414, f"The path has more than {MAX_PATH_BYTES} bytes.")
    if len(scope["query_string"]) > MAX_QUERY_BYTES:
        raise ProblemError(414, f"The query has more than {MAX_QUERY_BYTES} bytes.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
        raise ProblemError(431, f"The headers have more than {MAX_HEADER_BYTES} bytes.")


def _check_host(headers: Headers) -> None:
    """Refuses a host that could not be in a link of a page."""
    hosts = headers.getlist("host")
    if len(hosts) > 1 or any(_HOST.fullmatch(host) is None for host in hosts if host):
        raise ProblemError(400, "The header Host is not the name of a host.")


def _check_length(headers: Headers, limit: int) -> None:
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or len(length) > 18 or int(length) > limit:
        raise ProblemError(413, f"The body of a request has at most {limit} bytes here.")
