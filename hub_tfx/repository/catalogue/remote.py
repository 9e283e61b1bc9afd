"""The catalogue of a server: what its pages show, asked for as JSON."""

from typing import Any
from urllib.parse import urlencode, urlsplit

from hub_tfx._text import quoted, shortened
from hub_tfx._typed_json import parse_object
from hub_tfx.errors import ConfigError, FetchError, HandleError, TransientFetchError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.repository.catalogue.answers import query_to_parameters, results_from_json
from hub_tfx.repository.catalogue.entries import CatalogueQuery, CatalogueResults
from hub_tfx.store.fetch.web import WebSettings

_SETTINGS = WebSettings(read_timeout_s=30, total_timeout_s=60)
_MAX_BYTES = 16 << 20
_MAX_ERROR_CHARS = 1000
_MAX_NEAREST = 3
_CHECK = "check that it is the address of a hub, as `hub-tfx serve` prints it"
_TOKEN = "name the variable that holds your token by --token-env"


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
        with _SETTINGS.asking(self._handle) as web, web.answer(url) as response:
            status = response.status_code
            document = self._document(status, web.body(response, _MAX_BYTES))
        if status == 400:
            raise ConfigError(f"{self.address}: {_error(document, status)}")
        if status >= 500 or status in (408, 425, 429):
            told = _error(document, status)
            raise TransientFetchError(f"{self.address}: {told}; try again later")
        if status != 200:
            fix = _TOKEN if status in (401, 403) else _CHECK
            raise FetchError(f"{self.address}: {_error(document, status)}; {fix}")
        try:
            return results_from_json(document)
        except (ValueError, ConfigError) as error:
            raise FetchError(
                f"{self.address}: the answer is not that of a hub: {error}; {_CHECK}"
            ) from None

    def _document(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            return parse_object(body)
        except ValueError:
            if status == 200:
                raise FetchError(f"{self.address}: the answer is not JSON; {_CHECK}") from None
            return {}


def _error(document: dict[str, Any], status: int) -> str:
    """What the server says is wrong, in one line."""
    told, near = document.get("error"), document.get("nearest")
    if not isinstance(told, str) or not told.strip():
        return f"the server answered {status}"
    line = shortened(" ".join(told.split()), _MAX_ERROR_CHARS).rstrip(".")
    if isinstance(near, list) and near and "nearest:" not in line:
        line += f"; nearest: {', '.join(map(str, near[:_MAX_NEAREST]))}"
    return line
