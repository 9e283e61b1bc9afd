"""New versions as an Atom feed (RFC 4287)."""

import re
from datetime import datetime, timezone
from xml.etree import ElementTree as Xml

from starlette.requests import Request
from starlette.responses import Response

from hub_tfx.web.site import Site

_ATOM = "http://www.w3.org/2005/Atom"
_ENTRIES = 50
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Feed:
    """Answers ``/-/feed.atom``."""

    def __init__(self, site: Site):
        self._site = site

    def answer(self, request: Request) -> Response:
        """The versions that were published last, the newest first."""
        base = self._site.base_url(request)
        newest = self._site.catalogue.newest(_ENTRIES)
        feed = Xml.Element("feed", xmlns=_ATOM)
        _add(feed, "title", "New versions of modules")
        _add(feed, "id", f"{base}/-/feed.atom")
        _add(feed, "updated", _time(newest[0].when if newest else ""))
        _add(_add(feed, "author"), "name", base)
        _add(feed, "link", rel="self", href=f"{base}/-/feed.atom")
        _add(feed, "link", rel="alternate", href=f"{base}/")
        for version in newest:
            entry = _add(feed, "entry")
            _add(entry, "title", version.handle)
            _add(entry, "id", f"{base}/{version.handle}")
            _add(entry, "updated", _time(version.when))
            _add(entry, "link", rel="alternate", href=f"{base}/{version.handle}")
            _add(entry, "summary", version.summary)
        body = Xml.tostring(feed, encoding="utf-8", xml_declaration=True)
        return Response(
            body, headers={"Cache-Control": "no-cache"}, media_type="application/atom+xml"
        )


def _add(parent: Xml.Element, name: str, text: str | None = None, **attributes: str) -> Xml.Element:
    element = Xml.SubElement(parent, name, attributes)
    element.text = None if text is None else _NOT_XML.sub("", text)
    return element


def _time(when: str) -> str:
    """A time as RFC 3339 wants it; the epoch for what is none."""
    try:
        moment = datetime.fromisoformat(when.replace("Z", "+00:00"))
    except ValueError:
        moment = datetime.fromtimestamp(0, timezone.utc)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return moment.isoformat(timespec="seconds")
