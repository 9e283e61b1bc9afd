"""Keeps the index up to date while the server runs."""

import logging
import threading
import time
from dataclasses import dataclass

from hub_tfx.errors import HubTfxError
from hub_tfx.repository.layout import REPOSITORY
from hub_tfx.web.site import Site

_log = logging.getLogger(__name__)
_SHARE = 10
"""A look at the repository takes at most one in so many seconds."""


@dataclass(frozen=True)
class IndexState:
    """How good the index is.

    Attributes:
      is_ready: whether it can be asked: it was brought up to date, now or before a restart.
      refreshed_s: when it was last brought up to date, by ``time.monotonic``; None if not yet.
      problem: what went wrong at the last look; None where nothing did.
    """

    is_ready: bool = False
    refreshed_s: float | None = None
    problem: str | None = None

    @property
    def age_s(self) -> float | None:
        return None if self.refreshed_s is None else time.monotonic() - self.refreshed_s


class Refresher:
    """Looks at the repository again and again, in a thread; an error leaves the index as it was."""

    def __init__(self, site: Site):
        self._site = site
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="hub_tfx-index", daemon=True)
        self.state = IndexState()

    def start(self) -> None:
        self.state = IndexState(is_ready=self._site.catalogue.count().modules > 0)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def refresh(self) -> None:
        """Brings the index up to date now; never raises, since the next look may succeed."""
        with self._lock:
            try:
                problems = () if self._is_empty() else self._site.catalogue.refresh().problems
                state = IndexState(True, time.monotonic(), problems[0] if problems else None)
            except HubTfxError as error:
                before = self.state
                state = IndexState(before.is_ready, before.refreshed_s, str(error))
            if state.problem is not None and state.problem != self.state.problem:
                _log.warning("the index: %s", state.problem)
            self.state = state

    def _is_empty(self) -> bool:
        """Whether the first version is still to be published, through us."""
        site = self._site
        return site.options.allow_publish and site.storage.read(REPOSITORY) is None

    def _run(self) -> None:
        while True:
            started_s = time.monotonic()
            self.refresh()
            took_s = time.monotonic() - started_s
            if self._stopped.wait(max(self._site.options.refresh_s, _SHARE * took_s)):
                return
