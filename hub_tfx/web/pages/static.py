"""Stylesheet, script and icon, under names that hold the digest of what is in them.

So a browser keeps them for good, and a page of a new release asks for new ones.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from hub_tfx.web.problems import ProblemError

ROUTE = "/-/static/{file}"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_GOOD = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class StaticFile:
    """A file that pages ask for."""

    content: bytes
    media_type: str
    digest: str


def static_path(name: str) -> str:
    """The path under which a page asks for a file."""
    stem, _, ending = name.rpartition(".")
    digest = next(file.digest for of, file in _files().items() if of.startswith(f"{stem}."))
    return f"/-/static/{stem}.{digest[:16]}.{ending}"


def static_file(request: Request) -> Response:
    """The file of a path that ``static_path`` gives."""
    name = request.path_params["file"]
    file = _files().get(name)
    if file is None:
        raise ProblemError(404, f"There is no file {name!r}: load the page again.")
    headers = {"Cache-Control": _FOR_GOOD, "ETag": f'"{file.digest}"'}
    if file.digest in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


@cache
def _files() -> dict[str, StaticFile]:
    files = {}
    for path in Path(__file__).with_name("static").iterdir():
        if path.suffix in _TYPES:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            named = f"{path.stem}.{digest[:16]}{path.suffix}"
            files[named] = StaticFile(content, _TYPES[path.suffix], digest)
    return files
