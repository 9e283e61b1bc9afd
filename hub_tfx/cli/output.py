"""What commands print: one JSON document, a table on a terminal, or TSV in a pipe.

Nothing else prints, so that what names of modules, columns and files hold cannot steer a terminal.
"""

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from hub_tfx._text import printable, shortened

if TYPE_CHECKING:
    from rich.console import RenderableType

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


_MAX_MESSAGE_CHARS = 4000
_GAP, _INDENT = "  ", 4


def tell(message: str) -> None:
    """A line on stderr, for people: no control characters, cut where it quotes without end."""
    line = shortened(" ".join(message.split()), _MAX_MESSAGE_CHARS)
    click.echo(f"hub-tfx: {printable(line)}", err=True)


def is_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout.isatty()


def print_text(text: str) -> None:
    """Lines of text on stdout, which hold line breaks and nothing else that steers a terminal."""
    click.echo("\n".join(map(printable, text.split("\n"))))


def print_as_it_is(text: str) -> None:
    """Text of our own for a shell, in which tabs mean something."""
    click.echo(text)


def print_path(path: str) -> None:
    """A path on stdout: as it is in a pipe, where it may be used."""
    click.echo(printable(path) if is_terminal() else path)


class ProgressLine:
    """A line on stderr that changes on a terminal; elsewhere each is printed when it is due."""

    def __init__(self, text: str):
        """The text that a terminal shows first."""
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self.is_live = self._console.is_terminal
        self._status = self._console.status(text) if self.is_live else None

    def start(self) -> None:
        if self._status:
            self._status.start()

    def stop(self) -> None:
        if self._status:
            self._status.stop()

    def show(self, text: str) -> None:
        from rich.text import Text  # Otherwise rich would take [?] for markup.

        if self._status:
            self._status.update(Text(printable(text)))
        else:
            line = f"hub-tfx: {printable(text)}"
            self._console.print(line, soft_wrap=True, markup=False)


def print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    click.echo(json.dumps(document, indent=2))


def print_problems(files: Sequence[str], problems: Sequence[str], *, as_json: bool) -> None:
    """What is wrong with files, a line each on stdout; that nothing is, on stderr."""
    if as_json:
        print_json({"passed": not problems, "problems": list(problems)})
    elif problems:
        print_text("\n".join(" ".join(problem.split()) for problem in problems))
    else:
        tell(f"{', '.join(files)}: no error")


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], below: Collection[str] = ()
) -> None:
    """A table on a terminal; tab-separated and whole in a pipe.

    Args:
      columns: names of the columns.
      rows: cells of each row.
      below: names of columns that a terminal has in lines of their own, below their row.
    """
    if not is_terminal():
        for row in (columns, *rows):
            click.echo("\t".join(map(printable, row)))
        return
    from rich.console import Console

    console = Console()
    console.print(as_table(columns, rows, below, console.width))


def as_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    below: Collection[str] = (),
    width: int = 80,
) -> "RenderableType":
    """The table that ``print_table`` prints on a terminal of this width.

    Where the other columns do not fit into the width, those of ``below`` are columns as well.
    """
    from rich.table import Table
    from rich.text import Text

    columns, *rows = [[printable(cell) for cell in row] for row in (columns, *rows)]
    lines = _with_lines_below(columns, rows, below, width) if below else None
    if lines is not None:
        return lines
    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))  # As Text, since rich would take [?] for markup.
    return table


def _with_lines_below(
    columns: Sequence[str], rows: Sequence[Sequence[str]], below: Collection[str], width: int
) -> "RenderableType | None":
    from rich.cells import cell_len, set_cell_size
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    beside = [n for n, name in enumerate(columns) if name not in below]
    widths = [max(cell_len(row[n]) for row in (columns, *rows)) for n in beside]
    if sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        return None

    def line(row: Sequence[str], style: str = "") -> Text:
        cells = (set_cell_size(row[n], size) for n, size in zip(beside, widths, strict=True))
        return Text(_GAP.join(cells).rstrip(), style)

    parts: list[RenderableType] = [line(columns, "bold")]
    for row in rows:
        parts.append(line(row))
        told = [cell for n, cell in enumerate(row) if n not in beside and cell]
        parts += [Padding(Text(cell, "dim"), (0, 0, 0, _INDENT)) for cell in told]
    return Group(*parts)


def print_fields(document: Mapping[str, Any]) -> None:
    """One field a line, names aligned on a terminal and tab-separated in a pipe."""
    width = max(len(name) for name in document) + 2 if is_terminal() else 0
    for name, value in document.items():
        name, text = printable(name), printable(str(value))
        click.echo(f"{name:<{width}}{text}" if width else f"{name}\t{text}")
