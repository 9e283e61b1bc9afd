"""The retraining loop on three spans: `make demo-retrain`.

The docstrings of the standard library arrive in three spans. The first makes a version of a module
that tells which package a text comes from, the second makes a better one, a run without anything
new does nothing, and the third, in which a label has a name that no schema knows, is not learned
from. The demo fails if it comes otherwise. All of it is left in demo/out/retrain.
"""

import time
from pathlib import Path

from demo.console import console
from demo.loop import Expected, Loop, show_history
from demo.start import begin

OUT = Path(__file__).parent / "out" / "retrain"


def main() -> None:
    """Runs the demo."""
    started_s = time.monotonic()
    begin(OUT)
    loop = Loop.begin(OUT)
    first, second, third = loop.spans
    loop.publish_words(first.learned + first.judging, dim=24)

    loop.write(1, first)
    loop.run(
        "Span 1: a first version",
        Expected("blessed", "nothing has been learned yet: span 1", first.rows, 0, version=1),
    )
    loop.write(2, second)
    loop.run(
        "Span 2: a better one",
        Expected("blessed", "span 2 new", first.rows + second.rows, 0, version=2),
    )
    loop.run("Nothing new", Expected("skipped", "nothing is new", 0, first.rows + second.rows))
    loop.write(3, third.misspelt("email"))
    loop.run(
        "Span 3: some labels are misspelt",
        Expected(
            "skipped",
            "values missing from the schema: email.py",
            third.rows,
            first.rows + second.rows,
        ),
    )
    show_history(loop)
    console.print(f"\nDone in {time.monotonic() - started_s:.0f} s.")


if __name__ == "__main__":
    main()
