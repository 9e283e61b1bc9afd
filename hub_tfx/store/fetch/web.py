"""What all handles that lead to web servers share: one fetch's requests and downloads.

Each redirect and each connection is checked, one deadline holds over everything, and a download
that broke off is resumed where the server can say that the file is still the same.
"""

import functools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urljoin, urlsplit

import requests
import tenacity

from hub_tfx.errors import (
    ArchiveError,
    FetchError,
    HandleError,
    NotAModuleError,
    RefusedError,
    TransientFetchError,
    UnsafeArchiveError,
)
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.archive import DEFAULT_LIMITS, HEAD_BYTES
from hub_tfx.store.fetch.access import Access, current
from hub_tfx.store.fetch.answers import CHECK, TRY_LATER, check_status, told, too_slow
from hub_tfx.store.fetch.deadline import Deadline
from hub_tfx.store.fetch.dialing import Dialer
from hub_tfx.store.fetch.exact_url import PRINTABLE, ExactUrlAdapter, get_request
from hub_tfx.store.fetch.hosts import Guard
from hub_tfx.store.fetch.part import Part
from hub_tfx.store.fetch.progress import Download, arrived, downloading
from hub_tfx.store.tar_reader import Limits

Result = TypeVar("Result")
Authorize = Callable[[Access, str], Mapping[str, str]]
"""Gives the headers with the credentials for a URL."""

_CHUNK_BYTES = 1 << 16
_MAX_DOCUMENT_BYTES = 16 << 20
_REDIRECTS = (301, 302, 303, 307, 308)
_ASK = "ask the publisher for an address that stays on https"
_NO_VERIFICATION = "TFHUB_DISABLE_CERT_VALIDATION"


@dataclass(frozen=True)
class WebSettings:
    """How web servers are asked. Certificates are always verified.

    Proxies come from the environment, as requests documents (HTTPS_PROXY, NO_PROXY).

    Attributes:
      connect_timeout_s: time that a connection may take to be made.
      read_timeout_s: time that may pass without a byte.
      total_timeout_s: time that everything may take, retries included.
      attempts: how often a download is tried in all.
      max_wait_s: upper bound on the wait between two attempts, which is random and grows.
      max_redirects: how many redirects are followed for one download.
      limits: how much the module may hold.
      access: credentials, certificates and the policy of hosts; those of ``access.using`` or of
        the environment if None.
    """

    connect_timeout_s: float = 10
    read_timeout_s: float = 60
    total_timeout_s: float = 3600
    attempts: int = 4
    max_wait_s: float = 20
    max_redirects: int = 10
    limits: Limits = DEFAULT_LIMITS
    access: Access | None = None

    @contextmanager
    def asking(
        self,
        handle: ModuleHandle,
        authorize: Authorize | None = None,
    ) -> "Iterator[Web]":
        """What asks for one handle, until its deadline.

        Args:
          handle: the handle, which errors name.
          authorize: gives the credentials for a URL; those of the handle's host if None.

        Raises:
          RefusedError: somebody has turned the verification of certificates off.
        """
        if os.environ.get(_NO_VERIFICATION, "").lower() not in ("", "0", "false"):
            raise RefusedError(
                f"{handle}: refused: {_NO_VERIFICATION} is set, and certificates are always "
                "verified here; unset it, and name your own authority in REQUESTS_CA_BUNDLE"
            )
        access = self.access or current()
        with Deadline(self.total_timeout_s) as deadline:
            yield Web(self, handle, access, authorize, deadline)


class Web:
    """Asks servers for one handle; made by ``WebSettings.asking``."""

    def __init__(
        self,
        settings: WebSettings,
        handle: ModuleHandle,
        access: Access,
        authorize: Authorize | None,
        deadline: Deadline,
    ):
        """One fetch of a handle."""
        self.settings = settings
        self.handle = handle
        self.access = access
        self.deadline = deadline
        self._authorize = authorize
        self._guard = Guard(access.hosts)
        self._whole: Download | None = None
        with told(handle, deadline, asking=True):
            self._verify = access.verify()

    def retried(self, attempt: Callable[[], Result]) -> Result:
        """The result of an attempt, which is made again where that may help."""
        # A damaged archive may have been damaged on the way.
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((TransientFetchError, ArchiveError)),
            stop=lambda state: (
                state.attempt_number >= self.settings.attempts or self.deadline.is_over
            ),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=self.settings.max_wait_s),
            sleep=lambda seconds: time.sleep(min(seconds, self.deadline.left_s)),
            reraise=True,
        )
        return attempts(attempt)

    @contextmanager
    def answer(
        self, url: str, headers: Mapping[str, str] | None = None, *, follow: bool = True
    ) -> Iterator[requests.Response]:
        """The answer at the end of all redirects, each of which is checked."""
        seen = set[str]()
        try:
            with closing(ExactUrlAdapter(Dialer(self._guard, self.deadline))) as adapter:
                while True:
                    response = self._get(adapter, url, headers or {})
                    with closing(response):
                        if response.status_code not in _REDIRECTS or not follow:
                            yield response
                            return
                    seen.add(url)
                    url = redirect_target(self.handle, url, response.headers.get("Location", ""))
                    self._check_redirects(url, seen)
        finally:
            self.deadline.release()

    def _check_redirects(self, url: str, seen: set[str]) -> None:
        if url in seen:
            raise FetchError(f"{self.handle}: the server redirects in a loop: {CHECK}")
        if len(seen) > self.settings.max_redirects:
            raise FetchError(
                f"{self.handle}: more than {self.settings.max_redirects} redirects: {CHECK}"
            )

    def _get(
        self, adapter: ExactUrlAdapter, url: str, headers: Mapping[str, str]
    ) -> requests.Response:
        if self.deadline.is_over:
            raise too_slow(self.handle, self.deadline)
        with told(self.handle, self.deadline, asking=True):
            # With any other encoding a server or proxy might send a packed archive packed again.
            asked = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "hub_tfx"}
            request = get_request(url, {**asked, **headers, **self._authorization(url)})
            environment = requests.Session().merge_environment_settings(url, {}, True, None, None)
            proxies = environment["proxies"]
            by_proxy = requests.utils.select_proxy(str(request.url), proxies) is not None
            name = urlsplit(str(request.url)).hostname or ""
            self.access.hosts.check_name(name, is_final=by_proxy)
            left_s, settings = self.deadline.left_s, self.settings
            return adapter.send(
                request,
                stream=True,
                timeout=(
                    min(settings.connect_timeout_s, left_s),
                    min(settings.read_timeout_s, left_s),
                ),
                verify=self._verify,
                cert=environment["cert"],
                proxies=proxies,
            )

    def _authorization(self, url: str) -> Mapping[str, str]:
        if self._authorize is not None:
            return self._authorize(self.access, url)
        return self.access.authorization(self.handle, url)

    def document(self, url: str, hints: Mapping[int, str] | None = None) -> tuple[Any, str]:
        """A JSON document, and the URL of its next page if there is one.

        Raises:
          FetchError: the server answers otherwise.
        """
        return self.retried(functools.partial(self._document, url, hints))

    def _document(self, url: str, hints: Mapping[int, str] | None) -> tuple[Any, str]:
        with self.answer(url) as response:
            check_status(self.handle, response, hints)
            text = self.body(response, _MAX_DOCUMENT_BYTES)
            following = str(response.links.get("next", {}).get("url", ""))
        try:
            return json.loads(text), urljoin(url, following) if following else ""
        except (ValueError, RecursionError):
            raise FetchError(
                f"{self.handle}: the server's answer is not a JSON document: {CHECK}"
            ) from None

    def head(self, response: requests.Response) -> bytes:
        """The first bytes of a body, HEAD_BYTES of them if it has as many."""
        head = b""
        for chunk in self._chunks(response):
            head += chunk
            if len(head) >= HEAD_BYTES:
                break
        return head[:HEAD_BYTES]

    def body(self, response: requests.Response, max_bytes: int) -> bytes:
        """A small body as a whole.

        Raises:
          FetchError: it is larger than ``max_bytes``.
        """
        body = b""
        for chunk in self._chunks(response):
            body += chunk
            if len(body) > max_bytes:
                raise FetchError(f"{self.handle}: the answer has over {max_bytes} bytes: {CHECK}")
        return body

    def download(
        self,
        url: str,
        part: Part,
        check: Callable[[bytes], None] | None = None,
        hints: Mapping[int, str] | None = None,
        max_bytes: int | None = None,
    ) -> Mapping[str, str]:
        """Brings a file, or the rest of one that broke off; tries once.

        Args:
          url: URL of the file.
          part: what has come so far, and takes what comes.
          check: is called with the first bytes (HEAD_BYTES of them, or fewer of a smaller file)
            and raises what is wrong with them.
          hints: status -> what to do about it.
          max_bytes: how large the file may be; as large as the module may if None.

        Returns:
          The headers of the answer, whose names are found in any case.
        """
        conditions = part.conditions()
        with self.answer(url, conditions) as response:
            if response.status_code == 416 and conditions:
                part.restart({})
                raise TransientFetchError(f"{self.handle}: the file has changed; {TRY_LATER}")
            if response.status_code == 206 and conditions:
                if not part.is_continued_by(response.headers):
                    raise NotAModuleError(
                        f"{self.handle} is not a module: the server answered with another range "
                        f"than it was asked for: {CHECK}"
                    )
            else:
                check_status(self.handle, response, hints)
                if self._whole is not None:
                    self._whole.done -= part.size_bytes
                part.restart(response.headers)
            self._take(response, part, check, max_bytes)
            return response.headers

    @contextmanager
    def downloading(self, total_bytes: int) -> Iterator[None]:
        """Has the downloads of the body be shown as one, of so many bytes."""
        with downloading(str(self.handle), 0, total_bytes) as self._whole:
            yield
        self._whole = None

    @contextmanager
    def _shown(self, part: Part) -> Iterator[Download]:
        if self._whole is not None:
            yield self._whole
            return
        with downloading(str(self.handle), part.size_bytes, part.total_bytes) as download:
            yield download

    def _take(
        self,
        response: requests.Response,
        part: Part,
        check: Callable[[bytes], None] | None,
        max_bytes: int | None,
    ) -> None:
        max_bytes = self.settings.limits.total_bytes if max_bytes is None else max_bytes
        with self._shown(part) as download:
            for chunk in self._chunks(response):
                if part.size_bytes + len(chunk) > max_bytes:
                    raise UnsafeArchiveError(
                        f"{self.handle}: more than {max_bytes} bytes: if you trust it, "
                        "download and unpack it yourself, and give the directory"
                    )
                is_head = len(part.head) < HEAD_BYTES
                part.write(chunk)
                if check and is_head and len(part.head) == HEAD_BYTES:
                    check(part.head)
                arrived(download, len(chunk))
        if part.total_bytes not in (None, part.size_bytes):
            raise TransientFetchError(
                f"{self.handle}: the download was cut short: {part.size_bytes} of "
                f"{part.total_bytes} bytes; {TRY_LATER}"
            )
        if check:
            check(part.head)

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        """The body as it was sent."""
        # read1 gives what has come, so that it is seen to come; urllib3 1 has none.
        read = getattr(response.raw, "read1", response.raw.read)
        while True:
            with told(self.handle, self.deadline, asking=False):
                chunk: bytes = read(_CHUNK_BYTES, decode_content=False)
            if self.deadline.is_over:  # What was shut down looks like the end of the body.
                raise too_slow(self.handle, self.deadline)
            if not chunk:
                return
            yield chunk


def redirect_target(handle: ModuleHandle, url: str, location: str) -> str:
    """Where a redirect from ``url`` leads, if it may be followed.

    Raises:
      FetchError: the redirect leads nowhere.
      RefusedError: the redirect leads from https to http, or out of HTTP.
    """
    if not location:
        raise FetchError(f"{handle}: redirected without saying where to: {CHECK}")
    try:
        # http.client reads headers as Latin-1, whatever they are.
        absolute = urljoin(url, quote(location.encode("latin-1"), safe=PRINTABLE))
        parts = urlsplit(absolute)._replace(fragment="")
        target = ModuleHandle.parse(parts.geturl())
    except (HandleError, ValueError):
        raise FetchError(f"{handle}: redirected to an invalid URL: {CHECK}") from None
    if target.scheme not in ("http", "https"):
        raise RefusedError(f"{handle}: refused: redirected to {target}, which is not HTTP: {_ASK}")
    if urlsplit(url).scheme == "https" and target.scheme == "http":
        raise RefusedError(f"{handle}: refused: redirected from https to {target}: {_ASK}")
    # Credentials in a redirect are the server's idea, not the user's.
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
