"""Which hosts may be asked: a policy of names and addresses.

The address that counts is the one that a socket is about to be connected to, on every connection,
so that neither a redirect nor a name that changes its address gets around it.
"""

import os
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from hub_tfx.errors import ConfigError, RefusedError

ALLOW, DENY, PRIVATE = "HUB_TFX_ALLOW_HOSTS", "HUB_TFX_DENY_HOSTS", "HUB_TFX_PRIVATE_HOSTS"

_PRIVATE_VALUES = ("named", "allow", "deny")
_NAME = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?[a-z0-9*?_.@-]+", re.IGNORECASE)
_WEB = ("http://", "https://")
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_METADATA = frozenset(
    map(
        ip_address,
        (
            "168.63.129.16",  # Azure
            "100.100.100.200",  # Alibaba Cloud
            "192.0.0.192",  # Oracle Cloud
            "fd00:ec2::254",  # AWS
            "fd20:ce::254",  # Google Cloud
        ),
    )
)
"""Where machines in a cloud get their credentials, as far as it is not link-local anyway."""

Address = IPv4Address | IPv6Address


class Reach(IntEnum):
    """How far an address is known: a larger one is nearer to this machine."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    NEVER = 3
    """Link-local, unspecified, multicast, reserved, and those of metadata servers."""


def reach_of(address: str) -> Reach:
    """The reach of an address, of IPv6 with a zone perhaps, as a socket has it."""
    ip = ip_address(address.partition("%")[0])
    return max(map(_reach, _meant(ip)))


def _meant(ip: Address) -> Iterator[Address]:
    """What an address leads to: of IPv6 that carries an address of IPv4, the latter."""
    if isinstance(ip, IPv4Address) or ip.is_loopback or ip.is_unspecified:
        yield ip
    elif ip.ipv4_mapped or ip.sixtofour:
        yield IPv4Address(ip.ipv4_mapped or ip.sixtofour)
    elif ip.teredo:
        yield from ip.teredo
    elif ip in _NAT64 or ip in _COMPATIBLE:
        yield IPv4Address(int(ip) & 0xFFFFFFFF)
    else:
        yield ip


def _reach(ip: Address) -> Reach:
    if ip.is_loopback:
        return Reach.LOOPBACK
    never = ip.is_link_local or ip.is_unspecified or ip.is_multicast or ip.is_reserved
    if never or ip in _METADATA or (ip.version == 4 and int(ip) < 1 << 24):  # 0.0.0.0/8
        return Reach.NEVER
    return Reach.PUBLIC if ip.is_global else Reach.PRIVATE


def literal(host: str) -> str | None:
    """The address that a host's name is by itself, in any spelling; None for other names."""
    name = host.strip("[]").partition("%")[0].rstrip(".")
    try:
        return str(ip_address(name))
    except ValueError:
        pass
    try:  # Decimal, hexadecimal, octal and shortened, as the system's resolver takes them.
        return socket.inet_ntoa(socket.inet_aton(name)) if re.match(r"[0-9]", name) else None
    except OSError:
        return None


@dataclass(frozen=True)
class HostPolicy:
    """The hosts that may be asked.

    A pattern is a name (``hub.example.org``, ``*.example.org``), an address or a network
    (``10.1.0.0/16``), or a bucket (``gs://models``, ``s3://*``).

    Attributes:
      allow: patterns, one of which a host must match; if there are none, every host is allowed.
        A network here also allows redirects from elsewhere into it.
      deny: patterns of hosts that are never asked.
      private: what is done with private and loopback addresses. ``named``: only hosts that the
        handle itself names may have one, and a redirect never leads nearer to this machine than the
        host that it began with. ``allow``: all may. ``deny``: none may.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    private: str = "named"

    def __post_init__(self) -> None:
        for pattern in (*self.allow, *self.deny):
            if _network(pattern) is None and (
                not _NAME.fullmatch(pattern) or pattern.lower().startswith(_WEB)
            ):
                raise ConfigError(
                    f"{pattern!r} is not a pattern of hosts: give a name such as *.example.org, a "
                    "network such as 10.1.0.0/16, or a bucket such as gs://models"
                )
        if self.private not in _PRIVATE_VALUES:
            raise ConfigError(
                f"{PRIVATE} is {self.private!r}: set it to one of {', '.join(_PRIVATE_VALUES)}"
            )

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        allow: tuple[str, ...] = (),
        deny: tuple[str, ...] = (),
    ) -> "HostPolicy":
        """The policy of the environment's variables, narrowed by further patterns.

        Args:
          environment: variables; those of this process if None.
          allow: patterns that replace those of the environment, if there are any.
          deny: patterns besides those of the environment.
        """
        given = os.environ if environment is None else environment
        return cls(
            allow or _patterns(given.get(ALLOW, "")),
            (*_patterns(given.get(DENY, "")), *deny),
            given.get(PRIVATE, "") or "named",
        )

    def check_name(self, host: str, *, is_final: bool = True) -> None:
        """Refuses a host by its name, before it is looked up.

        Args:
          host: name or address of the host, or ``scheme://bucket``.
          is_final: whether no address will be seen, since a proxy or a library connects.

        Raises:
          RefusedError: the name is denied, not allowed, or the spelling of a forbidden address.
        """
        if _matches(self.deny, host):
            raise RefusedError(f"{host} is denied ({DENY}): name another host")
        address = literal(host)
        if address is not None and reach_of(address) == Reach.NEVER:
            raise RefusedError(_never(host, address))
        may_match_later = not is_final and any(map(_network, self.allow))
        if self.allow and not _matches(self.allow, host, address) and not may_match_later:
            raise RefusedError(f"{host} is not among the allowed hosts ({ALLOW}): name another one")
        if address is not None and _matches(self.deny, host, address):
            raise RefusedError(f"{host} is denied ({DENY}): name another host")

    def why_not(self, host: str, address: str, named: Reach | None) -> str:
        """Why an address of a host may not be connected to; empty if it may.

        Args:
          host: name of the host.
          address: the address.
          named: reach of the host that the handle names; None if this is that host.
        """
        reach = reach_of(address)
        if reach == Reach.NEVER:
            return _never(host, address)
        if _matches(self.deny, host, address):
            return f"{host} is denied ({DENY}): name another host"
        if self.allow and not _matches(self.allow, host, address):
            return f"{host} is not among the allowed hosts ({ALLOW}): name another one"
        if reach == Reach.PUBLIC or self.private == "allow" or _in_network(self.allow, address):
            return ""
        if self.private == "deny":
            return f"{host} leads to the private address {address} ({PRIVATE}=deny): name another"
        if named is not None and reach > named:
            return (
                f"{host} leads from a public host to the private address {address}: name it in the "
                f"handle, or set {PRIVATE}=allow"
            )
        return ""


@dataclass
class Guard:
    """A policy, during one fetch.

    Attributes:
      policy: the policy.
      named: reach of the host that the handle names, once it was connected to.
    """

    policy: HostPolicy
    named: Reach | None = field(default=None)

    def why_not(self, host: str, address: str) -> str:
        """Why an address may not be connected to; empty if it may."""
        return self.policy.why_not(host, address, self.named)

    def connected(self, address: str) -> None:
        """Remembers the address of the first connection, which is that of the handle's host."""
        if self.named is None:
            self.named = reach_of(address)


def _never(host: str, address: str) -> str:
    leads = host if host.strip("[]") == address else f"{host} leads to {address}, which"
    return f"{leads} is a link-local, metadata or reserved address: check the handle"


def _patterns(text: str) -> tuple[str, ...]:
    return tuple(pattern for part in text.split(",") if (pattern := part.strip()))


def _network(pattern: str) -> object | None:
    try:
        return ip_network(pattern, strict=False)
    except ValueError:
        return None


def _in_network(patterns: tuple[str, ...], address: str) -> bool:
    ip = ip_address(address.partition("%")[0])
    spelled = {ip, *_meant(ip)}
    networks = [ip_network(p, strict=False) for p in patterns if _network(p)]
    return any(one in network for network in networks for one in spelled)


def _matches(patterns: tuple[str, ...], host: str, address: str | None = None) -> bool:
    name = host.rstrip(".").lower()
    if any(fnmatchcase(name, pattern.lower()) for pattern in patterns):
        return True
    return address is not None and _in_network(patterns, address)
