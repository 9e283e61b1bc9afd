"""Who asks a server, and whom it trusts: credentials, certificates, and the policy of hosts.

Credentials are named by variables of the environment. They are looked up when they are sent, and
are in no handle, log, cache or record.
"""

import base64
import netrc
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from hub_tfx._files import open_regular, why
from hub_tfx.errors import ConfigError, HandleError, RefusedError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.fetch.hosts import HostPolicy, Reach, literal, reach_of

TOKEN_ENV, NETRC = "HUB_TFX_TOKEN_ENV", "HUB_TFX_NETRC"

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_NO = ("", "0", "false", "no")


@dataclass(frozen=True)
class Access:
    """How servers are asked.

    Attributes:
      hosts: which may be.
      token_env: name of the variable with the token for the host that the handle names.
      tokens: host -> name of the variable with the token for that host.
      netrc: whether ~/.netrc, or the file that NETRC names, is read.
      ca_bundle: file with the certificates of authorities; those of the environment if empty.
    """

    hosts: HostPolicy = field(default_factory=HostPolicy)
    token_env: str = ""
    tokens: Mapping[str, str] = field(default_factory=dict)
    netrc: bool = False
    ca_bundle: str = ""

    @classmethod
    def from_environment(
        cls,
        *,
        token_env: str = "",
        netrc: bool = False,
        ca_bundle: str = "",
        allow: tuple[str, ...] = (),
        deny: tuple[str, ...] = (),
    ) -> "Access":
        """What the environment says, and what is given besides.

        Raises:
          ConfigError: a variable has a value that makes no sense.
        """
        return cls(
            hosts=HostPolicy.from_environment(allow=allow, deny=deny),
            token_env=token_env,
            tokens=_tokens(os.environ.get(TOKEN_ENV, "")),
            netrc=netrc or os.environ.get(NETRC, "").lower() not in _NO,
            ca_bundle=ca_bundle,
        )

    def authorization(self, handle: ModuleHandle, url: str) -> dict[str, str]:
        """The header with the handle's credentials, for the host that it names and no other.

        Raises:
          ConfigError: the variable that is named holds no token.
          RefusedError: a token would be sent without TLS.
        """
        if (handle.scheme, handle.authority) != origin(url):
            return {}
        if handle.userinfo:
            user, _, password = handle.userinfo.partition(":")
            return basic(unquote_to_bytes(user), unquote_to_bytes(password))
        if token := self.token(url):
            return bearer(token, url)
        return self._of_netrc(url) if self.netrc else {}

    def token(self, url: str) -> str:
        """The token for the host of a URL, which the handle names; empty if there is none."""
        name = self.token_env or self.tokens.get(urlsplit(url).hostname or "", "")
        return token_of(name) if name else ""

    def verify(self) -> str | bool:
        """The certificates that a server's must lead to, as requests takes them.

        Raises:
          ConfigError: they cannot be read.
        """
        named = [os.environ[name] for name in _CA_BUNDLES if os.environ.get(name)]
        path = self.ca_bundle or (named[0] if named else "")
        if not path:
            return True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if os.path.isdir(path):
                return path
            open_regular(path).close()
            context.load_verify_locations(path)
        except OSError as error:
            raise ConfigError(
                f"the CA bundle {path} cannot be read: {why(error)}; check --ca-bundle, or the "
                f"first of {', '.join(_CA_BUNDLES)} that is set"
            ) from error
        return path

    def _of_netrc(self, url: str) -> dict[str, str]:
        path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
        try:
            open_regular(path).close()  # Never waits at a FIFO.
            hosts = netrc.netrc(str(path)).hosts
        except FileNotFoundError:
            return {}
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError) as error:
            reason = why(error) if isinstance(error, OSError) else "it is not a netrc file"
            raise ConfigError(
                f"{path} cannot be read: {reason}; see that you may read it"
            ) from None
        # An entry "default" would be sent to whatever host a handle names.
        found = hosts.get(urlsplit(url).hostname or "") if hosts else None
        return basic(found[0].encode(), (found[2] or "").encode()) if found else {}


_using: ContextVar[Access | None] = ContextVar("hub_tfx_access", default=None)


@contextmanager
def using(access: Access) -> Iterator[None]:
    """Has every fetch of the body ask as ``access`` says, and not as the environment does."""
    before = _using.set(access)
    try:
        yield
    finally:
        _using.reset(before)


def current() -> Access:
    """What ``using`` says, otherwise the environment."""
    return _using.get() or Access.from_environment()


def token_of(name: str) -> str:
    """The token in a variable of the environment.

    Raises:
      ConfigError: there is none, or it is not a token; the message does not have it.
    """
    token = os.environ.get(name, "").strip()
    # Somebody may have given the token itself, and not the name of its variable.
    shown = name if re.fullmatch(r"[A-Z_][A-Z0-9_]*", name) else "that is named for a token"
    if not token:
        raise ConfigError(f"the variable {shown} is not set: set it to the token, or name another")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"the variable {shown} does not hold a token: check its value")
    return token


def bearer(token: str, url: str) -> dict[str, str]:
    """The header with a token, for a host to which it may be sent."""
    check_private(url)
    return {"Authorization": f"Bearer {token}"}


def check_private(url: str) -> None:
    """Raises RefusedError where everybody on the way to a server can read what it is sent."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise RefusedError(
            f"the credentials for {parts.hostname} would be sent without TLS: use its https address"
        )


def basic(user: bytes, password: bytes) -> dict[str, str]:
    """The header with a user's name and password."""
    return {"Authorization": "Basic " + base64.b64encode(user + b":" + password).decode()}


def endpoint(variable: str, default: str) -> str:
    """The address of a hub's interface, which a variable may name; without a slash at its end.

    Raises:
      ConfigError: the variable does not hold the URL of a server.
    """
    url = os.environ.get(variable) or default
    handle: ModuleHandle | None = None
    with suppress(HandleError):
        handle = ModuleHandle.parse(url)
    if handle is None or handle.scheme not in ("http", "https") or handle.may_hold_secret:
        raise ConfigError(f"{variable} is not the address of a server: set it to {default}")
    return url.rstrip("/")


def is_ours(url: str, hub: str) -> bool:
    """Whether a URL leads to the server of a hub."""
    try:
        return origin(url) == origin(hub)
    except HandleError:
        return False


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name."""
    address = literal(host)
    if address is None:
        return host == "localhost"
    return reach_of(address) == Reach.LOOPBACK


def origin(url: str) -> tuple[str, str]:
    """Scheme and authority of a URL, as handles have them."""
    handle = ModuleHandle.parse(url)
    return handle.scheme, handle.authority


def _tokens(text: str) -> dict[str, str]:
    tokens = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        host, equals, name = pair.partition("=")
        if not (host and equals and _VARIABLE.fullmatch(name)):
            raise ConfigError(
                f"{TOKEN_ENV} takes HOST=VARIABLE,…: give each host the name of the variable that "
                "holds its token"
            )
        tokens[host.lower()] = name
    return tokens
