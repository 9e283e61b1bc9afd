"""The retraining loop on three spans: `make demo-retrain`.

The docstrings of the standard library arrive in three spans. The first makes a version of a module
that tells which package a text comes from, the second makes a better one, a run without anything
new does nothing, and the third, in which a label has a name that no schema knows, is not learned
from. The demo fails if it comes otherwise. All of it is left in demo/out/retrain.
"""

import time
from pathlib import Path

from demo.console import console
from demo.loop import Loop, show_history
from demo.start import begin

OUT = Path(__file__).parent / "out" / "retrain"


def main() -> None:
    """Runs the demo."""
    started_s = time.monotonic()
    begin(OUT)
    loop = Loop.begin(OUT)
    loop.run_first(
        (
            "Span 1: a first version",
            "Span 2: a better one",
            "Nothing new",
            "Span 3: some labels are misspelt",
        )
    )
    show_history(loop)
    console.print(f"\nDone in {time.monotonic() - started_s:.0f} s.")


if __name__ == "__main__":
    main()
