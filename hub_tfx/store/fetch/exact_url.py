"""A requests transport that sends a URL byte for byte.

requests quotes URLs again, and urllib3 writes ``%2f`` as ``%2F``: both break signatures over the
query, so what they make of the target is replaced on its way to the socket.
"""

from typing import Any
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidProxyURL
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

# All of ASCII except blanks: what may stand in a URL as it is.
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

# Travels inside this process only, from the adapter to the connection, which takes it out.
_TARGET_HEADER = "X-Hub-Tfx-Request-Target"


def get_request(url: str, headers: dict[str, str]) -> requests.PreparedRequest:
    """A GET for exactly ``url``, which names no user; only what is not ASCII is encoded."""
    parts = urlsplit(url)
    request = requests.PreparedRequest()
    request.prepare(method="GET", url=f"{parts.scheme}://{parts.netloc}/", headers=headers)
    query = f"?{parts.query}" if parts.query else ""
    target = quote((parts.path or "/") + query, safe=PRINTABLE)
    request.url = f"{str(request.url).rstrip('/')}{target}"
    return request


class ExactUrlAdapter(HTTPAdapter):
    """Sends one request at a time, directly or through the proxies of the environment."""

    def init_poolmanager(self, *arguments: Any, **keywords: Any) -> None:
        super().init_poolmanager(*arguments, **keywords)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **keywords: Any) -> Any:
        if proxy.lower().startswith("socks"):  # SOCKS connections have classes of their own.
            raise InvalidProxyURL("SOCKS proxies are not supported")
        manager = super().proxy_manager_for(proxy, **keywords)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def add_headers(self, request: requests.PreparedRequest, **keywords: Any) -> None:
        request.headers[_TARGET_HEADER] = self.request_url(request, keywords.get("proxies"))


class _ExactTarget:
    def request(self, method: str, url: str, *arguments: Any, **keywords: Any) -> None:
        headers = dict(keywords.pop("headers", None) or {})
        url = headers.pop(_TARGET_HEADER, url)
        super().request(method, url, *arguments, headers=headers, **keywords)  # type: ignore[misc]


class _HttpConnection(_ExactTarget, HTTPConnection):
    pass


class _HttpsConnection(_ExactTarget, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


_POOLS: dict[str, Any] = {"http": _HttpPool, "https": _HttpsPool}
