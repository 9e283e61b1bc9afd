"""Seven runs of the retraining loop in a row, each of another kind: python -m demo.seven_runs

Ends with the table that docs/retraining_runs.md shows, and with --write writes it there. The demo
fails if a run comes otherwise than it is said here. All of it is left in demo/out/seven_runs.
"""

import argparse
import io
from pathlib import Path

from rich.console import Console

from demo.loop import Expected, Loop, show_history
from demo.start import begin

OUT = Path(__file__).parent / "out" / "seven_runs"
DOCUMENT = Path(__file__).parents[1] / "docs" / "retraining_runs.md"
_WIDTH = 120
_FENCE = "```text\n"


def main() -> None:
    """Runs the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write the table to {DOCUMENT.name}")
    arguments = parser.parse_args()
    begin(OUT)
    loop = Loop.begin(OUT)
    run_all(loop)
    show_history(loop)
    if arguments.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(with_table(text, _table(loop)), encoding="utf-8")


def run_all(loop: Loop) -> None:
    """The seven runs."""
    first, second, third = loop.spans
    everything = sum(span.rows for span in loop.spans)
    hurried = third.hurried(rows=400, wrong=0.7)
    loop.run_first(
        (
            "1. The first run",
            "2. A new span",
            "3. Nothing new",
            "4. A new span with labels that are misspelt",
        )
    )
    loop.write(3, hurried)
    loop.run(
        "5. The same with few labels, most of which are wrong: the module gets worse",
        Expected("not blessed", "It is worse.", 0, first.rows + second.rows + hurried.rows),
    )
    loop.write(3, third)
    loop.run(
        "6. The same, rewritten with all labels as they should be",
        Expected("blessed", "span 3 rewritten", everything, 0, version=3),
    )
    loop.publish_words(loop.documents, dim=128)
    loop.run(
        "7. A new version of the base module, which knows more words",
        Expected("blessed", "the base module is new", everything, 0, version=4),
    )


def with_table(document: str, table: str) -> str:
    """The document with this table in its fenced block of text."""
    before, _, rest = document.partition(_FENCE)
    return f"{before}{_FENCE}{table}{rest[rest.index('```') :]}"


def _table(loop: Loop) -> str:
    from hub_tfx.cli.history import as_history

    console = Console(file=io.StringIO(), width=_WIDTH)
    console.print(as_history(loop.history(), _WIDTH))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return "\n".join(["$ hub-tfx history --metadata metadata.sqlite", *map(str.rstrip, lines), ""])


if __name__ == "__main__":
    main()
