"""A requests transport that sends a URL byte for byte, to addresses that were checked.

requests quotes URLs again, and urllib3 writes ``%2f`` as ``%2F``: both break signatures over the
query. Both also log URLs, which may hold a token. So they see a URL without its query, and what
they make of it is replaced on its way to the socket.
"""

import http.client
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidProxyURL
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from hub_tfx.store.fetch.dialing import Dialer

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

    def __init__(self, dialer: Dialer):
        self._pools: dict[str, Callable[..., Any]] = {
            "http": _pools(_HttpPool, dialer),
            "https": _pools(_HttpsPool, dialer),
        }
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **keywords: Any) -> None:
        super().init_poolmanager(*arguments, **keywords)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **keywords: Any) -> Any:
        if proxy.lower().startswith("socks"):  # SOCKS connections have classes of their own.
            raise InvalidProxyURL("SOCKS proxies are not supported")
        manager = super().proxy_manager_for(proxy, **keywords)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def request_url(self, request: Any, proxies: Any) -> str:
        """What is logged: the URL without its query."""
        return str(super().request_url(request, proxies)).partition("?")[0]

    def add_headers(self, request: requests.PreparedRequest, **keywords: Any) -> None:
        request.headers[_TARGET_HEADER] = super().request_url(request, keywords.get("proxies"))


class _Answer(http.client.HTTPResponse):
    def begin(self) -> None:
        super().begin()
        # Otherwise urllib3 logs headers that cannot be read, which may be a signed address.
        self.msg.set_payload("")
        self.msg.defects.clear()


class _Connection:
    """What both kinds of connection do otherwise than urllib3's."""

    dialer: Dialer
    _target: str | None = None

    def _new_conn(self) -> socket.socket:
        this: Any = self
        try:
            return self.dialer.dial(
                this._dns_host,
                this.port,
                this.timeout,
                this.socket_options or (),
                is_proxy=this.proxy is not None,
            )
        except TimeoutError as error:
            raise ConnectTimeoutError(this, "the connection timed out") from error
        except OSError as error:
            raise NewConnectionError(this, "no connection") from error

    def request(self, method: str, url: str, *arguments: Any, **keywords: Any) -> None:
        headers = dict(keywords.pop("headers", None) or {})
        self._target = headers.pop(_TARGET_HEADER, url)
        super().request(method, url, *arguments, headers=headers, **keywords)  # type: ignore[misc]

    def putrequest(self, method: str, url: str, *arguments: Any, **keywords: Any) -> None:
        super().putrequest(method, self._target or url, *arguments, **keywords)  # type: ignore[misc]


class _HttpConnection(_Connection, HTTPConnection):
    response_class = _Answer


class _HttpsConnection(_Connection, HTTPSConnection):
    response_class = _Answer


class _Pool:
    dialer: Dialer

    def _new_conn(self) -> Any:
        connection = super()._new_conn()  # type: ignore[misc]
        connection.dialer = self.dialer
        return connection


class _HttpPool(_Pool, HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


def _pools(kind: Any, dialer: Dialer) -> Callable[..., Any]:
    def made(*arguments: Any, **keywords: Any) -> Any:
        pool = kind(*arguments, **keywords)
        pool.dialer = dialer
        return pool

    return made
