"""What the demos print with."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)


@contextmanager
def timed(title: str) -> Iterator[None]:
    """Prints what begins, and how long it took."""
    console.print(f"\n[bold]{title}[/bold]")
    started_s = time.monotonic()
    yield
    console.print(f"  {time.monotonic() - started_s:.1f} s", style="dim")
