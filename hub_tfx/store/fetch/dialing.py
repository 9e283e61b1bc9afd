"""Connects to an address that was checked, and to no other."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from urllib3.util.connection import allowed_gai_family

from hub_tfx.errors import RefusedError
from hub_tfx.store.fetch.deadline import Deadline
from hub_tfx.store.fetch.hosts import Guard


@dataclass(frozen=True)
class Dialer:
    """Makes the connections of one fetch.

    Attributes:
      guard: says which addresses may be connected to.
      deadline: when every connection is shut down.
    """

    guard: Guard
    deadline: Deadline

    def dial(
        self,
        host: str,
        port: int,
        timeout: Any,
        options: Sequence[tuple[int, int, int | bytes]],
        *,
        is_proxy: bool,
    ) -> socket.socket:
        """A socket that is connected to a host, at an address that may be connected to.

        Args:
          host: name or address of the host.
          port: its port.
          timeout: seconds that connecting to one address may take.
          options: options of the socket, as setsockopt takes them.
          is_proxy: whether it is a proxy, which the environment names and no handle does.

        Raises:
          RefusedError: the policy allows none of the host's addresses.
          OSError: none can be connected to.
        """
        found = self.deadline.call(
            socket.getaddrinfo, host.strip("[]"), port, allowed_gai_family(), socket.SOCK_STREAM
        )
        failed: Exception = OSError("the host has no address")
        for family, kind, protocol, _, address in found:
            # Some hosts have a link-local address beside that at which they are meant to be asked.
            why_not = "" if is_proxy else self.guard.why_not(host, str(address[0]))
            if why_not:
                failed = RefusedError(why_not)
                continue
            connected = socket.socket(family, kind, protocol)
            try:
                for option in options:
                    connected.setsockopt(*option)
                connected.settimeout(timeout)
                connected.connect(address)
            except OSError as error:
                connected.close()
                failed = error
                continue
            if not is_proxy:
                self.guard.connected(str(address[0]))
            self.deadline.watch(connected)
            return connected
        raise failed
