"""Modules at http:// and https:// URLs, by TF Hub's hosting protocol.

The protocol (tensorflow.org/hub/hosting): a GET with ``tf-hub-format=compressed`` in the query is
answered by a .tar.gz whose root is the module's root; one with ``tf-hub-format=uncompressed`` by a
303 whose body is the gs:// URL of the module's directory. A URL that ends like an archive is taken
for one. A URL with a query may be signed, and is sent as it is.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hub_tfx.errors import FetchError, HandleError, HubTfxError, NotAModuleError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.archive import SUFFIXES, unpack
from hub_tfx.store.fetch.answers import CHECK, StatusError, check_head, check_status
from hub_tfx.store.fetch.part import scratch, strong_tag
from hub_tfx.store.fetch.promises import verify_promises
from hub_tfx.store.fetch.web import Web, WebSettings

_FORMAT = "TFHUB_MODEL_LOAD_FORMAT"
_MAY_BE_UNCOMPRESSED = (404, 406, 415)
_MAX_LOCATION_BYTES = 4096
_SIGNED = re.compile(
    r"(?:^|&)(?:x-amz-|x-goog-)?(?:signature|sig|credential|security-token|key-pair-id|hmac)=",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class HttpFetcher(WebSettings):
    """Downloads an archive and unpacks it, or copies the directory that the server names."""

    def fetch(self, handle: ModuleHandle, into: Path) -> None:
        with self.asking(handle) as web:
            load_format = os.environ.get(_FORMAT, "").upper()
            if load_format == "UNCOMPRESSED":
                _fetch_uncompressed(web, into, _nowhere(handle))
                return
            try:
                _fetch_compressed(web, into)
            except (NotAModuleError, FetchError) as error:
                if load_format == "COMPRESSED" or not _may_be_uncompressed(handle, error):
                    raise
                _fetch_uncompressed(web, into, error)

    def entity_tag(self, handle: ModuleHandle) -> str:
        urls = request_urls(handle)
        if len(urls) > 1 or os.environ.get(_FORMAT, "").upper() == "UNCOMPRESSED":
            return ""
        with self.asking(handle) as web:
            try:
                return web.retried(lambda: _tag(web, urls[0]))
            except (NotAModuleError, FetchError) as error:
                if not _may_be_uncompressed(handle, error):
                    raise
                return ""


def _tag(web: Web, url: str) -> str:
    # A GET whose body is left alone: URLs that are signed for GET refuse HEAD.
    with web.answer(url) as response:
        check_status(web.handle, response)
        # The tag of a page would say nothing of the module that comes in the other form.
        check_head(web.handle, web.head(response))
        return strong_tag(response.headers)


def fetch_archive(web: Web, url: str, into: Path, hints: dict[int, str] | None = None) -> None:
    """Downloads an archive and unpacks it into a directory."""

    def attempt() -> None:
        headers = web.download(url, part, lambda head: check_head(web.handle, head), hints)
        try:
            unpack(part.path, into, web.settings.limits, name=str(web.handle))
            # Last, since an archive that was damaged on the way is tried again.
            verify_promises(headers, str(web.handle), Path(part.path), into)
        except HubTfxError:
            part.restart({})  # It is whole, and wrong: nothing of it is worth keeping.
            raise

    with scratch(into.parent) as part:
        web.retried(attempt)


def request_urls(handle: ModuleHandle) -> tuple[str, ...]:
    """The URLs to ask for, in turn, without the user's name; nothing in them is encoded again."""
    url = _without_query(handle)
    exact = f"{url}?{handle.query}" if handle.query else url
    if url.lower().endswith(SUFFIXES):
        return (exact,)
    if not handle.query:
        return (f"{url}?tf-hub-format=compressed",)
    if _SIGNED.search(handle.query) or "tf-hub-format=" in handle.query:
        return (exact,)
    return (exact, f"{exact}&tf-hub-format=compressed")


def _without_query(handle: ModuleHandle) -> str:
    return f"{handle.scheme}://{handle.authority}{urlsplit(handle.url).path or '/'}"


def _fetch_compressed(web: Web, into: Path) -> None:
    *firsts, last = request_urls(web.handle)
    for url in firsts:
        try:
            fetch_archive(web, url, into)
            return
        except NotAModuleError:  # A page for people, where the parameter asks for the module.
            continue
    fetch_archive(web, last, into)


def _may_be_uncompressed(handle: ModuleHandle, error: HubTfxError) -> bool:
    """Whether a server that answers so may have the module in the other form."""
    if handle.query or _without_query(handle).lower().endswith(SUFFIXES):
        return False
    if isinstance(error, StatusError):
        return error.status in _MAY_BE_UNCOMPRESSED
    return isinstance(error, NotAModuleError)


def _fetch_uncompressed(web: Web, into: Path, otherwise: HubTfxError) -> None:
    """Copies the directory in a bucket that the server names; raises ``otherwise`` if it does not.

    The bucket is asked with this machine's own credentials, which its server gets and no other.
    """
    location = web.retried(lambda: _location(web))
    if location is None:
        raise otherwise
    from hub_tfx.store.fetch.buckets import BucketFetcher

    bucket = BucketFetcher(web.deadline.left_s, web.settings.limits, web.access)
    _named(web.handle, lambda: bucket.fetch(location, into))


def _location(web: Web) -> ModuleHandle | None:
    query = f"{web.handle.query}&" if web.handle.query else ""
    url = f"{_without_query(web.handle)}?{query}tf-hub-format=uncompressed"
    with web.answer(url, follow=False) as response:
        if response.status_code != 303:
            return None
        body = web.body(response, _MAX_LOCATION_BYTES).strip()
    try:
        location = ModuleHandle.parse(body.decode())
    except (HandleError, UnicodeDecodeError):
        return None
    return location if location.scheme == "gs" else None


def _nowhere(handle: ModuleHandle) -> FetchError:
    return FetchError(
        f"{handle}: the server names no gs:// directory ({_FORMAT}=UNCOMPRESSED): unset {_FORMAT}, "
        f"or {CHECK}"
    )


def _named(handle: ModuleHandle, fetch: Callable[[], None]) -> None:
    try:
        fetch()
    except HubTfxError as error:
        raise type(error)(f"{handle}: {error}") from error
