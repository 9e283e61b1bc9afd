"""Progress of downloads: live on a terminal, otherwise a line each half minute."""

import time

from hub_tfx.cli.output import ProgressLine
from hub_tfx.store.fetch.progress import Download

_LINE_EVERY_S = 30.0
_LIVE_EVERY_S = 0.5
_BAR_WIDTH = 20


class ShownDownload:
    """Prints to stderr how far a download is; see ``store.fetch.progress.Listener``.

    What is over in half a second prints nothing.
    """

    def __init__(self, live_every_s: float = _LIVE_EVERY_S, line_every_s: float = _LINE_EVERY_S):
        """Progress that is shown at these intervals on a terminal, and elsewhere."""
        self._live_every_s, self._line_every_s = live_every_s, line_every_s
        self._line: ProgressLine | None = None
        self._next_s = 0.0

    def began(self, download: Download) -> None:
        self._line = None
        self._next_s = download.started_s + self._live_every_s

    def went_on(self, download: Download) -> None:
        if (now_s := time.monotonic()) < self._next_s:
            return
        if self._line is None:
            self._line = ProgressLine(download.name)
            self._line.start()
            if not self._line.is_live:
                self._next_s = download.started_s + self._line_every_s
                return
        self._next_s = now_s + (self._live_every_s if self._line.is_live else self._line_every_s)
        bar = _bar(download) if self._line.is_live else ""
        self._line.show(bar + download.line(now_s))

    def ended(self, download: Download) -> None:
        if self._line is not None:
            self._line.stop()
            self._line = None


def _bar(download: Download) -> str:
    """A bar, if it is known how much there is."""
    if not download.expected:
        return ""
    full = min(_BAR_WIDTH, _BAR_WIDTH * download.done // download.expected)
    return "█" * full + "░" * (_BAR_WIDTH - full) + " "
