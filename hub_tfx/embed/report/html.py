"""What pages of reports share: one self-contained HTML file each, from a template and a frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Plot:
    """A drawing on a page, with the same as a table.

    Attributes:
      alt: what it shows, in words.
      uri: data URI of the drawing.
      rows, head: the table; none without rows.
    """

    alt: str
    uri: str
    rows: Sequence[Sequence[str]] = ()
    head: Sequence[str] = ("range", "count")


def render_page(template: Path, **values: Any) -> str:
    """A page from a template that extends ``frame.html.j2``; every value is escaped."""
    page: str = _environment(template.parent).get_template(template.name).render(**values)
    return page


@cache
def _environment(folder: Path) -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
