"""What commands print: one JSON document, a table on a terminal, or TSV in a pipe."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from hub_tfx._text import printable

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def print_json(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; tab-separated and whole in a pipe."""
    rows = [[printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in [columns, *rows]:
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))  # As Text, since rich would take [?] for markup.
    Console().print(table)


def print_fields(document: Mapping[str, Any]) -> None:
    """One field a line, names aligned on a terminal and tab-separated in a pipe."""
    width = max(len(name) for name in document) + 2 if sys.stdout.isatty() else 0
    for name, value in document.items():
        text = printable(str(value))
        click.echo(f"{name:<{width}}{text}" if width else f"{name}\t{text}")
