"""The catalogue of a server: what its pages show, asked for as JSON."""

import json
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests

from hub_tfx._text import quoted, shortened
from hub_tfx._typed_json import parse_object
from hub_tfx.errors import ConfigError, FetchError, HandleError, TransientFetchError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.repository.catalogue.answers import query_to_parameters, results_from_json
from hub_tfx.repository.catalogue.entries import CatalogueQuery, CatalogueResults
from hub_tfx.store.fetch.exact_url import ExactUrlAdapter
from hub_tfx.store.fetch.http import HttpFetcher, redirect_target

_MAX_BYTES = 16 << 20
_REDIRECTS = (301, 302, 303, 307, 308)
_CHECK = "check that it is the address of a hub, as `hub-tfx serve` prints it"


class Hub:
    """A server that ``hub-tfx serve`` runs.

    Attributes:
      address: its URL, without credentials and without a slash at the end.
    """

    def __init__(self, url: str):
        """A server at an address such as https://hub.example.org; nothing is asked yet.

        Raises:
          HandleError: the address is not one of http or https.
        """
        handle = ModuleHandle.parse(url) if "://" in url else None
        if handle is None or handle.scheme not in ("http", "https") or handle.query:
            raise HandleError(
                f"{quoted(url) if handle is None else handle} is not the address of a hub: give "
                "one such as https://hub.example.org"
            )
        self._handle = handle
        path = urlsplit(handle.url).path.rstrip("/")
        self.address = f"{handle.scheme}://{handle.authority}{path}"

    def search(self, query: CatalogueQuery) -> CatalogueResults:
        """What the server finds.

        Raises:
          ConfigError: the server refuses the query.
          TransientFetchError: the server cannot be asked now.
          FetchError, RefusedError: its answer is not that of a hub.
        """
        parameters = urlencode(query_to_parameters(query))
        url = f"{self.address}/.json{'?' if parameters else ''}{parameters}"
        return _Client(total_timeout_s=60).results(self._handle, url)


@dataclass(frozen=True)
class _Client(HttpFetcher):
    """Asks with the timeouts, proxies, certificates and credentials of a download."""

    def results(self, hub: ModuleHandle, url: str) -> CatalogueResults:
        status, body = self._ask(hub, url)
        document = _document(hub, status, body)
        if status == 400:
            raise ConfigError(f"{hub}: {_error(document)}")
        if status >= 500 or status in (408, 425, 429):
            raise TransientFetchError(f"{hub}: {_error(document, status)}; try again later")
        if status != 200:
            raise FetchError(f"{hub}: {_error(document, status)}: {_CHECK}")
        try:
            return results_from_json(document)
        except (ValueError, ConfigError) as error:
            raise FetchError(f"{hub}: the answer is not that of a hub: {error}: {_CHECK}") from None

    def _ask(self, hub: ModuleHandle, url: str) -> tuple[int, bytes]:
        """Status and body of the answer at the end of all redirects."""
        deadline = time.monotonic() + self.total_timeout_s
        with closing(ExactUrlAdapter()) as adapter:
            for _ in range(self.max_redirects + 1):
                response = self._get(adapter, hub, url, deadline)
                with closing(response):
                    if response.status_code not in _REDIRECTS:
                        return response.status_code, self._body(hub, response, deadline)
                    url = redirect_target(hub, url, response.headers.get("Location", ""))
        raise FetchError(f"{hub}: more than {self.max_redirects} redirects: {_CHECK}")

    def _body(self, hub: ModuleHandle, response: requests.Response, deadline: float) -> bytes:
        body = bytearray()
        for chunk in self._chunks(hub, response, deadline):
            body += chunk
            if len(body) > _MAX_BYTES:
                raise FetchError(f"{hub}: the answer has more than {_MAX_BYTES} bytes: {_CHECK}")
        return bytes(body)


def _document(hub: ModuleHandle, status: int, body: bytes) -> dict[str, Any]:
    try:
        return parse_object(body)
    except (ValueError, json.JSONDecodeError):
        if status == 200:
            raise FetchError(f"{hub}: the answer is not JSON: {_CHECK}") from None
        return {}


def _error(document: dict[str, Any], status: int = 400) -> str:
    told = document.get("error")
    if isinstance(told, str) and told.strip():
        return shortened(" ".join(told.split()), 1000)
    return f"the server answered {status}"
