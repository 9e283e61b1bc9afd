"""What the answer of a server means for a module, and what to say of it."""

import http.client
import ssl
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import requests
import urllib3

from hub_tfx.errors import (
    ConfigError,
    FetchError,
    HubTfxError,
    NotAModuleError,
    RefusedError,
    TransientFetchError,
)
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.archive import HEAD_BYTES, looks_like_archive
from hub_tfx.store.fetch.deadline import Deadline
from hub_tfx.store.tar_reader import GZIP_MAGIC

CHECK = "check the handle in a browser: it must be that of a module, not a page or a login"
TRY_LATER = "try again later, and see that this machine reaches the server"

_CREDENTIALS = (
    "give credentials, as by --token-env or --netrc, if it needs any; or check the handle in a "
    "browser"
)
_HINTS = {401: _CREDENTIALS, 403: _CREDENTIALS}
_TRY_AGAIN = (408, 425, 429)
_GZIP = 16 + zlib.MAX_WBITS


class StatusError(FetchError):
    """The server has answered with a status that is not success.

    Attributes:
      status: the status.
    """

    status: int = 0


def check_status(
    handle: ModuleHandle, response: requests.Response, hints: Mapping[int, str] | None = None
) -> None:
    """Raises what a status other than 200 means; ``hints`` say what to do about some."""
    code = response.status_code
    status = f"the server answered {code} {response.reason or ''}".strip()
    if code >= 500 or code in _TRY_AGAIN:
        raise TransientFetchError(f"{handle}: {status}; {TRY_LATER}")
    if code >= 400:
        error = StatusError(f"{handle}: {status}; {(hints or _HINTS).get(code, CHECK)}")
        error.status = code
        raise error
    if code != 200:
        raise NotAModuleError(f"{handle} is not a module: {status}; {CHECK}")


def check_head(handle: ModuleHandle, head: bytes) -> None:
    """Raises NotAModuleError where a file with these first bytes is not an archive."""
    plain = _unpacked(head) if head.startswith(GZIP_MAGIC) else head
    is_page = plain.lstrip()[:1] == b"<" and not (
        len(plain) >= HEAD_BYTES and looks_like_archive(plain[:HEAD_BYTES])
    )
    if looks_like_archive(head) and not is_page:
        return
    what = "bytes that are not a .tar or .tar.gz"
    if not head:
        what = "nothing"
    elif is_page:
        what = "an HTML page"
    raise NotAModuleError(f"{handle} is not a module: the server answered with {what}: {CHECK}")


def _unpacked(head: bytes) -> bytes:
    """As much of what is packed as its first bytes give: some servers pack pages unasked."""
    try:
        return zlib.decompressobj(_GZIP).decompress(head, HEAD_BYTES)
    except zlib.error:  # The archive's own reader says more.
        return b""


def too_slow(handle: ModuleHandle, deadline: Deadline) -> TransientFetchError:
    return TransientFetchError(f"{handle}: not complete after {deadline.total_s:g} s; {TRY_LATER}")


@contextmanager
def told(handle: ModuleHandle, deadline: Deadline, *, asking: bool) -> Iterator[None]:
    """Tells in our errors what requests and urllib3 raise.

    Their texts hold URLs, credentials included, so that they are not even the causes of ours.

    Args:
      handle: the handle, which every error names.
      deadline: the deadline; whatever is raised after it is a consequence of it.
      asking: whether the body sends a request; otherwise it reads an answer.
    """
    try:
        yield
    except RefusedError as error:
        raise RefusedError(f"{handle}: refused: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{handle}: {error}") from None
    except HubTfxError:
        raise
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        if deadline.is_over:
            raise too_slow(handle, deadline) from None
        raise _told(handle, error, asking) from None


def _told(handle: ModuleHandle, error: Exception, asking: bool) -> HubTfxError:
    if not asking:
        return TransientFetchError(
            f"{handle}: the download broke off: {_reason(error)}; {TRY_LATER}"
        )
    if isinstance(error, requests.exceptions.SSLError):
        return _tls_error(handle, error)
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return TransientFetchError(f"{handle}: no connection: {_reason(error)}; {TRY_LATER}")
    return FetchError(f"{handle}: cannot be asked for: {_reason(error)}; {CHECK}")


def _tls_error(handle: ModuleHandle, error: Exception) -> FetchError | RefusedError:
    if isinstance(_innermost(error), ssl.SSLCertVerificationError):
        return RefusedError(
            f"{handle}: refused: its certificate is not to be trusted ({_reason(error)}); "
            "for an authority of your own set REQUESTS_CA_BUNDLE, or give --ca-bundle"
        )
    return TransientFetchError(f"{handle}: no TLS connection: {_reason(error)}; {TRY_LATER}")


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
