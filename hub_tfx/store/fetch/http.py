"""Modules at http:// and https:// URLs, by TF Hub's compressed hosting protocol.

The protocol (tensorflow.org/hub/hosting): a GET with ``tf-hub-format=compressed`` in the query is
answered by a .tar.gz whose root is the module's root. A URL that ends like an archive is taken for
one, and sent as it is.
"""

import base64
import http.client
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

import requests
import tenacity
import urllib3

from hub_tfx._files import MAKE_ROOM, why
from hub_tfx.errors import (
    ArchiveError,
    FetchError,
    HandleError,
    NotAModuleError,
    OutputError,
    RefusedError,
    TransientFetchError,
    UnsafeArchiveError,
)
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.archive import (
    DEFAULT_LIMITS,
    HEAD_BYTES,
    SUFFIXES,
    looks_like_archive,
    unpack,
)
from hub_tfx.store.fetch.exact_url import PRINTABLE, ExactUrlAdapter, get_request
from hub_tfx.store.tar_reader import Limits

_CHUNK_BYTES = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_TAG_CHARS = 200
_TRY_AGAIN = (408, 425, 429)
_CHECK = "check the handle in a browser: it must be that of a module, not a page or a login"
_TRY_LATER = "try again later, and see that this machine reaches the server"
_ASK = "ask the publisher for an address that stays on https"
_NO_VERIFICATION = "TFHUB_DISABLE_CERT_VALIDATION"


@dataclass(frozen=True)
class HttpFetcher:
    """Downloads an archive and unpacks it. Certificates are always verified.

    Proxies and certificate authorities come from the environment, as requests documents
    (HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE); ~/.netrc is not read.

    Attributes:
      connect_timeout_s: time that a connection may take to be made.
      read_timeout_s: time that may pass without a byte.
      total_timeout_s: time that everything may take, retries included.
      attempts: how often a download is tried in all.
      max_wait_s: upper bound on the wait between two attempts, which is random and grows.
      max_redirects: how many redirects are followed for one download.
      limits: how much the archive may hold.
    """

    connect_timeout_s: float = 10
    read_timeout_s: float = 60
    total_timeout_s: float = 3600
    attempts: int = 4
    max_wait_s: float = 20
    max_redirects: int = 10
    limits: Limits = DEFAULT_LIMITS

    def fetch(self, handle: ModuleHandle, into: Path) -> None:
        self._attempts(handle)(self._attempt, handle, into, self._deadline())

    def entity_tag(self, handle: ModuleHandle) -> str:
        return str(self._attempts(handle)(self._tag, handle, self._deadline()))

    def _deadline(self) -> float:
        return time.monotonic() + self.total_timeout_s

    def _attempts(self, handle: ModuleHandle) -> tenacity.Retrying:
        if os.environ.get(_NO_VERIFICATION, "").lower() not in ("", "0", "false"):
            raise RefusedError(
                f"{handle}: refused: {_NO_VERIFICATION} is set, and certificates are always "
                "verified here; unset it, and name your own authority in REQUESTS_CA_BUNDLE"
            )
        # A damaged archive may have been damaged on the way.
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((TransientFetchError, ArchiveError)),
            stop=tenacity.stop_after_attempt(self.attempts)
            | tenacity.stop_after_delay(self.total_timeout_s),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=self.max_wait_s),
            reraise=True,
        )

    def _tag(self, handle: ModuleHandle, deadline: float) -> str:
        # A GET whose body is left alone: URLs that are signed for GET refuse HEAD.
        with self._response(handle, deadline) as response, closing(response):
            tag = response.headers.get("ETag", "")
        is_strong = tag.startswith('"') and len(tag) <= _MAX_TAG_CHARS
        return tag if is_strong else ""

    def _attempt(self, handle: ModuleHandle, into: Path, deadline: float) -> None:
        try:
            file = NamedTemporaryFile(dir=into.parent)  # noqa: SIM115
        except OSError as error:
            message = f"{into.parent} cannot be written: {why(error)}; {MAKE_ROOM}"
            raise OutputError(message) from error
        with file:
            with self._response(handle, deadline) as response:
                self._download(handle, response, file, deadline)
            unpack(file.name, into, self.limits, name=str(handle))

    @contextmanager
    def _response(self, handle: ModuleHandle, deadline: float) -> Iterator[requests.Response]:
        """The answer at the end of all redirects, each of which is checked."""
        url, seen = request_url(handle), set[str]()
        with closing(ExactUrlAdapter()) as adapter:
            while True:
                response = self._get(adapter, handle, url, deadline)
                if response.status_code not in _REDIRECTS:
                    _check_status(handle, response)
                    yield response
                    return
                seen.add(url)
                url = redirect_target(handle, url, response.headers.get("Location", ""))
                if url in seen:
                    raise FetchError(f"{handle}: the server redirects in a loop: {_CHECK}")
                if len(seen) > self.max_redirects:
                    raise FetchError(
                        f"{handle}: more than {self.max_redirects} redirects: {_CHECK}"
                    )
                response.close()

    def _get(
        self, adapter: ExactUrlAdapter, handle: ModuleHandle, url: str, deadline: float
    ) -> requests.Response:
        if (left_s := deadline - time.monotonic()) <= 0:
            raise _too_slow(handle, self.total_timeout_s)
        # With any other encoding a server or proxy might send a packed archive packed once more.
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "hub_tfx"}
        headers |= authorization(handle, url)
        environment = requests.Session().merge_environment_settings(url, {}, True, None, None)
        try:
            return adapter.send(
                get_request(url, headers),
                stream=True,
                timeout=(min(self.connect_timeout_s, left_s), min(self.read_timeout_s, left_s)),
                verify=environment["verify"] or True,
                cert=environment["cert"],
                proxies=environment["proxies"],
            )
        # No "from error": the text of these errors holds the URL, credentials included.
        except requests.exceptions.SSLError as error:
            raise _tls_error(handle, error) from None
        except (requests.ConnectionError, requests.Timeout) as error:
            raise TransientFetchError(
                f"{handle}: no connection: {_reason(error)}; {_TRY_LATER}"
            ) from None
        except (requests.RequestException, ValueError) as error:
            raise FetchError(f"{handle}: cannot be asked for: {_reason(error)}; {_CHECK}") from None

    def _download(
        self, handle: ModuleHandle, response: requests.Response, file: IO[bytes], deadline: float
    ) -> None:
        head = b""
        for chunk in self._chunks(handle, response, deadline):
            if len(head) < HEAD_BYTES:
                head += chunk[: HEAD_BYTES - len(head)]
                if len(head) == HEAD_BYTES:
                    _check_head(handle, head)
            _write(file, chunk)
        _check_head(handle, head)

    def _chunks(
        self, handle: ModuleHandle, response: requests.Response, deadline: float
    ) -> Iterator[bytes]:
        """The body as it was sent, of the length that was promised."""
        promised = response.headers.get("Content-Length", "")
        # read1 gives what has come, so that a trickle meets the deadline; urllib3 1 has none.
        read = getattr(response.raw, "read1", response.raw.read)
        size_bytes = 0
        while chunk := _next_chunk(handle, read):
            size_bytes += len(chunk)
            if size_bytes > self.limits.total_bytes:
                raise UnsafeArchiveError(
                    f"{handle}: more than {self.limits.total_bytes} bytes: if you trust it, "
                    "download and unpack it yourself, and give the directory"
                )
            if time.monotonic() > deadline:
                raise _too_slow(handle, self.total_timeout_s)
            yield chunk
        if promised.isdigit() and int(promised) != size_bytes:
            raise TransientFetchError(
                f"{handle}: the download was cut short: {size_bytes} of {promised} bytes; "
                f"{_TRY_LATER}"
            )


def request_url(handle: ModuleHandle) -> str:
    """The URL to ask for, without the user's name; nothing in it is encoded again."""
    parts = urlsplit(handle.url)
    url = f"{handle.scheme}://{handle.authority}{parts.path or '/'}"
    if parts.path.endswith(SUFFIXES):
        return f"{url}?{handle.query}" if handle.query else url
    return f"{url}?{handle.query}{'&' if handle.query else ''}tf-hub-format=compressed"


def redirect_target(handle: ModuleHandle, url: str, location: str) -> str:
    """Where a redirect from ``url`` leads, if it may be followed.

    Raises:
      FetchError: the redirect leads nowhere.
      RefusedError: the redirect leads from https to http, or out of HTTP.
    """
    if not location:
        raise FetchError(f"{handle}: redirected without saying where to: {_CHECK}")
    try:
        # http.client reads headers as Latin-1, whatever they are.
        absolute = urljoin(url, quote(location.encode("latin-1"), safe=PRINTABLE))
        parts = urlsplit(absolute)._replace(fragment="")
        target = ModuleHandle.parse(parts.geturl())
    except (HandleError, ValueError):
        raise FetchError(f"{handle}: redirected to an invalid URL: {_CHECK}") from None
    if target.scheme not in ("http", "https"):
        raise RefusedError(f"{handle}: refused: redirected to {target}, which is not HTTP: {_ASK}")
    if urlsplit(url).scheme == "https" and target.scheme == "http":
        raise RefusedError(f"{handle}: refused: redirected from https to {target}: {_ASK}")
    # Credentials in a redirect are the server's idea, not the user's.
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def authorization(handle: ModuleHandle, url: str) -> dict[str, str]:
    """The header for the handle's ``user:password@``, sent to no host but the handle's."""
    if not handle.userinfo or _origin(url) != (handle.scheme, handle.authority):
        return {}
    user, colon, password = handle.userinfo.partition(":")
    credentials = unquote_to_bytes(user) + b":" + unquote_to_bytes(password if colon else "")
    return {"Authorization": "Basic " + base64.b64encode(credentials).decode()}


def _origin(url: str) -> tuple[str, str]:
    handle = ModuleHandle.parse(url)
    return handle.scheme, handle.authority


def _check_status(handle: ModuleHandle, response: requests.Response) -> None:
    status = f"the server answered {response.status_code} {response.reason or ''}".strip()
    if response.status_code >= 500 or response.status_code in _TRY_AGAIN:
        raise TransientFetchError(f"{handle}: {status}; {_TRY_LATER}")
    if response.status_code >= 400:
        raise FetchError(f"{handle}: {status}: check the handle and its version")
    if response.status_code != 200:
        raise NotAModuleError(f"{handle} is not a module: {status}: {_CHECK}")


def _check_head(handle: ModuleHandle, head: bytes) -> None:
    if looks_like_archive(head):
        return
    what = "bytes that are not a .tar or .tar.gz"
    if not head:
        what = "nothing"
    elif head.lstrip()[:1] == b"<":
        what = "an HTML page"
    raise NotAModuleError(f"{handle} is not a module: the server answered with {what}: {_CHECK}")


def _next_chunk(handle: ModuleHandle, read: object) -> bytes:
    assert callable(read)
    try:
        chunk: bytes = read(_CHUNK_BYTES, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TransientFetchError(
            f"{handle}: the download broke off: {_reason(error)}; {_TRY_LATER}"
        ) from None
    return chunk


def _write(file: IO[bytes], chunk: bytes) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        raise OutputError(f"{file.name} cannot be written: {why(error)}; {MAKE_ROOM}") from error


def _tls_error(handle: ModuleHandle, error: Exception) -> FetchError | RefusedError:
    if isinstance(_innermost(error), ssl.SSLCertVerificationError):
        return RefusedError(
            f"{handle}: refused: its certificate is not to be trusted ({_reason(error)}); "
            "for an authority of your own set REQUESTS_CA_BUNDLE"
        )
    return TransientFetchError(f"{handle}: no TLS connection: {_reason(error)}; {_TRY_LATER}")


def _too_slow(handle: ModuleHandle, total_timeout_s: float) -> TransientFetchError:
    return TransientFetchError(f"{handle}: not complete after {total_timeout_s:g} s; {_TRY_LATER}")


def _reason(error: BaseException) -> str:
    """What happened, without the URL that the outer errors name."""
    inner = _innermost(error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message
    if isinstance(inner, OSError) and not isinstance(inner, requests.RequestException):
        return inner.strerror or str(inner) or type(inner).__name__
    if isinstance(inner, http.client.IncompleteRead):
        return "the connection was closed too early"
    return type(inner).__name__


def _innermost(error: BaseException) -> BaseException:
    """requests wraps an error of urllib3, which wraps that of the socket."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error
