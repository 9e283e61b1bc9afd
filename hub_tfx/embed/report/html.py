"""What pages of reports share: one self-contained HTML file each, from a template and a frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hub_tfx._text import printable


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
    """A page from a template that extends ``frame.html.j2``; every value is escaped.

    Characters that do not print are shown as Python escapes them: some cannot be written as UTF-8,
    and others would turn the text around.
    """
    page: str = _environment(template.parent).get_template(template.name).render(**values)
    return page


def _finalize(value: Any) -> Any:
    return printable(value) if type(value) is str else value  # And not what is HTML already.


@cache
def _environment(folder: Path) -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
