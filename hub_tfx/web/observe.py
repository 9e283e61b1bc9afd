"""Counts and times every answer, writes the access log, and lets no error of ours out."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub_tfx._text import printable
from hub_tfx.web.access_log import AccessLog
from hub_tfx.web.download import SENDFILE

_log = logging.getLogger(__name__)
_METHODS = ("GET", "HEAD", "OPTIONS", "PUT")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)


class Metrics:
    """The numbers of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry, namespace="hub_tfx")
        gauge = partial(Gauge, registry=self.registry, namespace="hub_tfx")
        histogram = partial(Histogram, registry=self.registry, namespace="hub_tfx")
        told = ("method", "route", "status")
        self.requests = counter("requests", "Answers, by route and status.", told)
        self.sent = counter("sent_bytes", "Bytes of the bodies of answers.", ["route"])
        self.seconds = histogram(
            "request_seconds", "Time until an answer was sent.", ["route"], buckets=_BUCKETS
        )
        self.publications = counter("publications", "Versions published here.")
        self.downloads = gauge("downloads_in_progress", "Files that are being sent.")
        self.modules = gauge("modules", "Modules in the index.")
        self.versions = gauge("versions", "Versions in the index.")
        self.index_age = gauge("index_age_seconds", "Time since the index was up to date.")
        self.index_problem = gauge("index_problem", "1 if the last look at the repository failed.")

    def count(self, scope: Scope, status: int, size_bytes: int, seconds: float) -> None:
        taken = scope.get("route")
        route = getattr(taken, "label", None) or getattr(taken, "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.requests.labels(method, route, str(status)).inc()
        self.sent.labels(route).inc(size_bytes)
        self.seconds.labels(route).observe(seconds)


class Observer:
    """The outermost middleware."""

    def __init__(self, app: ASGIApp, metrics: Metrics, access_log: AccessLog | None):
        self._app, self._metrics, self._access_log = app, metrics, access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s, seen = time.perf_counter(), _Seen(send)
        try:
            await self._guarded(scope, receive, seen)
        finally:
            told = (scope, seen.status, seen.size_bytes, time.perf_counter() - started_s)
            self._metrics.count(*told)
            if self._access_log is not None:
                self._access_log.write(*told)

    async def _guarded(self, scope: Scope, receive: Receive, seen: "_Seen") -> None:
        try:
            await self._app(scope, receive, seen)
        except asyncio.CancelledError:
            _log.warning("%s: cut off, since the server stops", _what(scope))
            raise
        except Exception as error:
            _log.warning("%s: unexpected %s: %s", _what(scope), type(error).__name__, error)
            if seen.status:
                raise  # The connection is closed, so that nobody takes a part for the whole.
            answer = PlainTextResponse("The server failed: its log says why.\n", 500)
            await answer(scope, receive, seen)


class _Seen:
    """Passes messages on, and remembers the status and the bytes."""

    def __init__(self, send: Callable[[Message], Awaitable[None]]):
        self._send = send
        self.status, self.size_bytes = 0, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)
        if message["type"] == SENDFILE:
            self.size_bytes += message["count"]
        elif message["type"] == "http.response.body":
            self.size_bytes += len(message.get("body", b""))


def _what(scope: Scope) -> str:
    return printable(f"{scope['method']} {scope['path'][:200]}")
