"""Templates: every value is escaped, and every character of it can be seen."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from hub_tfx.errors import HandleError
from hub_tfx.repository.names import Reference
from hub_tfx.web.pages import drawing, links, text
from hub_tfx.web.pages.markdown import card_html
from hub_tfx.web.pages.static import static_path


def render(template: str, **values: Any) -> str:
    """A page from one of our templates."""
    page: str = _environment().get_template(template).render(**values)
    return page


@cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "card": card_html,
        "date": text.date,
        "drawn": drawing.drawn,
        "figure": text.figure,
        "is_reference": _is_reference,
        "plural": text.plural,
        "ranges": drawing.ranges,
        "shape": text.shape,
        "signed": text.signed,
        "size": text.size,
    }
    environment.globals |= {
        "compare_path": links.compare_path,
        "json": json.dumps,
        "static": static_path,
    }
    return environment


def _finalize(value: Any) -> Any:
    return text.shown(value) if type(value) is str else value  # And not what is HTML already.


def _is_reference(value: str) -> bool:
    """Whether a text names a module that may have a page."""
    try:
        Reference.parse(value)
    except HandleError:
        return False
    return True
