"""For those who run the server: is it alive, is it ready, what does it do."""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from hub_tfx.web.download import Gate
from hub_tfx.web.observe import Metrics
from hub_tfx.web.refresh import Refresher
from hub_tfx.web.site import Site


class Operating:
    """Answers under ``/-/``."""

    def __init__(self, site: Site, metrics: Metrics, refresher: Refresher, downloads: Gate):
        self._site, self._metrics = site, metrics
        self._refresher, self._downloads = refresher, downloads

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/-/healthz", self.healthz),
            Route("/-/readyz", self.readyz),
            Route("/-/metrics", self.metrics),
        ]

    async def healthz(self, _: Request) -> Response:
        """The process answers."""
        return PlainTextResponse("ok\n", headers={"Cache-Control": "no-store"})

    async def readyz(self, _: Request) -> Response:
        """The index can be asked. Why it is not up to date, its log says to those who may know."""
        state = self._refresher.state
        age_s = state.age_s
        document = {
            "ready": state.is_ready,
            "index_age_seconds": None if age_s is None else round(age_s, 1),
            "problem": "the repository cannot be read: see the log" if state.problem else None,
        }
        status = 200 if state.is_ready else 503
        headers = {"Cache-Control": "no-store"} | ({} if state.is_ready else {"Retry-After": "2"})
        return JSONResponse(document, status, headers)

    def metrics(self, _: Request) -> Response:
        """Numbers for Prometheus."""
        metrics = self._metrics
        count = self._site.catalogue.count()
        metrics.modules.set(count.modules)
        metrics.versions.set(count.versions)
        age_s = self._refresher.state.age_s
        metrics.index_age.set(float("nan") if age_s is None else age_s)
        metrics.index_problem.set(self._refresher.state.problem is not None)
        metrics.downloads.set(self._downloads.inside)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
