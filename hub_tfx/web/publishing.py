"""Publishing through the server: an archive that looks like a version becomes one.

    README.md      the card
    module/...     the module

``PUT /publisher/name`` with such a .tar.gz as its body. The archive is read as suspiciously as any
from elsewhere, and what is in it goes through the same publishing as on a shell.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hub_tfx.errors import (
    ArchiveError,
    HubTfxError,
    NotAModuleError,
    OutputError,
    RefusedError,
    TakenError,
    UsageError,
)
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.layout import CARD, MODULE
from hub_tfx.repository.names import ModuleName, parse_version
from hub_tfx.repository.publish import PublishedVersion, publish
from hub_tfx.store.archive import DEFAULT_LIMITS, unpack
from hub_tfx.web.download import Gate
from hub_tfx.web.observe import Metrics
from hub_tfx.web.problems import ProblemError
from hub_tfx.web.refresh import Refresher
from hub_tfx.web.site import Site

_log = logging.getLogger(__name__)
_AT_ONCE = 2
_BUFFER_BYTES = 1 << 20
_STALLED_S = 60.0
_UNPACKED = "upload"
_STATUS = {
    TakenError: 409,
    UsageError: 400,
    ArchiveError: 400,
    NotAModuleError: 400,
    RefusedError: 400,
}
_PARAMETERS = ("version", "alias", "why")


@dataclass(frozen=True)
class Wanted:
    """What a publication asks for in its query, as the options of `hub-tfx publish`."""

    version: int | None = None
    aliases: tuple[str, ...] = ()
    why: str = "published"

    @classmethod
    def of(cls, request: Request) -> "Wanted":
        """Reads the query; raises HandleError or ProblemError for what cannot be read."""
        query = request.query_params
        if unknown := sorted(set(query) - set(_PARAMETERS)):
            message = f"{unknown[0]!r} is not a parameter of a publication."
            raise ProblemError(400, message, _PARAMETERS)
        version = parse_version(query["version"]) if "version" in query else None
        return cls(version, tuple(query.getlist("alias")), query.get("why") or "published")


class Publishing:
    """Answers ``PUT /publisher/name`` of those who have a token."""

    def __init__(self, site: Site, refresher: Refresher, metrics: Metrics):
        self._site, self._refresher, self._metrics = site, refresher, metrics
        self._gate = Gate(_AT_ONCE, "takes publications,")

    def route(self) -> Route:
        return Route("/{publisher}/{name}", self.put, methods=["PUT"], name="publish")

    async def put(self, request: Request) -> Response:
        """Publishes what the body holds: 201 with its place, or 200 where it was there already."""
        try:
            name = ModuleName.parse("/".join(request.path_params[p] for p in ("publisher", "name")))
            wanted = Wanted.of(request)
            with self._gate.passed():
                async with self._work() as folder:
                    await self._receive(request, folder / "body")
                    made = await run_sync(self._publish, folder, name, wanted, _who(request))
        except HubTfxError as error:
            raise _problem(error) from error
        place = f"{made.name}/{made.version}"
        document = {
            "handle": f"{self._site.base_url(request)}/{place}",
            "name": made.name,
            "version": made.version,
            "digest": made.digest,
            "created": made.created,
        }
        headers = {"Location": f"/{place}", "Cache-Control": "no-store"}
        return JSONResponse(document, 201 if made.created else 200, headers)

    @asynccontextmanager
    async def _work(self) -> AsyncIterator[Path]:
        """A folder beside the repository, which garbage collection knows if we are killed."""
        work = self._site.storage.work()
        folder = await run_sync(work.__enter__)
        try:
            yield folder
        finally:
            await run_sync(work.__exit__, None, None, None)

    async def _receive(self, request: Request, body: Path) -> None:
        """Writes the body to a file, as long as bytes come and are not too many."""
        limit, size_bytes, waiting = self._site.options.max_upload_bytes, 0, bytearray()
        chunks = request.stream()
        with body.open("xb") as file:
            while chunk := await _next(chunks):
                size_bytes += len(chunk)
                if size_bytes > limit:
                    raise ProblemError(413, f"A publication has at most {limit} bytes here.")
                waiting += chunk
                if len(waiting) >= _BUFFER_BYTES:
                    await run_sync(file.write, bytes(waiting))
                    waiting.clear()
            await run_sync(file.write, bytes(waiting))

    def _publish(
        self, folder: Path, name: ModuleName, wanted: Wanted, who: str
    ) -> PublishedVersion:
        body, upload = folder / "body", folder / _UNPACKED
        limits = replace(DEFAULT_LIMITS, total_bytes=4 * self._site.options.max_upload_bytes)
        try:
            unpack(body, upload, limits, name="the archive")
            os.unlink(body)
            _check_shape(upload)
            made = publish(
                ResolvedModule.of_directory(
                    upload / MODULE, str(name), self._site.options.policy, is_remote=True
                ),
                self._site.storage.url,
                str(name),
                card=upload / CARD,
                version=wanted.version,
                aliases=wanted.aliases,
                why=wanted.why,
                who=who,
            )
        except HubTfxError as error:
            raise self._told(error, folder) from error
        if made.created:
            self._metrics.publications.inc()
        self._refresher.refresh()
        return made

    def _told(self, error: HubTfxError, folder: Path) -> ProblemError:
        """A problem that names files as the archive has them, and none of this machine."""
        problem = _problem(error)
        message = problem.message
        for inside in (f"{folder / _UNPACKED}/", f"{folder}/"):
            message = message.replace(inside, "")
        return replace(problem, message=message.replace(self._site.storage.url, "the repository"))


def _check_shape(upload: Path) -> None:
    """Raises ProblemError for an archive that is not a card and a module."""
    found = sorted(os.listdir(upload))
    if found != sorted((CARD, MODULE)) or not (upload / MODULE).is_dir():
        held = ", ".join(found[:5]) or "nothing"
        raise ProblemError(
            400,
            f"The archive holds {held}: it takes the card and the module, packed by "
            f"`tar -czf FILE {CARD} {MODULE}`.",
        )


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    """The next bytes of a body that are not none; none at its end."""
    try:
        while True:
            chunk = await asyncio.wait_for(chunks.__anext__(), _STALLED_S)
            if chunk:
                return chunk
    except StopAsyncIteration:
        return b""
    except asyncio.TimeoutError:
        raise ProblemError(408, f"No byte came for {_STALLED_S:g} seconds.") from None
    except ClientDisconnect:
        raise ProblemError(400, "The body was cut short.") from None


def _who(request: Request) -> str:
    """Who publishes, for the marker: the name of the token, and from where it came."""
    client = request.client.host if request.client else "?"
    return f"{request.state.token}@{client}"


def _problem(error: HubTfxError) -> ProblemError:
    """The problem of an error; what it cannot tell is raised again, for the application."""
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            return ProblemError(status, "; ".join(error.lines))
    if isinstance(error, OutputError):
        _log.warning("a publication failed: %s", error)
        return ProblemError(507, "The server cannot write the version: its log says why.")
    raise error
