"""How benchmarks print: a line a measurement, with its ratio to the one that is compared with."""

import statistics
from collections.abc import Sequence


def rate(rows: int, seconds: Sequence[float]) -> str:
    """Rows a second, of the median run."""
    return f"{rows / statistics.median(seconds):,.0f}/s"


def ratio(slower: Sequence[float], ours: Sequence[float]) -> str:
    """How many times faster ours was, run by run: the median, and each.

    Machines are shared and noisy: only runs that follow each other are compared.
    """
    ratios = [other / own for other, own in zip(slower, ours, strict=True)]
    return f"{statistics.median(ratios):6.2f}   ({', '.join(f'{r:.2f}' for r in ratios)})"


def print_line(name: str, rows: int, seconds: Sequence[float], compared: str = "") -> None:
    """`name`, its rate, and a ratio where there is one."""
    print(f"{name:<40}{rate(rows, seconds):>12}   {compared}", flush=True)
