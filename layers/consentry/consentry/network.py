"""From a name to a connection in two steps, with a look at the addresses in between: nothing is resolved twice."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from consentry.ports import NotDelivered


@dataclass(frozen=True, slots=True)
class Address:
    """What a name resolves to: the family, and what `socket.connect` takes, of which the first is the IP address."""

    family: int
    place: tuple[Any, ...]

    @property
    def ip(self) -> str:
        return str(self.place[0])


def resolved(host: str, port: int) -> Sequence[Address]:
    """Ask the name servers, once. Raise `socket.gaierror`."""
    found = socket.getaddrinfo(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM)
    return [Address(family, place) for family, _, _, _, place in found]


def connected(address: Address, timeout: float) -> socket.socket:
    """Open a connection to exactly this address. Raise `OSError`."""
    opened = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.settimeout(timeout)
        opened.connect(address.place)
    except OSError:
        opened.close()
        raise
    return opened


@dataclass(frozen=True, slots=True)
class Network:
    """How names become addresses, and addresses connections; tests see here what is asked for."""

    resolve: Callable[[str, int], Sequence[Address]] = resolved
    connect: Callable[[Address, float], socket.socket] = connected

    def open(self, host: str, port: int, timeout: float, permits: Callable[[str], bool]) -> socket.socket:
        """Connect to the first address that answers; raise `NotDelivered` if one of them may not be asked at all."""
        addresses = self.resolve(host, port)
        if not all(permits(each.ip) for each in addresses):
            raise NotDelivered("address_not_public")
        trouble = OSError("no address")
        for each in addresses:
            try:
                return self.connect(each, timeout)
            except OSError as error:
                trouble = error
        raise trouble
