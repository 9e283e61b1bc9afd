"""CallSizes: how many rows a call of a module takes, found from what calls took.

As Beam's BatchElements, which fits a line through what all batches took; here rows are told apart
by what they feed, since a call of long texts and one of short texts have no line in common, and
sizes are compared as they were measured, since memory makes large calls slower than any line.
"""

import math
import statistics
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.rows import Rows

_FIRST_ROWS = 4
"""Of the first calls: few, so that something is seen of a slow module in seconds. Fewer would be
more often one, for which some modules are not made."""
_MOST_ROWS = 2048
_CALLS_OF_A_SIZE = 3
"""The middle one counts: the first of a size is slower, and others share the cores."""
_GAIN = 0.05
"""Share of a row's time that is worth calls of twice the rows, and their memory."""
_SHORT_CALL_S = 0.025
"""Calls that are shorter cost more than their rows: their sizes grow fast, and unmeasured."""
_MISSES = 2
"""Sizes without a gain, one after the other, after which larger ones are not tried."""


@dataclass
class _Search:
    """The search for the size of calls whose largest row is of one class."""

    rows: int = _FIRST_ROWS
    seconds: list[float] = field(default_factory=list)
    best_rows: int = _FIRST_ROWS
    best_row_s: float = math.inf
    misses: int = 0
    is_settled: bool = False

    def took(self, seconds: float, most: int) -> None:
        """Learns what a call of ``self.rows`` rows took, and chooses the next size."""
        self.seconds.append(seconds)
        is_short = seconds < _SHORT_CALL_S
        if len(self.seconds) < _CALLS_OF_A_SIZE and not is_short:
            return
        row_s = statistics.median_low(self.seconds) / self.rows
        doublings = math.log2(self.rows / self.best_rows)
        if is_short or row_s < self.best_row_s * (1 - _GAIN) ** doublings:
            self.best_rows, self.best_row_s, self.misses = self.rows, row_s, 0
        else:
            self.misses += 1
        self.is_settled = self.misses == _MISSES or self.rows >= most
        larger = min((4 if is_short else 2) * self.rows, most)
        self.rows = self.best_rows if self.is_settled else larger
        self.seconds = []


class CallSizes:
    """Rows of calls, by the bytes of the largest row in them; shared by threads.

    Attributes:
      most: upper bound, lowered where calls of so many run out of memory or time.
      is_fixed: whether calls have ``most`` rows from the first one on.
    """

    def __init__(self, most: int = _MOST_ROWS, *, is_fixed: bool = False):
        self.most = most
        self.is_fixed = is_fixed
        self._searches: dict[int, _Search] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, config: EmbedConfig) -> "CallSizes":
        """Those that a config asks for."""
        if config.batch_size is None:
            return cls()
        return cls(config.batch_size, is_fixed=True)

    def rows(self, largest: int) -> int:
        """Number of rows for a call whose largest row feeds so many bytes."""
        if self.is_fixed:
            return self.most
        with self._lock:
            return min(self._search(largest).rows, self.most)

    def took(self, largest: int, rows: int, seconds: float) -> None:
        """Learns from a call that succeeded at once."""
        with self._lock:
            search = self._search(largest)
            if not (self.is_fixed or search.is_settled) and rows == min(search.rows, self.most):
                search.took(seconds, self.most)

    def lower(self, most: int) -> None:
        """Keeps to at most so many rows: calls of more run out of memory or time."""
        with self._lock:
            self.most = most
            for search in self._searches.values():
                search.is_settled |= search.rows >= most

    def _search(self, largest: int) -> _Search:
        """The search for a class of rows, which begins with what is known of the nearest one."""
        size = int(largest).bit_length()
        if size not in self._searches:
            search = _Search()
            if self._searches:
                nearest = min(self._searches, key=lambda other: abs(other - size))
                rows = self._searches[nearest].best_rows >> max(0, 2 * (size - nearest))
                search.rows = max(_FIRST_ROWS, rows)
            self._searches[size] = search
        return self._searches[size]


def make_calls(row_bytes: Rows, sizes: CallSizes, max_bytes: int) -> Iterator[Rows]:
    """Cuts rows into calls; rows of like size go together, since modules pad to the longest.

    The largest rows come first. A size that is learned from one call holds for the next.

    Args:
      row_bytes: ``[rows]`` int64, what each row feeds.
      sizes: of calls.
      max_bytes: of a call, were all its rows as large as its largest; a larger row goes alone.

    Yields:
      Indices of rows, each in one call; rows that fit into one call keep their order.
    """

    def fitting(largest: int) -> int:
        return max(1, min(sizes.rows(largest), max_bytes // max(1, largest)))

    left = len(row_bytes)
    if left and left <= fitting(row_bytes.max()):
        yield np.arange(left)
        return
    order = np.argsort(row_bytes, kind="stable")
    while left:
        start = max(0, left - fitting(row_bytes[order[left - 1]]))
        yield order[start:left]
        left = start
