"""TensorFlow Hub's hosting protocol, as unmodified clients speak it.

tensorflow_hub 0.15 asks ``GET /publisher/model/3?tf-hub-format=compressed``, follows redirects, and
unpacks the body; with ``uncompressed`` it wants a 303 and reads a ``gs://`` path from its body, and
nothing else of it. ``?lite-format=tflite`` is how tfhub.dev served TensorFlow Lite.
"""

from datetime import datetime, timezone
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from hub_tfx.repository.layout import ARCHIVE, MODULE, VARIANTS, Version
from hub_tfx.repository.names import Reference
from hub_tfx.store.fetch.promises import MODULE_DIGEST, REPR_DIGEST, repr_digest
from hub_tfx.web.conditions import Representation
from hub_tfx.web.download import Download, Gate
from hub_tfx.web.lookup import number_of, reference_of, version_of
from hub_tfx.web.problems import ProblemError, is_of_protocol
from hub_tfx.web.site import Site

COMPRESSED, UNCOMPRESSED, TFLITE = "compressed", "uncompressed", "tflite"
_CHOICES = {"tf-hub-format": (COMPRESSED, UNCOMPRESSED), "lite-format": (TFLITE,)}
_TFLITE_FILE = f"{VARIANTS}/tflite/model.tflite"
_A_DAY_S = 86_400
_GS = ("gs://", "gcs://")


class ProtocolRoute(Route):
    """Takes the requests of clients of the protocol, whatever their path."""

    label = "hosting protocol"

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or not is_of_protocol(Request(scope)):
            return Match.NONE, {}
        return super().matches(scope)


class Protocol:
    """Answers clients of the protocol.

    Args:
      site: what is served.
      gate: where downloads are counted.
    """

    def __init__(self, site: Site, gate: Gate):
        self._site, self._gate = site, gate

    def route(self) -> ProtocolRoute:
        return ProtocolRoute("/{path:path}", self.answer, methods=["GET"], name="protocol")

    def answer(self, request: Request) -> Response:
        """The archive, the path or the variant that is asked for, or a redirect to its version."""
        kind = _kind(request)
        reference = reference_of(self._site, request.scope["path"])
        number = number_of(self._site, reference)
        if reference.version is None:
            return _redirect(request, reference, number)
        version = version_of(self._site, reference.name, number)
        if kind == UNCOMPRESSED:
            return self._uncompressed(version)
        path = ARCHIVE if kind == COMPRESSED else _TFLITE_FILE
        return self._file(version, path, _media_type(path))

    def _uncompressed(self, version: Version) -> Response:
        """Where TensorFlow reads the module itself: a line break would be a part of the path."""
        storage = self._site.storage
        folder = f"{version.key}/{MODULE}"
        if not storage.url.startswith(_GS):
            raise ProblemError(
                406,
                "This repository is not in gs://, so that TensorFlow cannot read it in place: ask "
                "for tf-hub-format=compressed (unset TFHUB_MODEL_LOAD_FORMAT).",
            )
        if not storage.names(folder):
            raise ProblemError(
                404,
                f"The files of {version.key} are not there to be read in place: publish the same "
                "module again, or ask for tf-hub-format=compressed.",
            )
        url = f"gs://{storage.url.partition('://')[2]}/{folder}"
        return PlainTextResponse(url, 303, {"Cache-Control": "no-store"})

    def _file(self, version: Version, path: str, media_type: str) -> Response:
        entry = version.entry(path)
        file = None
        if entry is not None:
            if self._site.options.accel_prefix is None:
                file = self._site.storage.open(f"{version.key}/{path}")
            else:
                return self._by_nginx(version, path, media_type, entry.sha256)
        if entry is None or file is None:
            raise ProblemError(404, _missing(version, path))
        what = Representation(entry.size_bytes, f'"{entry.sha256}"', _when(version))
        headers = self._headers(version, path, entry.sha256)
        return Download(file, what, self._gate, media_type, headers)

    def _by_nginx(self, version: Version, path: str, media_type: str, sha256: str) -> Response:
        """Has the nginx in front send the file: https://nginx.org/en/docs/http/ngx_http_proxy_module.html"""
        prefix = (self._site.options.accel_prefix or "").rstrip("/")
        headers = self._headers(version, path, sha256)
        headers["X-Accel-Redirect"] = quote(f"{prefix}/{version.key}/{path}")
        return Response(None, 200, headers, media_type)

    def _headers(self, version: Version, path: str, sha256: str) -> dict[str, str]:
        name = f"{version.name.model}-{version.number}{path[path.index('.') :]}"
        shared = "private" if self._site.options.tokens else "public"
        return {
            REPR_DIGEST: repr_digest(sha256),
            MODULE_DIGEST: version.digest,
            "Cache-Control": f"{shared}, max-age={_A_DAY_S}",
            "Content-Disposition": f'attachment; filename="{name}"',
        }


def _kind(request: Request) -> str:
    """The format that is asked for; raises ProblemError where there is no such format."""
    asked = [(key, v) for key in _CHOICES for v in request.query_params.getlist(key)]
    key, value = asked[0]
    if len(asked) > 1 or value not in _CHOICES[key]:
        choices = tuple(f"{k}={v}" for k, values in _CHOICES.items() for v in values)
        raise ProblemError(400, "Ask for one format of a module.", choices)
    return value


def _redirect(request: Request, reference: Reference, number: int) -> Response:
    """To the version that a name or an alias stands for now, and perhaps not tomorrow."""
    query = request.scope["query_string"].decode("latin-1")
    headers = {
        "Location": f"/{reference.name}/{number}?{quote(query, safe='%&=+-._~:/?@!$()*,;')}",
        "Cache-Control": "no-store",
    }
    return PlainTextResponse(f"{reference} is {reference.name}/{number} now.\n", 302, headers)


def _missing(version: Version, path: str) -> str:
    if path == ARCHIVE:
        return (
            f"{version.key} was published without the archive that TensorFlow Hub loads: publish "
            "the module under another name, without --no-archive."
        )
    return f"{version.key} was published without a TensorFlow Lite variant: load the module itself."


def _media_type(path: str) -> str:
    return "application/gzip" if path == ARCHIVE else "application/octet-stream"


def _when(version: Version) -> datetime:
    try:
        when = datetime.fromisoformat(version.when.replace("Z", "+00:00"))
    except ValueError:
        when = datetime.fromtimestamp(0, timezone.utc)
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return when.replace(microsecond=0)
