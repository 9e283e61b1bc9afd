"""The body of a card as HTML that is safe in a page.

A card is written by whoever publishes, and may hold any HTML. It becomes HTML by markdown-it, and
nh3 then lets through what is listed here: no scripts, no styles, no forms, nothing from another
server. The page's own content security policy is a second lock on the same door.
"""

import re
from functools import cache, lru_cache
from html import escape
from typing import Any

from markupsafe import Markup

from hub_tfx.web.pages.text import without_controls

_TAGS = """
a abbr b blockquote br code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark
ol p pre q s samp small strong sub summary sup table tbody td tfoot th thead tr u ul var
"""
_ATTRIBUTES = {
    "a": {"href", "title"},
    "abbr": {"title"},
    "details": {"open"},
    "img": {"src", "alt", "title", "width", "height"},
    "ol": {"start"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan", "scope"},
}
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")
_SPAN = re.compile(r"[1-9][0-9]?|100")
_LENGTH = re.compile(r"[0-9]{1,4}")
_VALUES = {
    "href": re.compile(r"https://.*", re.IGNORECASE | re.DOTALL).fullmatch,
    "src": _PICTURE.fullmatch,
    "align": re.compile("left|right|center").fullmatch,
    "colspan": _SPAN.fullmatch,
    "rowspan": _SPAN.fullmatch,
    "width": _LENGTH.fullmatch,
    "height": _LENGTH.fullmatch,
    "start": _LENGTH.fullmatch,
}
"""What the value of an attribute has to be, where it is more than a text."""
_TOP = 3
"""Level of the first heading of a card: below the page's h1 and the section's h2."""
_HEADING = re.compile(r"<(/?)h([1-6])>")
_EMPTY = re.compile(r"<(a|h[1-6])(?: [^<>]*)?>\s*</\1>")
_ALIGNED = re.compile('style="text-align:(left|right|center)"')
_UNNAMED = re.compile(r"<img(?![^<>]* alt=)")
_SOURCELESS = re.compile(r"<img(?![^<>]* src=)[^<>]*>")
_SCROLLED = '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>'


@lru_cache(maxsize=64)
def card_html(body: str) -> Markup:
    """The Markdown of a card as HTML, with its headings below the second level.

    Links lead to https only, and pictures are those that the card holds itself; of others the
    description stays.
    """
    rendered: str = _markdown().render(without_controls(body))
    rendered = _ALIGNED.sub(r'align="\1"', rendered)  # The page takes no style in a tag.
    return Markup(_fitted(_cleaned(rendered)))  # Nothing is in it but what nh3 let through.


def _cleaned(html: str) -> str:
    import nh3

    return nh3.clean(
        html,
        tags=set(_TAGS.split()),
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"https", "data"},
        link_rel="nofollow noopener noreferrer",
        clean_content_tags={"script", "style", "title", "textarea", "template", "noscript"},
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """The value that an attribute may have; None drops it.

    Without angle brackets, which nh3 leaves as they are here: ``_fitted`` takes what is in them for
    tags.
    """
    value = value.replace("<", "").replace(">", "")
    matches = _VALUES.get(name)
    return value if matches is None or matches(value) else None


def _fitted(html: str) -> str:
    """Headings on the level of the page, tables that scroll by themselves, pictures with text.

    The text is what nh3 wrote: well-formed, and each ``<`` in it begins a tag.
    """
    html = _EMPTY.sub("", html)
    levels = [int(level) for _, level in _HEADING.findall(html)]
    below = _TOP - min(levels, default=_TOP)
    html = _HEADING.sub(lambda tag: f"<{tag[1]}h{min(int(tag[2]) + below, 6)}>", html)
    html = html.replace("<table>", _SCROLLED).replace("</table>", "</table></div>")
    html = html.replace("<pre>", '<pre tabindex="0">')
    html = _UNNAMED.sub('<img alt=""', html)
    return _SOURCELESS.sub("", html)


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _image)
    return parser


def _image(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    """A picture that the card holds itself; the description of any other."""
    token = tokens[index]
    alt = escape(renderer.renderInlineAsText(token.children, options, env))
    source = str(token.attrGet("src") or "")
    if _PICTURE.fullmatch(source):
        return f'<img src="{source}" alt="{alt}">'
    return f"<em>{alt}</em>"
